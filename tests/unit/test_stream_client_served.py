"""The client to copy at the server that we ship: restarted, cut off, with less than was read."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from firehose.event import Followed, Liked, PostCreated
from firehose.stream_client import CursorTooOld, Refused, StreamClient, StreamError
from idgen.clock import SystemClock
from ops.stream.server import StreamServer
from tests.contract.patience import until
from tests.unit.scripted_stream import by_partition, quick
from tests.unit.stream_world import PARTITIONS, READER, World, served

pytestmark = pytest.mark.slow
PATIENCE_S = 20.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with served(tmp_path) as found:
        yield found


def client_at(port: int, **options: Any) -> StreamClient:
    return quick(StreamClient(f"http://127.0.0.1:{port}", READER, **options))


def restart(world: World, *, at_once: bool) -> None:
    """Another server on the same port, as after an upgrade (`at_once`: after a crash)."""
    port = world.server.port
    if at_once:
        world.server.close()
    else:
        assert world.server.drain(PATIENCE_S)
    world.server = StreamServer(
        world.log, world.groups, world.gate, SystemClock(), "127.0.0.1", port, limits=world.limits
    ).start()


def check_all(world: World, events: list[dict[str, Any]]) -> None:
    """Each appended event is there once, in order, and says what it said."""
    expected: dict[int, list[int]] = {}
    for partition, offset in sorted(world.events):
        expected.setdefault(partition, []).append(offset)
    assert by_partition(events) == expected
    for event in events:
        made = world.events[event["partition"], event["offset"]]
        assert event["id_str"] == str(made.id)
        match made:
            case PostCreated():
                told = ("post_created", made.author, made.draft.body)
                assert (event["kind"], event["author"], event["body"]) == told
            case Liked():
                assert (event["kind"], event["post_id"]) == ("liked", made.post_id)
            case Followed():
                assert (event["kind"], event["follower"]) == ("followed", made.follower)


class Reading:
    """A client that reads in a thread of its own until it has so many events."""

    def __init__(self, client: StreamClient, count: int) -> None:
        self.events: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self._client, self._count = client, count
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for event in self._client:
                self.events.append(event)
                if len(self.events) >= self._count:
                    return
        except StreamError as error:
            self.error = error

    def join(self) -> list[dict[str, Any]]:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), f"{len(self.events)} of {self._count} events came"
        return self.events


class CuttingProxy:
    """Passes bytes on to a port, and cuts a connection off after so many from there."""

    def __init__(self, port: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._to = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.cuts = 0
        self.calm = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as far:
            far.sendall(near.recv(65536))
            left = self._random.randint(0, 20_000)
            while data := far.recv(4096):
                if len(data) > left and not self.calm:
                    self.cuts += 1
                    near.sendall(data[:left])
                    return
                left -= len(data)
                near.sendall(data)


def test_all_events_come_once_over_restarts_while_more_are_appended(world: World) -> None:
    world.append(300)
    client = client_at(world.server.port, from_="earliest")
    reading = Reading(client, 1_500)
    for at_once in (False, True, False, True):
        restart(world, at_once=at_once)
        came = len(reading.events)
        world.append(300)
        until("more came", lambda n=came: len(reading.events) > n or reading.error, PATIENCE_S)
    check_all(world, reading.join())


def test_all_events_come_once_over_cut_connections(world: World) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    random.seed(seed)
    world.append(1_000, body="größer 日本語 🦊")
    proxy = CuttingProxy(world.server.port, seed)
    reading = Reading(client_at(proxy.port, from_="earliest"), 2_000)
    until("connections were cut", lambda: proxy.cuts > 20, PATIENCE_S)
    world.append(1_000)
    until("more were", lambda: proxy.cuts > 40 or reading.error, PATIENCE_S)
    proxy.calm = True
    check_all(world, reading.join())
    proxy.close()


def test_it_ends_where_the_log_ended_and_goes_on_from_its_file(
    world: World, tmp_path: Path
) -> None:
    asked = {"from_": "earliest", "until": "latest", "checkpoint_file": tmp_path / "place"}
    world.append(200)
    first = list(client_at(world.server.port, **asked))
    check_all(world, first)
    assert list(client_at(world.server.port, **asked)) == []
    world.append(50)
    second = list(client_at(world.server.port, **asked))
    assert len(second) == 50
    check_all(world, first + second)


def test_readers_of_shares_have_it_all_together(world: World) -> None:
    world.append(200)
    asked = {"from_": "earliest", "until": "latest"}
    shares = [list(client_at(world.server.port, partitions=f"{i}/3", **asked)) for i in range(3)]
    assert [{event["partition"] % 3 for event in share} for share in shares] == [{0}, {1}, {2}]
    check_all(world, [event for share in shares for event in share])


@pytest.mark.parametrize(
    ("options", "status", "field"),
    [
        ({"from_": "1341403200"}, 400, "from"),
        ({"from_": "2012-07-04T12:00:00"}, 400, "from"),
        ({"from_": "2012-07-04T12:00:00+02:00", "until": "earliest"}, 400, "until"),
        ({"kinds": "everything"}, 400, "kinds"),
        ({"partitions": f"{PARTITIONS}/{PARTITIONS}"}, 400, "partitions"),
    ],
)
def test_what_the_server_refuses_is_raised(
    world: World, options: dict[str, Any], status: int, field: str
) -> None:
    with pytest.raises(Refused) as caught:
        list(client_at(world.server.port, **options))
    assert (caught.value.status, caught.value.told["field"]) == (status, field)


def test_a_stranger_and_one_who_is_revoked_are_not_let_in(world: World) -> None:
    stranger = quick(StreamClient(f"http://127.0.0.1:{world.server.port}", "who"))
    with pytest.raises(Refused, match="401") as caught:
        list(stranger)
    assert caught.value.reason == "unauthenticated"
    world.append(1)
    reading = Reading(client_at(world.server.port, from_="earliest"), 2)
    until("it reads", lambda: reading.events, PATIENCE_S)
    del world.gate.clients[READER]
    assert len(reading.join()) == 1
    assert "revoked" in str(reading.error)


def test_a_gap_is_loud_and_may_be_accepted(world: World, tmp_path: Path) -> None:
    file = tmp_path / "place"
    asked = {"from_": "earliest", "until": "latest", "checkpoint_file": file}
    world.append(100)
    list(client_at(world.server.port, **asked))
    world.append(400)
    before = [span.start for span in world.log.spans()]
    starts = [span.end - 10 for span in world.log.spans()]
    assert all(start > begin for start, begin in zip(starts, before, strict=True))
    for partition, start in enumerate(starts):
        world.log._file.write(
            lambda db, p=partition, s=start: world.log._forget(p, s, db)  # as retention does
        )
    with pytest.raises(CursorTooOld, match="no longer retained") as caught:
        list(client_at(world.server.port, **asked))
    place = {"from_": caught.value.floor, "until": "latest"}
    found = by_partition(list(client_at(world.server.port, **place)))
    assert found == {p: list(range(s, s + 10)) for p, s in enumerate(starts)}
    client = client_at(world.server.port, accept_gap=True, **asked)
    assert by_partition(list(client)) == found
    assert client.gaps == 1
