"""A hosted service: health, metrics, draining, and its end as a process."""

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cell.dashboard import Context, Home
from idgen.errors import Unavailable
from ops.config import load_config
from ops.config_settings import Access
from ops.dashboard_client import DashboardClient
from ops.dashboard_service import dashboard_service
from ops.metrics import DECLARED, LAG_SECONDS, Sample
from ops.template.host import ServiceHost, ServiceParts
from ops.template.tls import client_context, peer_context
from tests.unit.certificates import make_certificates
from tests.unit.dashboard_wire import ScriptedDashboard

HOME = Home("a", 1, ("127.0.0.1:1",))


def get(host: ServiceHost, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://{host.endpoints.admin}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def config():
    return load_config(None, {}, {"kafka.password": "geheim", "limits.drain_s": 5})


@pytest.fixture
def hosted(config):
    def start(**parts: Any) -> ServiceHost:
        host = ServiceHost("router", ServiceParts(**parts), config)
        host.start()
        started.append(host)
        return host

    started: list[ServiceHost] = []
    yield start
    for host in started:
        host.drain(0.1)


def test_a_service_is_alive_and_ready_and_lists_its_checks(hosted):
    trouble = ["no routes yet"]
    host = hosted(readiness={"routes": lambda: trouble[0], "log": lambda: ""})

    assert get(host, "/livez") == (200, "alive\n")
    status, body = get(host, "/readyz")
    assert (status, json.loads(body)) == (
        503,
        {"role": "router", "ready": False, "checks": {"routes": "no routes yet", "log": "ok"}},
    )

    trouble[0] = ""
    status, body = get(host, "/readyz")
    assert (status, json.loads(body)["ready"]) == (200, True)


def test_a_check_that_raises_is_red_by_its_text(hosted):
    def check() -> str:
        raise Unavailable("ZooKeeper does not answer")

    status, body = get(hosted(readiness={"registry": check}), "/readyz")

    assert status == 503
    assert json.loads(body)["checks"]["registry"] == "ZooKeeper does not answer"


def test_metrics_tell_of_calls_and_of_what_sources_say(hosted):
    dashboard = ScriptedDashboard(HOME)
    host = hosted(
        service=dashboard_service(dashboard),
        sources=[lambda: [Sample(LAG_SECONDS, ("a",), 1.5)]],
        readiness={"log": lambda: ""},
    )
    with DashboardClient([host.endpoints.thrift]) as client:
        client.route(Context(), 77_001)

    _, text = get(host, "/metrics")

    assert 'dashcell_calls_total{method="route"} 1.0' in text
    assert 'dashcell_lag_seconds{cell="a"} 1.5' in text
    assert 'dashcell_ready{check="log"} 1.0' in text
    assert "77001" not in text, "no user ids in metrics"


def test_a_source_of_metrics_that_fails_hides_no_other(hosted):
    def broken() -> list[Sample]:
        raise RuntimeError("planted")

    host = hosted(sources=[broken, lambda: [Sample(LAG_SECONDS, ("a",), 2.0)]])

    assert 'dashcell_lag_seconds{cell="a"} 2.0' in get(host, "/metrics")[1]


def test_the_configuration_is_shown_without_its_secrets(hosted):
    status, body = get(hosted(), "/admin/config")
    assert status == 200
    assert json.loads(body)["kafka"]["password"] == "***"
    assert "geheim" not in body


def test_flags_and_threads_are_shown(hosted):
    host = hosted(flags=lambda: {"new_pages": 10_000})
    assert json.loads(get(host, "/admin/flags")[1]) == {"new_pages": 10_000}
    assert "admin (" in get(host, "/admin/threads")[1]


def test_draining_can_be_asked_for_over_http_by_post_alone(hosted):
    host = hosted()
    assert get(host, "/admin/drain")[0] == 405
    assert not host.wait(0)
    assert get(host, "/admin/drain", "POST")[0] == 202
    assert host.wait(5)


def test_a_page_of_another_site_in_a_browser_cannot_drain(hosted):
    host = hosted()
    request = urllib.request.Request(
        f"http://{host.endpoints.admin}/admin/drain",
        method="POST",
        headers={"Origin": "http://example.org"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    caught.value.close()
    assert caught.value.code == 403
    assert not host.wait(0)


def test_both_ports_speak_tls_and_ask_for_a_client_certificate(tmp_path):
    at = make_certificates(tmp_path)
    files = {"cert": "server.pem", "key": "server.key", "client_ca": "ca.pem"}
    config = load_config(None, {}, {f"listen_tls.{k}": f"{at}/{v}" for k, v in files.items()})
    parts = ServiceParts(service=dashboard_service(ScriptedDashboard(HOME)))
    host = ServiceHost("router", parts, config)
    host.start()
    try:
        peer = peer_context(config.listen_tls)
        url = f"https://{host.endpoints.admin}/livez"
        with urllib.request.urlopen(url, timeout=5, context=peer) as answer:
            assert answer.read() == b"alive\n"
        stranger = client_context(Access(tls=True, ca=f"{at}/ca.pem"), "kafka")
        with pytest.raises(OSError):
            urllib.request.urlopen(url, timeout=5, context=stranger)
        with DashboardClient([host.endpoints.thrift], tls=peer) as client:
            assert client.route(Context(), 1) == HOME
    finally:
        host.drain(1)


def test_draining_is_red_and_finishes_the_call_in_flight(hosted):
    entered, release = threading.Event(), threading.Event()

    def answer(*_: object) -> Home:
        entered.set()
        assert release.wait(10)
        return HOME

    left = threading.Event()
    host = hosted(
        service=dashboard_service(ScriptedDashboard(answer)), listening=lambda _: left.set
    )
    answers: list[Home] = []
    with DashboardClient([host.endpoints.thrift]) as client:
        caller = threading.Thread(
            target=lambda: answers.append(client.route(Context(deadline_ms=10_000), 1))
        )
        caller.start()
        assert entered.wait(5)
        drained: list[bool] = []
        drainer = threading.Thread(target=lambda: drained.append(host.drain(10)))
        drainer.start()
        assert left.wait(5), "nobody new is sent to a service that drains"
        status, body = get(host, "/readyz")
        assert (status, json.loads(body)["checks"]["draining"]) == (503, "the service is stopping")
        with pytest.raises(Unavailable):
            DashboardClient([host.endpoints.thrift]).route(Context(), 1)
        release.set()
        caller.join(5)
        drainer.join(15)

    assert answers == [HOME]
    assert drained == [True]


def test_a_service_drains_also_while_the_registry_is_away(hosted):
    def leave() -> None:
        raise Unavailable("ZooKeeper does not answer")

    closed = threading.Event()
    assert hosted(listening=lambda _: leave, close=closed.set).drain(1)
    assert closed.is_set()


def test_a_worker_is_told_to_stop_and_waited_for(hosted):
    finished = threading.Event()

    class Worker:
        def run(self, stop: threading.Event) -> None:
            assert stop.wait(30)
            finished.set()

    closed = threading.Event()
    host = hosted(worker=Worker(), close=closed.set)
    assert host.drain(5)
    assert finished.is_set()
    assert closed.is_set()
    assert not host.failed


def test_a_worker_that_fails_makes_the_service_red_and_end(hosted):
    class Worker:
        def run(self, stop: threading.Event) -> None:
            raise SystemExit  # as quiet as a thread can die

    host = hosted(worker=Worker())
    assert host.wait(5)
    assert host.failed
    assert "worker" in host.readiness.report()


def test_an_address_that_is_taken_is_unavailable_and_leaves_nothing_running(hosted, config):
    taken = int(hosted(service=dashboard_service(ScriptedDashboard())).endpoints.thrift[10:])
    closed = threading.Event()
    second = ServiceHost(
        "router",
        ServiceParts(service=dashboard_service(ScriptedDashboard()), port=taken, close=closed.set),
        config,
    )
    with pytest.raises(Unavailable, match=str(taken)):
        second.start()
    assert closed.is_set()


def test_no_metric_is_declared_twice_and_counters_end_in_total():
    names = [metric.name for metric in DECLARED]
    assert len(names) == len(set(names))
    assert all(m.name.endswith("_total") == (m.kind == "counter") for m in DECLARED)


PROGRAM = """
import sys, threading
from ops.config import load_config
from ops.template.host import ServiceParts, run_service

class Worker:
    def run(self, stop):
        print("working", flush=True)
        stop.wait(60)
        if sys.argv[1] == "stubborn":
            print("stubborn", flush=True)
            threading.Event().wait(60)
        if sys.argv[1] == "failing":
            raise RuntimeError("planted")

sys.exit(run_service("ingest", ServiceParts(worker=Worker()), load_config(None, {}), cell="a"))
"""


def process(kind: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_process_ends_by_itself_at_a_signal_and_logs_json_alone():
    with process("willing") as child:
        assert child.stdout.readline() == "working\n"
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=20)

    assert child.returncode == 0
    assert out == ""
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["event"] for line in lines] == ["started", "stopping", "stopped"]
    assert all(line["role"] == "ingest" and line["cell"] == "a" for line in lines)


@pytest.mark.slow
def test_a_second_signal_ends_a_process_at_once():
    with process("stubborn") as child:
        assert child.stdout.readline() == "working\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == "stubborn\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=5) == 128 + signal.SIGTERM


@pytest.mark.slow
def test_a_process_whose_worker_failed_says_so_by_its_exit_code():
    with process("failing") as child:
        assert child.stdout.readline() == "working\n"
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=20)
    assert child.returncode == 1
    lines = [json.loads(line) for line in err.splitlines()]
    failed = next(line for line in lines if line["event"] == "the worker failed")
    assert "RuntimeError: planted" in failed["exception"]
