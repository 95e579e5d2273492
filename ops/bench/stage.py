"""The real stack for benches: one cell, every service a process, in a folder of its own.

Events can be put straight into the log (a router's share in a delivery is measured elsewhere), and
edges straight into the tables, as the follows would have written them: a million follows through
the log take minutes. Edges may be planted only while the worker is stopped, for it remembers what
it has read.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from cell import keys
from cell.tables import FixedRows, Tables
from cell.versions import version_of
from firehose.codec import encode
from firehose.event import Draft, Event, PostCreated
from firehose.log import Appended
from idgen.errors import Corrupt, DeadlineExceeded
from idgen.ids import SEQUENCES, WORKERS, U64Array, compose, partition_of, spread_array
from ops import addresses
from ops.bench.processes import metric_sum, processor_s
from ops.config import load_config
from ops.metrics import EVENTS_APPLIED, ROWS_WRITTEN, Metric
from ops.platform_port import Platform
from ops.running_stack import RunningStack
from ops.stack.state import read_state
from ops.wiring.seams import SERVERS, Servers
from ops.wiring.stack import TABLE_PREFIX, StackSeams
from router.cells import read_cell
from router.routes import read_routes

CELL = "a"
INGEST = f"ingest-{CELL}"
APPEND_EVENTS = 20_000
"""Events per append: few enough for the producer's own queue."""
COUNTED_S = 10.0
FIRST_LIGHT_USER = 1_000
"""From here on users are looked for that make the first event of each partition."""

Progress = Callable[[str], None]


class Ids:
    """New ids without the id server: of a worker id that it gives last."""

    def __init__(self) -> None:
        self._ms = 0
        self._sequence = 0

    def take(self, count: int) -> list[int]:
        """`count` ids, above all given before."""
        return [self._next() for _ in range(count)]

    def _next(self) -> int:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > self._ms:
            self._ms, self._sequence = now_ms, 0
        elif self._sequence == SEQUENCES - 1:
            self._ms, self._sequence = self._ms + 1, 0
        else:
            self._sequence += 1
        return compose(self._ms, WORKERS - 1, self._sequence)


@dataclass(frozen=True, slots=True)
class Found:
    """Where the servers of a stage are, each "host:port"; `data` is HBase's root folder."""

    hbase_thrift1: str
    hbase_thrift2: str
    redis: str
    zookeeper: str
    kafka: str
    router: str
    dashboard: str
    data: Path


class Stage:
    """A platform of the stack profile; stopped and deleted when it is closed."""

    def __init__(self, progress: Progress, settings: dict[str, Any] | None = None) -> None:
        """`settings` by `section.key`, over those of the stack profile."""
        self.progress = progress
        self.folder = Path(tempfile.mkdtemp(prefix="dashcell-bench-"))
        overrides = {
            "platform.data": str(self.folder),
            "platform.profile": "stack",
            "platform.cells": 1,
            # One for each core of the machine that the goals are of.
            "listen.routers": 2,
            "listen.dashboards": 2,
            **(settings or {}),
        }
        self._config = load_config(overrides=overrides)
        self.ids = Ids()
        self._done: set[str] = set()
        progress("starting the stack")
        try:
            self.running = RunningStack(self._config, lambda _: None)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self.seams = StackSeams(self._config, addresses.read(self.folder).registry)
        self.found = self._find()
        self._stores = self.seams.cell(CELL)
        self._state = self._stores.state()
        self.band = read_routes(self.seams.registry).slices.at(0).epoch
        self._first_light()

    @property
    def platform(self) -> Platform:
        """The platform as commands see it."""
        return self.running.platform

    @property
    def tables(self) -> Tables:
        """The cell's tables."""
        return self._stores.tables

    def once(self, what: str) -> bool:
        """True the first time that it is asked for this; what several measures share."""
        first = what not in self._done
        self._done.add(what)
        return first

    def _find(self) -> Found:
        registry = self.seams.registry
        info = read_cell(registry, CELL).info
        services = {s.name: s.address for s in self.platform.status().services}
        return Found(
            hbase_thrift1=info.hbase_thrift1[0],
            hbase_thrift2=info.hbase_thrift2[0],
            redis=info.redis,
            zookeeper=addresses.read(self.folder).registry,
            kafka=msgspec.json.decode(registry.get(SERVERS).value, type=Servers).kafka,
            router=services["router"],
            dashboard=services[f"dashboard-{CELL}"],
            data=self.folder / "servers" / f"hbase-{CELL}" / "data",
        )

    # The log.

    def record(self, event: Event) -> tuple[int, bytes]:
        """An event as `append` takes it."""
        return partition_of(event.key_user, self.partitions), encode(event)

    @property
    def partitions(self) -> int:
        """Of the firehose."""
        return self._stores.firehose.partitions

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        """Put encoded events into the log; returns when all are durable."""
        done: list[Appended] = []
        for first in range(0, len(records), APPEND_EVENTS):
            done += self._stores.firehose.append(records[first : first + APPEND_EVENTS])
        return done

    def ends(self) -> list[int]:
        """The log's end by partition."""
        return [span.end for span in self._stores.firehose.spans()]

    def wait_applied(
        self, ends: Sequence[int] | None = None, deadline_s: float = 600.0, look_s: float = 0.005
    ) -> None:
        """Until the cell has applied everything below `ends` (None: the log's end now).

        Looks every `look_s`; a look costs HBase one call for all partitions. Raises
        DeadlineExceeded.
        """
        wanted = self.ends() if ends is None else ends
        until = time.monotonic() + deadline_s
        pause = threading.Event()
        while True:
            found = self._state.read()
            if all(found[p].applied.low >= end for p, end in enumerate(wanted)):
                return
            if time.monotonic() > until:
                raise DeadlineExceeded(f"the cell has not applied the log in {deadline_s:.0f} s")
            pause.wait(look_s)

    def deliver(self, records: Sequence[tuple[int, bytes]]) -> float:
        """Append and wait until all of it is applied; seconds from the first to the last."""
        began = time.monotonic()
        ends = [0] * self.partitions
        for appended in self.append(records):
            ends[appended.partition] = max(ends[appended.partition], appended.offset + 1)
        self.wait_applied(ends)
        return time.monotonic() - began

    def posts(self, authors: Iterable[int], body: str) -> list[tuple[int, bytes]]:
        """A post of each, encoded; an author may come more than once."""
        wanted = list(authors)
        draft = Draft(body=body)
        return [
            self.record(PostCreated(post_id, author, draft))
            for post_id, author in zip(self.ids.take(len(wanted)), wanted, strict=True)
        ]

    def _first_light(self) -> None:
        """One event in every partition: planted edges have the version of the event before."""
        found: dict[int, int] = {}
        user = FIRST_LIGHT_USER
        while len(found) < self.partitions:
            found.setdefault(partition_of(user, self.partitions), user)
            user += 1
        self.deliver(self.posts(found.values(), "first light"))

    # Edges.

    def plant_follows(self, authors: Sequence[int], followers: Sequence[U64Array]) -> None:
        """The edge rows of each author's followers (user ids), as follows would have left them.

        The worker must be stopped, or it may have read that there are none.
        """
        if INGEST in self.running.supervisor.names():
            raise ValueError("stop the ingest worker before edges are planted")
        ends = self.ends()
        counts = [len(each) for each in followers]
        author = np.repeat(np.array(authors, dtype=np.uint64), counts)
        at = np.repeat([ends[partition_of(a, self.partitions)] for a in authors], counts)
        follower = np.concatenate(list(followers))
        versions = at.astype(np.uint64) | np.uint64(version_of(self.band, 0))
        values = np.empty((len(at), 9), dtype=np.uint8)
        values[:, 0] = 1
        values[:, 1:] = at.astype(">u8").view(np.uint8).reshape(-1, 8)
        assert values[0].tobytes() == keys.pack_flagged(live=True, number=int(at[0]))
        for table, first, second in (
            (keys.FOLLOWERS, author, follower),
            (keys.FOLLOWING, follower, author),
        ):
            pairs = _pair_keys(spread_array(first), second)
            order = np.lexsort((second, spread_array(first)))  # HBase's caches like neighbours
            rows = FixedRows(pairs[order], versions[order], values[order])
            self.tables.put_fanout(table, rows)

    # The worker.

    def stop_ingest(self) -> None:
        """Stop the worker, so that the log runs ahead of it."""
        self.running.supervisor.stop_child(INGEST)

    def start_ingest(self, *, wait: bool = True) -> None:
        """Start it again, with nothing in its memory."""
        spec = self.running.service("ingest", CELL, self.found.zookeeper)
        self.running.supervisor.start(spec)
        if wait:
            self.running.supervisor.wait_ready([INGEST])

    def wait_begun(self, deadline_s: float = 120.0) -> float:
        """When a worker that was just started begins to apply events (`time.monotonic`)."""
        until = time.monotonic() + deadline_s
        pause = threading.Event()
        while time.monotonic() < until:
            try:
                if self.counted(EVENTS_APPLIED) > 0:
                    return time.monotonic()
            except OSError:  # it does not listen yet
                pause.wait(0.05)
            pause.wait(0.005)
        raise DeadlineExceeded(f"the ingest worker applies nothing after {deadline_s:.0f} s")

    def counted(self, metric: Metric) -> float:
        """A metric of the ingest worker, from its present life."""
        return metric_sum(self._admin(INGEST), metric)

    def _admin(self, child: str) -> str:
        recorded = read_state(self.folder)
        ports = {c.name: c.ports for c in recorded.children} if recorded is not None else {}
        if child not in ports:
            raise ConnectionError(f"{child} is not running yet")
        return f"{self._config.listen.host}:{ports[child]['admin']}"

    def check_rows(self, least: float) -> None:
        """See that the worker has counted so many rows in its present life, a moment after its
        position has passed them. Raises Corrupt when it has not."""
        until = time.monotonic() + COUNTED_S
        pause = threading.Event()
        while (rows := self.counted(ROWS_WRITTEN)) < least:
            if time.monotonic() > until:
                raise Corrupt(f"the worker has written {rows:.0f} rows where {least:.0f} are due")
            pause.wait(0.05)

    def pid(self, child: str) -> int:
        """The process of a server or a service."""
        found = self.running.supervisor.pid(child)
        if found is None:
            raise ValueError(f"{child} is between two lives")
        return found

    def processor_seconds(self) -> dict[str, float]:
        """Processor time of each server and service in its present life."""
        supervisor = self.running.supervisor
        pids = {name: supervisor.pid(name) for name in supervisor.names()}
        return {name: processor_s(pid) for name, pid in pids.items() if pid is not None}

    # The end.

    def close(self) -> None:
        """Stop everything, and delete the folder."""
        self.seams.close()
        self.platform.close()
        self.running.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


def _pair_keys(first: U64Array, second: U64Array) -> Any:
    numbers = np.empty((len(first), 2), dtype=">u8")
    numbers[:, 0] = first
    numbers[:, 1] = second
    return numbers.view(np.uint8).reshape(len(first), 16)


def full_name(table: str) -> str:
    """What HBase calls a table of a cell."""
    return TABLE_PREFIX + table
