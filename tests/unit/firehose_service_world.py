"""The service Firehose hosted over an embedded log, and clients of it."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from firehose.access import Client, Role
from firehose.handler import FirehoseHandler
from firehose.log import Log
from firehose.log_sqlite import SqliteLog
from firehose.writes import Writes
from idgen.clock import Clock
from idgen.errors import PermissionDenied, Unauthenticated
from idgen.idl import load
from ops.firehose_service import firehose_service
from ops.template.server import ThriftServer
from ops.thrift_calls import Channel
from tests.unit.firehose_world import IdsInARow, ManualClock

PARTITIONS = 5
WEEK_MS = 7 * 24 * 3600 * 1000
READER, WRITER, BOTH = "reader-token", "writer-token", "both-token"
CALL_MS = 20_000
wire = load("firehose")
dash = load("dashboard")


class Doorkeeper:
    """A `Gate` of a few clients; remembers who was turned away."""

    def __init__(self) -> None:
        read, append = frozenset((Role.READ,)), frozenset((Role.APPEND,))
        self.clients = {
            READER: Client("search", read, 2, 1_000_000),
            WRITER: Client("importer", append, 2, 1_000_000),
            BOTH: Client("all", read | append, 2, 1_000_000),
        }

    def admit(self, token: str, role: Role) -> Client:
        client = self.clients.get(token)
        if client is None:
            raise Unauthenticated("unknown token")
        if role not in client.roles:
            raise PermissionDenied(f"{client.name} has no role {role.value}")
        return client


class World:
    """A log, the service over it on a port, and a channel to it."""

    def __init__(self, log: Callable[[Clock], Log], clock: Clock | None = None) -> None:
        self.hand = ManualClock()
        self.clock: Clock = clock or self.hand
        self.log = log(self.clock)
        self.ids = IdsInARow()
        self.gate = Doorkeeper()
        writes = Writes(self.log, self.ids, self.clock, backfill_default=7)
        self.handler = FirehoseHandler(self.log, writes, self.gate, self.clock, WEEK_MS)
        self._server = ThriftServer(firehose_service(self.handler), "127.0.0.1", 0).start()
        self.address = f"127.0.0.1:{self._server.port}"
        self._channel = Channel(wire.Firehose, [self.address])

    def call(self, method: str, request: Any) -> Any:
        return self._channel.call(method, request, CALL_MS, repeatable=False)

    def append(self, *events: Any, token: str = WRITER) -> list[Any]:
        found: list[Any] = self.call(
            "append_many", wire.AppendManyRequest(token=token, events=list(events))
        )
        return found

    def read(self, start: str, token: str = READER, **asked: Any) -> Any:
        return self.call("read", wire.ReadRequest(token=token, start=start, **asked))

    def close(self) -> None:
        self._channel.close()
        self._server.drain(5.0)
        self.handler.close()
        self.log.close()


@contextlib.contextmanager
def hosted(folder: Path, clock: Clock | None = None) -> Iterator[World]:
    world = World(lambda c: SqliteLog(folder / "log.sqlite", "events", PARTITIONS, c), clock)
    try:
        yield world
    finally:
        world.close()


def post(author: int, body: str = "x", brought_id: int | None = None, **draft: Any) -> Any:
    """A NewEvent of a post."""
    made = wire.PostCreated(author=author, draft=dash.Draft(body=body, **draft))
    return wire.NewEvent(post_created=made, brought_id=brought_id)
