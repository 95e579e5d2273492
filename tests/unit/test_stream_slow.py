"""Readers that are slow, stuck, or too many; and what a server keeps for them."""

import contextlib
import json
import socket
import threading
from typing import Any

import pytest

from tests.contract.patience import until
from tests.unit.stream_world import PARTITIONS, READER, World, place, served

BODY = "x" * 4_000
PATIENCE_S = 30.0


class Sleeper:
    """A client that reads when it is told to; its own buffer is small."""

    def __init__(self, world: World, query: str = "") -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(world.address)
        request = f"GET /v1/stream?{query} HTTP/1.0\r\nAuthorization: Bearer {READER}\r\n\r\n"
        self.socket.sendall(request.encode())
        self._file = self.socket.makefile("rb")
        while self._file.readline() != b"\r\n":
            pass

    def frame(self) -> dict[str, Any]:
        return json.loads(self._file.readline())

    def rest(self) -> list[dict[str, Any]]:
        """All frames to the end, or to where it was cut."""
        found = []
        try:
            for line in self._file:
                if not line.endswith(b"\n"):
                    break
                found.append(json.loads(line))
        except ConnectionResetError:
            pass
        return found

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def metric(world: World, name: str) -> float:
    return next(s.value for s in world.server.samples() if s.metric.name == f"dashcell_{name}")


@pytest.fixture
def small(tmp_path):
    """A server that keeps little for who is slow."""
    with served(tmp_path, window_bytes=200_000, socket_bytes=16_384, grace_s=PATIENCE_S) as made:
        yield made


@pytest.mark.slow
def test_a_slow_reader_is_told_where_to_go_on_and_loses_nothing(small):
    before = metric(small, "stream_slow_readers_total")
    slow, fast = Sleeper(small), small.stream()
    begin = slow.frame()
    fast.frame()
    places = []
    for _ in range(30):
        small.append(20, BODY)
        places += [place(event) for event in fast.events(20)]
    frames = slow.rest()

    end = frames[-1]
    assert (end["frame"], end["reason"], end["retry"]) == ("end", "slow_reader", True)
    assert metric(small, "stream_slow_readers_total") == before + 1
    assert metric(small, "stream_window_bytes") <= 200_000
    # Whoever was quick has all of it, and was not cut.
    assert len(set(places)) == 600
    got = [place(frame) for frame in frames if frame["frame"] == "event"]
    assert len(got) < 600
    again = small.stream(f"from={end['cursor']}&until=latest").rest()
    got += [place(frame) for frame in again if frame["frame"] == "event"]
    assert len(got) == 600
    assert set(got) == set(small.events)
    assert begin["from"] == {str(p): 0 for p in range(PARTITIONS)}
    slow.close()


@pytest.mark.slow
def test_a_reader_that_takes_nothing_is_cut_off_and_nobody_is_slowed(tmp_path):
    with served(tmp_path, stuck_s=0.5, socket_bytes=16_384) as world:
        stuck = [Sleeper(world), Sleeper(world, "from=earliest")]
        quick = world.stream()
        quick.frame()

        world.append(300, BODY)  # less than the window: only their buffers are full
        assert len({place(frame) for frame in quick.events(300)}) == 300
        until("they are cut", lambda: metric(world, "streams") == 1, PATIENCE_S)

        assert metric(world, "stream_slow_readers_total") == 2
        for sleeper in stuck:
            assert all(frame["frame"] != "end" for frame in sleeper.rest())
            sleeper.close()
        world.append(5)
        assert len(quick.events(5)) == 5


def test_a_replay_waits_for_its_reader_and_is_never_cut_while_that_takes_some(small):
    small.append(600, BODY)
    slow = Sleeper(small, "from=earliest&until=latest")
    frames = slow.rest()
    assert frames[-1]["reason"] == "until"
    assert {place(f) for f in frames if f["frame"] == "event"} == set(small.events)
    slow.close()


@pytest.mark.slow
def test_more_replays_than_turns_take_turns(tmp_path):
    with served(tmp_path, replays=1, turn_s=0.05, heartbeat_s=0.05) as world:
        world.append(3_000)
        streams = [world.stream("from=earliest&until=latest") for _ in range(4)]
        for stream in streams:
            found = [place(f) for f in stream.rest() if f["frame"] == "event"]
            assert len(found) == 3_000
            assert set(found) == set(world.events)


@pytest.mark.slow
def test_connections_are_capped_and_heads_have_to_come_in_time(tmp_path):
    with served(tmp_path, connections=2, head_s=0.3) as world:
        late = socket.create_connection(world.address, timeout=PATIENCE_S)
        late.sendall(b"GET /v1/stream HTTP/1.1\r\n")
        first = world.stream()
        first.frame()

        third = world.stream()
        assert (third.status, third.problem()["reason"]) == (503, "throttled")

        with contextlib.suppress(ConnectionResetError):
            assert late.recv(100) == b""
        late.close()
        assert world.stream().status == 200
        first.frames("heartbeat", 3)  # a stream that has begun is not late


def test_nothing_is_read_for_nobody(tmp_path):
    with served(tmp_path) as world:
        stream = world.stream("from=earliest")
        stream.frame()
        world.append(3)
        stream.events(3)
        assert metric(world, "stream_window_events") > 0
        stream.close()
        world.append(500)  # so that the server notices
        until("the window is closed", lambda: metric(world, "stream_window_events") == 0, 20)
        threads = {thread.name for thread in threading.enumerate()}
        assert until("the tail is over", lambda: "stream tail" not in _names(), 20) or threads


def _names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}
