"""Whatever comes over one connection, the others are served and memory stays bounded."""

import contextlib
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from thriftpy2.protocol.compact import TCompactProtocol
from thriftpy2.thrift import TMessageType
from thriftpy2.transport.memory import TMemoryBuffer

from cell.dashboard import Context, Home, PageQuery, Receipt
from firehose.event import Draft
from idgen.errors import DashcellError
from ops import thrift_values as values
from ops.dashboard_client import DashboardClient
from ops.metrics import CALL_ERRORS, CONNECTIONS, CONNECTIONS_IDLE_CLOSED, WIRE_FAULTS
from ops.template.connection import WireLimits
from ops.template.server import ServerLimits, ThriftServer
from ops.thrift_calls import encode_call
from tests.unit.dashboard_wire import ScriptedDashboard, framed, serving, until

HOME = Home("a", 1, ())
DASHBOARD = values.wire.Dashboard
ROUTE = encode_call(
    DASHBOARD, "route", values.wire.RouteRequest(1, values.wire.Context(1000, "abc"))
)
PAGE = encode_call(DASHBOARD, "page", values.query_to_wire(PageQuery(1, before=b"b" * 24)))
SHORT = ServerLimits(wire=WireLimits(frame_s=0.4, idle_s=600.0, answer_s=0.4))


@dataclass
class Served:
    """A server, a connection of somebody well-behaved, and what was answered to them."""

    server: ThriftServer
    client: DashboardClient
    dashboard: ScriptedDashboard
    others: Callable[[], bool]
    """Wait for one more answer to the well-behaved."""

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), 10)

    def faults(self, kind: str) -> float:
        return self.server.metrics.value(WIRE_FAULTS, kind)


@contextlib.contextmanager
def others_served(limits: ServerLimits | None = None) -> Iterator[Served]:
    """While the block runs, somebody else calls all the time and is always answered."""
    dashboard = ScriptedDashboard(HOME)
    with serving(dashboard, limits) as (server, client):
        stop, failures, calls = threading.Event(), [], [0]

        def call_on() -> None:
            while not stop.is_set():
                try:
                    assert client.route(Context(deadline_ms=5000), 1) == HOME
                except BaseException as error:  # noqa: BLE001 - shown by the test
                    failures.append(error)
                    return
                calls[0] += 1
                stop.wait(0.002)

        def one_more() -> bool:
            seen = calls[0]
            return until(lambda: calls[0] > seen + 1 or bool(failures)) and not failures

        caller = threading.Thread(target=call_on)
        caller.start()
        try:
            assert one_more()
            yield Served(server, client, dashboard, one_more)
            assert one_more()
        finally:
            stop.set()
            caller.join()
        assert not failures
        assert server.metrics.value(CALL_ERRORS, "route", "internal_error") == 0


def closed_by_server(sock: socket.socket, timeout_s: float = 10.0) -> bool:
    sock.settimeout(timeout_s)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_call_cut_at_every_byte_is_closed_and_counted():
    whole = framed(PAGE)
    with others_served() as served:
        for size in range(1, len(whole)):
            with served.connect() as sock:
                sock.sendall(whole[:size])
                sock.shutdown(socket.SHUT_WR)
                assert closed_by_server(sock), size
        assert until(lambda: served.faults("truncated") == len(whole) - 1)
        assert not [name for name, _ in served.dashboard.asked if name == "page"]


def test_a_frame_whose_content_is_cut_is_closed_and_counted():
    with others_served() as served:
        for size in range(4, len(PAGE)):
            with served.connect() as sock:
                sock.sendall(framed(PAGE[:size]))
                assert closed_by_server(sock), size
        kinds = ("truncated", "malformed")
        assert until(lambda: sum(served.faults(kind) for kind in kinds) == len(PAGE) - 4)
        assert not [name for name, _ in served.dashboard.asked if name == "page"]


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (struct.pack(">I", 1024 * 1024 + 1), "oversized"),
        (struct.pack(">I", 0x7FFFFFFF), "oversized"),
        (struct.pack(">I", 0xFFFFFFFF), "oversized"),
        (struct.pack(">I", 0), "malformed"),
        (b"GET /v1/stream HTTP/1.1\r\nHost: a\r\n\r\n", "wrong_protocol"),
        (b"POST / HTTP/1.1\r\n\r\n", "wrong_protocol"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "wrong_protocol"),
        (PAGE, "wrong_protocol"),
        (framed(b"\x82\x21\x01\x04page"), "wrong_protocol"),
        (framed(b"\x00" * 1_000_000), "wrong_protocol"),
        (framed(b"\x80\x01\x00\x01" + b"\xff" * 100), "malformed"),
    ],
)
def test_what_is_no_call_is_closed_at_once_and_counted_by_kind(first, kind):
    with others_served() as served, served.connect() as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(first)
        assert closed_by_server(sock)
        assert until(lambda: served.faults(kind) == 1)


def test_the_compact_protocol_is_closed_and_counted():
    transport = TMemoryBuffer()
    protocol = TCompactProtocol(transport)
    protocol.write_message_begin("route", TMessageType.CALL, 1)
    args = DASHBOARD.route_args(request=values.wire.RouteRequest(1))
    protocol.write_struct(args)
    with others_served() as served:
        for message in (transport.getvalue(), framed(transport.getvalue())):
            with served.connect() as sock:
                sock.sendall(message)
                assert closed_by_server(sock)
        assert until(lambda: served.faults("wrong_protocol") == 2)


HEAD = b"\x80\x01\x00\x01" + struct.pack(">I", 5) + b"route" + b"\x00" * 4
HOSTILE = {
    "a string of 2 GiB": HEAD + b"\x0b\x00\x01\x7f\xff\xff\xff",
    "a string of -1": HEAD + b"\x0b\x00\x01\xff\xff\xff\xff",
    "a list of 2^31 bools": HEAD + b"\x0f\x00\x01\x02\x7f\xff\xff\xff",
    "a list of 2^31 structs": HEAD + b"\x0f\x00\x01\x0c\x7f\xff\xff\xff" + b"\x00" * 1_000_000,
    "a million empty structs": HEAD
    + b"\x0f\x00\x01\x0c"
    + struct.pack(">I", 1_000_000)
    + b"\x00" * 1_000_001,
    "a map of 2^31": HEAD + b"\x0d\x00\x01\x0b\x0c\x7f\xff\xff\xff",
    "300,000 levels": HEAD + b"\x0c\x00\x01" * 300_000,
    "200,000 nested lists": HEAD + b"\x0f\x00\x01" + b"\x0f\x00\x00\x00\x01" * 200_000,
}


@contextlib.contextmanager
def memory_grows_by_less_than(most_mb: int) -> Iterator[None]:
    """The largest resident size within the block, against that at its beginning."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = peak_kb()
    yield
    assert peak_kb() - before < most_mb * 1024


def peak_kb() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(status.read_text().split("VmHWM:")[1].split()[0])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lengths_and_depths_cost_no_memory(name):
    with memory_grows_by_less_than(32), others_served() as served:
        for _ in range(5):
            with served.connect() as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(framed(HOSTILE[name]))
                assert closed_by_server(sock)
        kinds = ("malformed", "too_deep", "too_many_values", "truncated")
        assert until(lambda: sum(served.faults(kind) for kind in kinds) == 5)


def test_a_frame_begun_and_not_finished_is_closed_in_time():
    with others_served(SHORT) as served:
        for begun in (b"\x00", framed(PAGE)[:3], framed(PAGE)[:4], framed(PAGE)[:-1]):
            with served.connect() as sock:
                sock.sendall(begun)
                assert closed_by_server(sock)
        assert until(lambda: served.faults("half_open") == 4)


def test_one_byte_now_and_then_does_not_hold_a_connection():
    with others_served(SHORT) as served, served.connect() as sock:
        started = time.monotonic()
        pace = threading.Event()
        with contextlib.suppress(ConnectionError):
            for byte in framed(PAGE + b"\x00" * 4000):
                sock.sendall(bytes((byte,)))
                pace.wait(0.05)
                if served.faults("half_open"):
                    break
        assert served.faults("half_open") == 1
        assert time.monotonic() - started < 5


def test_a_client_that_does_not_take_its_answer_is_closed():
    dashboard = ScriptedDashboard(Home("a" * 1_000_000, 1, ()))
    with (
        serving(dashboard, SHORT) as (server, _),
        socket.create_connection(("127.0.0.1", server.port), 10) as sock,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(framed(ROUTE) * 20)
        assert until(lambda: server.metrics.value(WIRE_FAULTS, "slow_reader") == 1)


def test_an_idle_connection_is_closed_after_long_and_is_no_fault():
    limits = ServerLimits(wire=WireLimits(idle_s=0.3))
    with serving(ScriptedDashboard(HOME), limits) as (server, _):
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            assert closed_by_server(sock)
        assert until(lambda: server.metrics.value(CONNECTIONS_IDLE_CLOSED) == 1)
        assert until(lambda: not server.connections)


@pytest.mark.slow
def test_two_thousand_connections_beyond_the_bound_are_refused_and_memory_is_bounded():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 6000:
        pytest.skip("NOT TESTED: this system gives fewer than 6,000 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6000), hard))
    try:
        with (
            memory_grows_by_less_than(256),
            others_served(ServerLimits(connections=1024)) as served,
        ):
            with contextlib.ExitStack() as stack:
                opened = [stack.enter_context(served.connect()) for _ in range(2000)]
                assert until(lambda: served.faults("too_many_connections") >= 976, 30)
                assert served.server.connections <= 1024
                # Each is half a call, so that each has its bytes held by the server as well.
                for sock in opened:
                    with contextlib.suppress(OSError):
                        sock.sendall(framed(PAGE)[:-1])
                assert served.others()
            assert until(lambda: served.server.connections <= 4, 30)
            with served.connect() as sock:
                sock.sendall(framed(ROUTE))
                assert sock.recv(4) != b"", "there is room again"
            assert until(lambda: served.server.metrics.value(CONNECTIONS) <= 4)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_large_frames_at_once_wait_for_their_turn_within_a_budget():
    limits = ServerLimits(
        large_frame_bytes=4 * 1024 * 1024, wire=WireLimits(frame_s=1.0, idle_s=600.0)
    )
    with (
        memory_grows_by_less_than(48),
        others_served(limits) as served,
        contextlib.ExitStack() as stack,
    ):
        announced = struct.pack(">I", 1024 * 1024)
        for _ in range(100):
            sock = stack.enter_context(served.connect())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.send(announced + b"\x00" * 1_000_000)
        assert until(lambda: served.faults("no_memory") >= 50, 30)


def test_large_calls_give_their_bytes_back_however_they_end():
    body = "b" * 700_000
    limits = ServerLimits(large_frame_bytes=1024 * 1024, wire=WireLimits(frame_s=0.4, idle_s=600.0))
    dashboard = ScriptedDashboard(Receipt(1, b""))
    with serving(dashboard, limits) as (server, client):
        whole = framed(
            encode_call(
                DASHBOARD, "publish", values.wire.PublishRequest(1, values.wire.Draft(body=body))
            )
        )
        ends = (whole[:-1], framed(whole[4:-1]), framed(whole[4:] + b"x"), whole)
        for end in ends:
            with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
                sock.sendall(end)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1)
        dashboard.answer = ValueError("planted")
        with pytest.raises(DashcellError):
            client.publish(Context(), 1, Draft(body=body), None)
        dashboard.answer = Receipt(1, b"")
        for _ in range(3):
            client.publish(Context(deadline_ms=10_000), 1, Draft(body=body), None)
        assert server.metrics.value(WIRE_FAULTS, "no_memory") == 0
