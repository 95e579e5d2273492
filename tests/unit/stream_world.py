"""A stream server over an embedded log, and a client of the test's own."""

import contextlib
import http.client
import json
import random
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firehose.access import Client, Role
from firehose.checkpoint import Checkpoints
from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.codec import encode
from firehose.event import Draft, Followed, Liked, PostCreated
from firehose.log import Log
from firehose.log_sqlite import SqliteLog
from idgen.clock import SystemClock
from idgen.errors import PermissionDenied, Unauthenticated
from idgen.ids import compose
from ops.stream.limits import StreamLimits
from ops.stream.server import StreamServer
from tests.contract.ports import kept_ports
from tests.unit.firehose_world import NOW_MS

PARTITIONS = 5
READER, OTHER, WRITER, OPERATOR = "reader-token", "other-token", "writer-token", "operator-token"
READ_S = 20.0


class Doorkeeper:
    """A `Gate` of a few clients."""

    def __init__(self) -> None:
        read = frozenset((Role.READ,))
        self.clients = {
            READER: Client("search", read, 64, 1_000),
            OTHER: Client("spam", read, 2, 1_000),
            WRITER: Client("importer", frozenset((Role.APPEND,)), 2, 1_000),
            OPERATOR: Client("ops", frozenset((Role.OPERATE,)), 2, 1_000),
        }
        self.asked = 0

    def admit(self, token: str, role: Role) -> Client:
        self.asked += 1
        client = self.clients.get(token)
        if client is None:
            raise Unauthenticated("unknown token")
        if role not in client.roles:
            raise PermissionDenied(f"{client.name} has no role {role.value}")
        return client


class Stream:
    """One answer that goes on; frames are read as they are asked for."""

    def __init__(self, address: tuple[str, int], path: str, headers: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection(*address, timeout=READ_S)
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()
        self.status = self.answer.status

    def frame(self) -> dict[str, Any]:
        """The next frame; raises EOFError at the end."""
        line = self.answer.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def frames(self, kind: str, count: int) -> list[dict[str, Any]]:
        """So many frames of one kind, the others passed over."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            frame = self.frame()
            if frame["frame"] == kind:
                found.append(frame)
        return found

    def events(self, count: int) -> list[dict[str, Any]]:
        return self.frames("event", count)

    def rest(self) -> list[dict[str, Any]]:
        """All frames up to the end."""
        return [json.loads(line) for line in self.answer]

    def sse(self) -> dict[str, str]:
        """The next server-sent event, as its fields."""
        found: dict[str, str] = {}
        while (line := self.answer.readline().decode()) != "\n":
            if not line:
                raise EOFError
            name, _, value = line.rstrip("\n").partition(": ")
            found[name] = value
        return found

    def problem(self) -> dict[str, Any]:
        assert self.answer.getheader("content-type") == "application/problem+json"
        return json.loads(self.answer.read())

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


class World:
    """A log, its groups, and a server on a port."""

    def __init__(
        self,
        folder: Path,
        opened: tuple[Log, Checkpoints] | None = None,
        tls: ssl.SSLContext | None = None,
        **limits: Any,
    ) -> None:
        """`opened`: a log of PARTITIONS and its groups; else embedded ones in `folder`."""
        self.log, self.groups = opened or _embedded(folder)
        self.gate = Doorkeeper()
        self.limits = StreamLimits(**{"heartbeat_s": 0.2, "grace_s": 1.0, **limits})
        self.server = StreamServer(
            self.log,
            self.groups,
            self.gate,
            SystemClock(),
            "127.0.0.1",
            *kept_ports(1),
            tls=tls,
            limits=self.limits,
        ).start()
        self.address = ("127.0.0.1", self.server.port)
        self.events: dict[tuple[int, int], Any] = {}
        self._count = 0
        self._random = random.Random(1)
        self._open: list[Stream] = []

    def append(self, count: int, body: str = "") -> list[tuple[int, int]]:
        """So many events of some kinds and authors; where they are."""
        found = []
        while len(found) < count:
            made = [self._event(body) for _ in range(min(100, count - len(found)))]
            records = [(self._random.randrange(PARTITIONS), encode(event)) for event in made]
            for event, done in zip(made, self.log.append(records), strict=True):
                self.events[done.partition, done.offset] = event
                found.append((done.partition, done.offset))
        return found

    def _event(self, body: str) -> Any:
        self._count += 1
        event_id, author = compose(NOW_MS + self._count, 1, 0), self._random.randint(1, 9)
        if body or self._count % 3 == 0:
            draft = Draft(body=body or f"post {self._count}")
            return PostCreated(event_id, author, draft)
        if self._count % 3 == 1:
            return Liked(event_id, 77, author, 5)
        return Followed(event_id, 78, author, 3)

    def stream(self, query: str = "", token: str = READER, **headers: str) -> Stream:
        """A request for a stream; closed with the world."""
        given = {"Authorization": f"Bearer {token}"} if token else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        path = f"/v1/stream?{query}" if query else "/v1/stream"
        made = Stream(self.address, path, given)
        self._open.append(made)
        return made

    def ask(
        self, method: str, path: str, body: Any = None, token: str = READER
    ) -> tuple[int, dict[str, Any]]:
        """Any other request, and its JSON."""
        connection = http.client.HTTPConnection(*self.address, timeout=READ_S)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, data, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def close(self) -> None:
        for stream in self._open:
            stream.close()
        self.server.drain(5.0)
        self.groups.close()
        self.log.close()


def _embedded(folder: Path) -> tuple[SqliteLog, SqliteCheckpoints]:
    log = SqliteLog(folder / "log.sqlite", "events", PARTITIONS, SystemClock())
    return log, SqliteCheckpoints(log, folder / "groups.sqlite", SystemClock())


def place(frame: dict[str, Any]) -> tuple[int, int]:
    return frame["partition"], frame["offset"]


def check_order(found: list[tuple[int, int]]) -> None:
    """Nothing doubled, and each partition in its order."""
    assert len(set(found)) == len(found)
    for partition in range(PARTITIONS):
        offsets = [offset for p, offset in found if p == partition]
        assert offsets == sorted(offsets)


def read_in_pieces(
    world: World, chance: random.Random, writer: threading.Thread
) -> tuple[list[tuple[int, int]], str]:
    """All events while a writer appends, by a stream that is cut at random and resumed."""
    found: list[tuple[int, int]] = []
    cursor = "earliest"
    while writer.is_alive() or len(found) < len(world.events):
        by_header = cursor != "earliest" and chance.random() < 0.5
        query = "cursors=each&" + ("from=latest" if by_header else f"from={cursor}")
        stream = world.stream(query, **({"Last_Event_ID": cursor} if by_header else {}))
        stream.frame()
        for _ in range(chance.randint(0, 60)):
            frame = stream.frame()
            cursor = frame["cursor"]
            if frame["frame"] == "event":
                found.append(place(frame))
            elif not writer.is_alive() and len(found) == len(world.events):
                break
        stream.close()
    return found, cursor


@contextlib.contextmanager
def served(
    folder: Path, opened: tuple[Log, Checkpoints] | None = None, **limits: Any
) -> Iterator[World]:
    world = World(folder, opened, **limits)
    try:
        yield world
    finally:
        world.close()
