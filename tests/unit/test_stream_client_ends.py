"""The client to copy: what it does when a stream ends, is refused, has a gap, or is silent."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from firehose import stream_client
from firehose.stream_client import CursorTooOld, Refused, StreamClient, StreamError
from tests.unit import scripted_stream
from tests.unit.scripted_stream import (
    TOKEN,
    Exchange,
    by_partition,
    client_of,
    complete,
    quick,
    serving,
)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited between connections; it does not wait."""
    found: list[float] = []
    clock = SimpleNamespace(monotonic=stream_client.time.monotonic, sleep=found.append)
    monkeypatch.setattr(stream_client, "time", clock)
    return found


# -- ends and refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason", ["slow_reader", "draining", "revoked", "rebalanced", "unavailable", "failed", "new"]
)
@pytest.mark.parametrize("retry", [True, False])
def test_an_end_is_obeyed_by_whether_a_retry_is_of_use(reason: str, retry: bool) -> None:
    def ending(exchange: Exchange) -> None:
        exchange.start("c1.a")
        exchange.event(3, 7)
        exchange.end(reason, retry=retry, cursor="c1.b")

    with serving(ending, complete) as server:
        events, client = [], client_of(server.url)
        if retry:
            events = list(client)
            assert server.asked[1].query["from"] == "c1.b"
        else:
            with pytest.raises(StreamError, match=f"{reason}: so said {reason}"):
                events.extend(client)
            assert len(server.asked) == 1
        assert by_partition(events) == {3: [7]}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 431, 302])
def test_a_refusal_is_raised_with_its_reason_and_never_tried_again(status: int) -> None:
    def refusing(exchange: Exchange) -> None:
        exchange.problem(status, "because", field="kinds")

    with serving(refusing) as server:
        with pytest.raises(Refused, match=f"{status} no: because") as caught:
            list(client_of(server.url))
        assert len(server.asked) == 1
    assert (caught.value.status, caught.value.reason) == (status, "because")
    assert caught.value.told["field"] == "kinds"
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b"7"])
def test_a_refusal_without_a_problem_is_one_too(body: bytes) -> None:
    def refusing(exchange: Exchange) -> None:
        exchange.head(403, kind="text/html")
        exchange.data(body)

    with serving(refusing) as server, pytest.raises(Refused, match="403"):
        list(client_of(server.url))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_after_what_was_asked_for(
    status: int, waits: list[float]
) -> None:
    def later(exchange: Exchange) -> None:
        exchange.problem(status, "later", "Retry-After: 7")

    with serving(later, later, complete) as server:
        assert list(client_of(server.url)) == []
    assert len(waits) == 2
    assert all(7 <= wait < 8 for wait in waits)


def test_waiting_has_a_bound_whatever_the_server_asks_for(waits: list[float]) -> None:
    def never(exchange: Exchange) -> None:
        exchange.problem(503, "later", "Retry-After: 99999999")

    with serving(never, complete) as server:
        assert list(client_of(server.url)) == []
    assert 600 <= waits[0] < 601


def test_it_backs_off_by_random_waits_out_of_a_range_that_doubles(waits: list[float]) -> None:
    def failing(exchange: Exchange) -> None:
        exchange.problem(503, "later")

    def starting(exchange: Exchange) -> None:
        exchange.start()  # and ends: no progress

    def living(exchange: Exchange) -> None:
        exchange.start()
        exchange.frame("heartbeat", cursor="c1.a")

    with serving(*[failing] * 12, *[starting] * 3, living, complete) as server:
        client = quick(StreamClient(server.url, TOKEN), backoff_s=1.0, backoff_max_s=30.0)
        assert list(client) == []
    ranges = [min(30.0, 2.0**n) for n in range(15)] + [1.0]
    assert len(waits) == len(ranges)
    shares = [wait / most for wait, most in zip(waits, ranges, strict=True)]
    assert all(0 <= share <= 1 for share in shares), shares
    assert max(shares) - min(shares) > 0.2, "the same shares would be no jitter"


def test_a_server_that_is_not_there_is_waited_for(waits: list[float]) -> None:
    with serving(complete) as server:
        gone = server.url
    client = client_of(gone)

    def enough(wait: float) -> None:
        waits.append(wait)
        if len(waits) == 5:
            raise KeyboardInterrupt

    stream_client.time.sleep = enough
    with pytest.raises(KeyboardInterrupt):
        list(client)
    assert len(waits) == 5


# -- gaps ----------------------------------------------------------------------------------------


def too_old_at_once(exchange: Exchange) -> None:
    exchange.problem(410, "cursor_too_old", floor="c1.floor")


def too_old_later(exchange: Exchange) -> None:
    exchange.start("c1.a")
    exchange.end("cursor_too_old", retry=False, cursor="c1.a", floor="c1.floor")


@pytest.mark.parametrize("too_old", [too_old_at_once, too_old_later])
def test_a_gap_is_raised_with_its_floor_unless_accepted(
    too_old: Callable[[Exchange], None], tmp_path: Path
) -> None:
    with serving(too_old) as server:
        with pytest.raises(CursorTooOld, match="cursor_too_old") as caught:
            list(client_of(server.url, from_="c1.old"))
        assert caught.value.floor == "c1.floor"
        assert len(server.asked) == 1
    file = tmp_path / "checkpoint"
    with serving(too_old, complete) as server:
        client = client_of(server.url, from_="c1.old", accept_gap=True, checkpoint_file=file)
        assert list(client) == []
        assert [each.query["from"] for each in server.asked] == ["c1.old", "c1.floor"]
    assert client.gaps == 1


# -- silence -------------------------------------------------------------------------------------


def silent(exchange: Exchange) -> None:
    exchange.start("c1.a", heartbeat_ms=60)
    assert exchange.wait_until_left()


def trickling(exchange: Exchange) -> None:
    """Bytes, but never a whole line."""
    exchange.start("c1.a", heartbeat_ms=60)
    exchange.sock.settimeout(0.02)
    for _ in range(int(scripted_stream.GONE_S / 0.02)):
        exchange.data(b" ")
        try:
            if exchange.sock.recv(1) == b"":
                return
        except TimeoutError:
            continue
    raise AssertionError("the client did not leave")


@pytest.mark.parametrize("dead", [silent, trickling])
def test_a_connection_without_frames_is_dead_after_two_heartbeats(
    dead: Callable[[Exchange], None],
) -> None:
    with serving(dead, complete) as server:
        assert list(client_of(server.url)) == []
        assert server.asked[1].query["from"] == "c1.a"


@pytest.mark.parametrize("dead", [silent, trickling])
def test_a_fault_that_waits_for_ever_is_noticed(
    dead: Callable[[Exchange], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted_stream, "GONE_S", 0.3)
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda wait: None)
    monkeypatch.setattr(stream_client, "time", clock)
    connect = StreamClient._connect

    def patient(client: StreamClient, address: str) -> Any:
        connection = connect(client, address)
        connection.connect()
        connection.sock = Patient(connection.sock)
        connection.connect = lambda: None
        return connection

    monkeypatch.setattr(StreamClient, "_connect", patient)
    with pytest.raises((AssertionError, Refused)):
        test_a_connection_without_frames_is_dead_after_two_heartbeats(dead)


class Patient:
    """A socket without time-outs."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, _seconds: float) -> None:
        self._sock.settimeout(10.0)


@pytest.mark.slow
def test_heartbeats_keep_a_connection() -> None:
    def beating(exchange: Exchange) -> None:
        exchange.start("c1.a", heartbeat_ms=800)
        for _ in range(22):  # 2.2 s, longer than two and a half heartbeats
            exchange.sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                exchange.sock.recv(1)
            exchange.frame("heartbeat", cursor="c1.b")
        exchange.end("until", retry=False)

    with serving(beating) as server:
        assert list(client_of(server.url)) == []
        assert len(server.asked) == 1


def test_a_line_without_an_end_is_not_kept_for_ever(
    monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setattr(stream_client, "LINE_BYTES_MAX", 100_000)

    def endless(exchange: Exchange) -> None:
        exchange.start("c1.a")
        for _ in range(1_000):
            exchange.data(b"x" * 1_000)

    with serving(endless, complete) as server:
        assert list(client_of(server.url)) == []
        assert len(server.asked) == 2
