"""The client: pooled connections, deadlines, one more try for reads, TLS."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cell.dashboard import Context, Home, NewPost, Receipt
from firehose.event import Draft
from idgen.errors import BadRequest, DeadlineExceeded, Unavailable
from ops.config_settings import Access, ListenTls
from ops.dashboard_client import DashboardClient
from ops.dashboard_service import dashboard_service
from ops.metrics import CALLS, CONNECTIONS_OPENED, WIRE_FAULTS
from ops.template.connection import WireLimits
from ops.template.server import ServerLimits, ThriftServer
from ops.template.tls import client_context, server_context
from tests.unit.certificates import make_certificates
from tests.unit.dashboard_wire import ScriptedDashboard, serving, until

HOME = Home("a", 1, ())


class Breaking:
    """Listens, and does `behave` with every connection; counts them."""

    def __init__(self, behave: Callable[[socket.socket], object]) -> None:
        self.connections = 0
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                with sock, contextlib.suppress(OSError):
                    self._behave(sock)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def breaking() -> Iterator[Callable[[Callable[[socket.socket], None]], Breaking]]:
    started: list[Breaking] = []

    def start(behave: Callable[[socket.socket], object]) -> Breaking:
        started.append(Breaking(behave))
        return started[-1]

    yield start
    for each in started:
        each.close()


def read_and_close(sock: socket.socket) -> None:
    sock.recv(65536)


def test_a_read_whose_connection_breaks_is_sent_once_more(breaking):
    server = breaking(read_and_close)
    with DashboardClient([server.address]) as client, pytest.raises(Unavailable):
        client.route(Context(), 1)
    assert server.connections == 2


def test_a_write_whose_connection_breaks_is_not_sent_again_and_says_so(breaking):
    server = breaking(read_and_close)
    with (
        DashboardClient([server.address]) as client,
        pytest.raises(Unavailable, match="may have been done"),
    ):
        client.publish(Context(), 1, Draft(), None)
    assert server.connections == 1


def test_a_read_goes_to_another_address_when_one_breaks(breaking):
    bad = breaking(read_and_close)
    with serving(ScriptedDashboard(HOME)) as (server, _):
        with DashboardClient([bad.address, f"127.0.0.1:{server.port}"]) as client:
            assert [client.route(Context(), 1) for _ in range(20)] == [HOME] * 20
        assert server.metrics.value(CALLS, "route") == 20
    assert bad.connections == 1, "an address that broke is avoided for a while"


def test_a_write_goes_to_another_address_when_one_refuses_connections():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = f"127.0.0.1:{listener.getsockname()[1]}"
    with serving(ScriptedDashboard(Receipt(1, b"t"))) as (server, _):
        with DashboardClient([dead, f"127.0.0.1:{server.port}"]) as client:
            for _ in range(4):
                assert client.publish(Context(), 1, Draft(), None) == Receipt(1, b"t")
        assert server.metrics.value(CALLS, "publish") == 4


def test_nobody_answering_is_unavailable_and_names_the_addresses():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = f"127.0.0.1:{listener.getsockname()[1]}"
    with DashboardClient([dead]) as client, pytest.raises(Unavailable, match=dead):
        client.route(Context(), 1)


def test_a_write_after_the_server_was_restarted_is_sent_once_on_a_fresh_connection():
    dashboard = ScriptedDashboard(Receipt(1, b""))
    first = ThriftServer(dashboard_service(dashboard)).start()
    with DashboardClient([f"127.0.0.1:{first.port}"]) as client:
        client.publish(Context(), 1, Draft(), None)
        first.stop()
        with ThriftServer(dashboard_service(dashboard), port=first.port):
            client.publish(Context(), 1, Draft(), None)
    assert len(dashboard.asked) == 2


def test_a_server_that_does_not_answer_costs_the_deadline_and_not_more(breaking):
    over = threading.Event()
    server = breaking(lambda _: bool(over.wait(30)))
    try:
        with DashboardClient([server.address]) as client:
            started = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                client.route(Context(deadline_ms=200), 1)
            assert 0.2 <= time.monotonic() - started < 3
            with pytest.raises(DeadlineExceeded, match="may or may not"):
                client.publish(Context(deadline_ms=50), 1, Draft(), None)
    finally:
        over.set()


def test_an_answer_that_trickles_in_costs_the_deadline_and_not_more(breaking):
    over = threading.Event()

    def trickle(sock: socket.socket) -> None:
        sock.sendall((1000).to_bytes(4))
        while not over.wait(0.05):
            sock.sendall(b"x")

    server = breaking(trickle)
    try:
        with DashboardClient([server.address]) as client:
            started = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                client.route(Context(deadline_ms=200), 1)
            assert time.monotonic() - started < 3
    finally:
        over.set()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x05hello", b"\xff" * 100]
)
def test_an_answer_of_something_else_is_unavailable(breaking, answer):
    def say(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(answer)

    server = breaking(say)
    with DashboardClient([server.address]) as client, pytest.raises(Unavailable):
        client.route(Context(), 1)


def test_many_threads_share_a_client_and_each_gets_its_own_answer():
    def answer(_method: str, _ctx: Context, reader: int) -> Home:
        return Home(str(reader), 1, ())

    with serving(ScriptedDashboard(answer)) as (server, client):
        with ThreadPoolExecutor(16) as pool:
            homes = list(pool.map(lambda n: client.route(Context(10_000), n), range(2000)))
        assert [home.cell for home in homes] == [str(n) for n in range(2000)]
        assert server.metrics.value(CONNECTIONS_OPENED) <= 16


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", ":9090", "a:b"])
def test_an_address_without_host_or_port_is_refused(address):
    with pytest.raises(BadRequest):
        DashboardClient([address])


def test_no_addresses_are_refused():
    with pytest.raises(BadRequest):
        DashboardClient([])


def test_a_client_follows_its_servers_to_other_addresses_while_it_is_used():
    with serving(ScriptedDashboard(HOME)) as (one, client), serving(ScriptedDashboard(HOME)) as two:
        addresses = [f"127.0.0.1:{one.port}", f"127.0.0.1:{two[0].port}"]
        with ThreadPoolExecutor(4) as pool:
            calls = pool.map(lambda n: client.route(Context(10_000), n), range(1000))
            for turn in range(100):
                client.point_at(addresses[turn % 2 :][:1] if turn % 3 else addresses)
            assert list(calls) == [HOME] * 1000
        client.point_at(addresses[1:])
        before = one.metrics.value(CALLS, "route")
        client.route(Context(), 1)
        assert one.metrics.value(CALLS, "route") == before
        with pytest.raises(BadRequest):
            client.point_at([])


def test_a_request_larger_than_servers_take_is_refused_before_it_is_sent():
    with serving(ScriptedDashboard(Receipt(1, b""))) as (server, client):
        with pytest.raises(BadRequest, match="send less at once"):
            client.publish_many(Context(), [NewPost(1, Draft(body="b" * 60_000))] * 20)
        assert server.metrics.value(CALLS, "publish_many") == 0


def test_a_closed_client_is_unavailable():
    with serving(ScriptedDashboard(HOME)) as (_, client):
        client.route(Context(), 1)
        client.close()
        with pytest.raises(Unavailable):
            client.route(Context(), 1)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> str:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_tls_with_client_certificates(certificates):
    at = certificates
    listen = ListenTls(cert=f"{at}/server.pem", key=f"{at}/server.key", client_ca=f"{at}/ca.pem")
    known = Access(tls=True, ca=f"{at}/ca.pem", cert=f"{at}/client.pem", key=f"{at}/client.key")
    unknown = Access(tls=True, ca=f"{at}/ca.pem")
    distrusting = Access(tls=True, cert=f"{at}/client.pem", key=f"{at}/client.key")
    with serving(ScriptedDashboard(HOME), tls=server_context(listen)) as (server, plain):
        address = f"127.0.0.1:{server.port}"
        with DashboardClient([address], tls=client_context(known, "kafka")) as client:
            for _ in range(3):
                assert client.route(Context(), 1) == HOME
        assert server.metrics.value(CONNECTIONS_OPENED) == 1
        for access in (unknown, distrusting):
            with (
                DashboardClient([address], tls=client_context(access, "kafka")) as client,
                pytest.raises(Unavailable),
            ):
                client.route(Context(), 1)
        with pytest.raises(Unavailable):
            plain.route(Context(), 1)
        with DashboardClient([address], tls=client_context(known, "kafka")) as client:
            assert client.route(Context(), 1) == HOME
        assert until(lambda: server.metrics.value(WIRE_FAULTS, "tls") >= 2)


def test_a_tls_server_drains_while_it_answers(certificates):
    at = certificates
    entered, release = threading.Event(), threading.Event()

    def answer(*_: object) -> Home:
        entered.set()
        assert release.wait(10)
        return HOME

    listen = ListenTls(cert=f"{at}/server.pem", key=f"{at}/server.key")
    tls = client_context(Access(tls=True, ca=f"{at}/ca.pem"), "kafka")
    with (
        serving(ScriptedDashboard(answer), tls=server_context(listen)) as (server, _),
        DashboardClient([f"127.0.0.1:{server.port}"], tls=tls) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        call = pool.submit(client.route, Context(10_000), 1)
        assert entered.wait(5)
        drained = pool.submit(server.drain, 10)
        release.set()
        assert call.result() == HOME
        assert drained.result() is True


def test_a_client_that_says_nothing_in_its_handshake_is_closed(certificates):

    at = certificates
    listen = ListenTls(cert=f"{at}/server.pem", key=f"{at}/server.key")
    limits = ServerLimits(wire=WireLimits(handshake_s=0.2))
    with serving(ScriptedDashboard(HOME), limits, tls=server_context(listen)) as (server, _):
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            assert sock.recv(1) == b""
        assert until(lambda: server.metrics.value(WIRE_FAULTS, "tls") == 1)


def test_certificates_that_cannot_be_used_are_refused_by_setting(certificates):
    at = certificates
    for listen, field in (
        (ListenTls(cert=f"{at}/none.pem", key=f"{at}/server.key"), "listen_tls.cert"),
        (ListenTls(cert=f"{at}/server.pem", key=f"{at}/client.key"), "listen_tls.cert"),
        (
            ListenTls(
                cert=f"{at}/server.pem", key=f"{at}/server.key", client_ca=f"{at}/server.key"
            ),
            "listen_tls.client_ca",
        ),
    ):
        with pytest.raises(BadRequest) as caught:
            server_context(listen)
        assert caught.value.field == field
