"""The peers of a fan-out on one stage, each made when it is first asked for.

Those that write into HBase have a table of their own, made like the product's inbox, on the same
region server; the timelines of Redis and stream-framework have a Redis of their own.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from cell import keys
from ops.bench import calls
from ops.bench.peers.bare_loop import BareLoop
from ops.bench.peers.bare_pages import BarePages
from ops.bench.peers.happybase_batch import HappybaseBatch
from ops.bench.peers.java_client import JavaClient
from ops.bench.peers.redis_timelines import PackedTimelines, RedisTimelines
from ops.bench.peers.stream_framework import StreamFramework, environment
from ops.bench.peers.writer import Fanout, PeerFailed, Writer, rows_in
from ops.bench.stage import CELL, Stage, full_name
from ops.stack import redis
from ops.stack.hbase import znode_parent
from ops.stack.jars import ensure_jars
from ops.stack.java import find_java
from ops.stack.ports import PortReservation
from ops.stack.redis_binary import find_redis

BARE = "bare loop"
JAVA = "HBase's Java client"
HAPPYBASE = "happybase Table.batch"
REDIS = "Redis pipeline"
PACKED = "Redis pipeline, packed by hand"
STREAM_FRAMEWORK = "stream-framework"
BARE_PAGES = "bare page server"
WRITERS = (BARE, JAVA, HAPPYBASE, REDIS, PACKED, STREAM_FRAMEWORK)

TABLES = {BARE: "bench_bare", JAVA: "bench_java", HAPPYBASE: "bench_happybase"}
TIMELINES_MB = 2048


class PeersOfStage:
    """Writers by name; closed together."""

    def __init__(self, stage: Stage, cache: Path, progress: Callable[[str], None]) -> None:
        self._stage = stage
        self._cache = cache
        self._progress = progress
        self._writers: dict[str, Writer] = {}
        self._pages: BarePages | None = None
        self._closing = ExitStack()

    def writer(self, name: str) -> Writer:
        """The peer of this name (one of WRITERS). Raises PeerMissing, PeerFailed."""
        if name not in self._writers:
            makers: dict[str, Callable[[], Writer]] = {
                BARE: lambda: BareLoop(self._stage.found.hbase_thrift2, self.table(BARE)),
                JAVA: self._java,
                HAPPYBASE: lambda: HappybaseBatch(
                    self._stage.found.hbase_thrift1, self.table(HAPPYBASE)
                ),
                REDIS: lambda: RedisTimelines(self.redis("timelines")),
                PACKED: lambda: PackedTimelines(self.redis("packed")),
                STREAM_FRAMEWORK: lambda: StreamFramework(
                    environment(self._cache, self._progress), self.redis("feeds")
                ),
            }
            made = makers[name]()
            self._closing.callback(made.close)
            self._writers[name] = made
        return self._writers[name]

    def rate(self, name: str, fanouts: Sequence[Fanout]) -> float:
        """Rows a second of a peer that writes these, by its own clock where it has one."""
        writer = self.writer(name)
        before: float | None = getattr(writer, "seconds", None)
        began = time.monotonic()
        rows = writer.write(fanouts)
        seconds = time.monotonic() - began
        if before is not None:  # a child: the way to it and back is none of its work
            seconds = getattr(writer, "seconds", 0.0) - before
        if rows != rows_in(fanouts):
            raise PeerFailed(f"{name} acknowledged {rows} of {rows_in(fanouts)} rows")
        return rows / seconds

    def table(self, name: str) -> str:
        """The full name of a peer's own table, made like the product's inbox."""
        self._stage.tables.create([TABLES[name]])
        return full_name(TABLES[name])

    def redis(self, name: str) -> str:
        """A Redis of its own; where it answers."""
        ports = PortReservation()
        port = ports.take()
        settings = redis.RedisSettings(name, port, TIMELINES_MB)
        folder = self._stage.folder / "servers" / f"redis-{name}"
        supervisor = self._stage.running.supervisor
        ports.release(port)
        supervisor.start(redis.child(folder, settings, find_redis()))
        supervisor.wait_ready([redis.name(name)])
        return f"{settings.host}:{port}"

    def page_calls(self, first_reader: int, readers: int) -> calls.BarePages:
        """What clients of the bare page server ask; it is over the product's own tables."""
        if self._pages is None:
            found = self._stage.found
            self._pages = BarePages(
                found.hbase_thrift2,
                found.redis,
                inbox=full_name(keys.INBOX),
                posts=full_name(keys.POSTS),
            )
            self._closing.callback(self._pages.close)
        return calls.BarePages(self._pages.address, (first_reader, readers))

    def _java(self) -> Writer:
        found = self._stage.found
        jars = ensure_jars(self._cache, self._progress)
        return JavaClient(
            find_java(None), jars.hbase, found.zookeeper, znode_parent(CELL), self.table(JAVA)
        )

    def close(self) -> None:
        """End all of them."""
        self._closing.close()
        self._writers.clear()
