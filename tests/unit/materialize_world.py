"""A cell in memory with materializers, by a manual clock: a `CellWorld` and what decides."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import numpy as np

from cell import coverage, keys
from cell.activity import Activity, ActivitySettings
from cell.commands import SliceArrived
from cell.counted_posts import CountedPosts
from cell.coverage import Covered
from cell.deciding import RULES
from cell.materialization import Codes, Pin
from cell.materializer import Materializer, MaterializerSettings
from firehose.codec import encode
from firehose.event import Draft, Event, Followed, PostCreated
from idgen.ids import U64, U64Array, compose, partition_of, spread
from tests.sim.cell_world import Bounds, CellWorld, MemoryLog, Process
from tests.unit.firehose_world import NOW_MS, ManualClock

BAND = 1
NEVER = threading.Event()


@dataclass
class Said:
    """What operators have said: `cell.deciding.Ruling`, for all users alike."""

    on: set[str] = field(default_factory=set)
    pinned: dict[int, Pin] = field(default_factory=dict)

    def any(self) -> int:
        return sum(1 << RULES.index(rule) for rule in self.on)

    def rules(self, users: U64Array) -> Codes:
        return np.full(len(users), self.any(), np.uint8)

    def pins(self) -> Mapping[int, Pin]:
        return self.pinned


class MaterializeWorld:
    """One cell with one worker, which counts; any number of materializers over it."""

    def __init__(self, settings: MaterializerSettings, counts: ActivitySettings) -> None:
        self.log = MemoryLog(2)
        self.cell = CellWorld("a", self.log, Random(1), Bounds())
        self.cell.command(SliceArrived(0, U64, BAND, (0, 0)))
        self.counts = counts
        self.settings = settings
        self.said = Said()
        self._ids = 0
        self.worker = self.start("worker-1")
        self.dashboard = Activity(counts)
        self.run()

    @property
    def clock(self) -> ManualClock:
        return self.cell.clock

    def start(self, name: str) -> Process:
        """A worker which owns all partitions from now on."""
        process = self.cell.start(name)
        self.activity = Activity(self.counts)
        worker = process.worker
        worker._counted = CountedPosts(self.activity, worker._followers)
        self.cell.group.assign({0: process.member, 1: process.member})
        return process

    def materializer(
        self, name: str = "worker-1", activity: Activity | None = None
    ) -> Materializer:
        stores = self.cell.stores(self.cell.tables, self.cell.changes)
        worker = self.worker.worker
        return Materializer(
            stores,
            activity or self.activity,
            name,
            self.said,
            lambda: worker.owns(0),
            self.clock,
            self.settings,
        )

    def run(self) -> None:
        """Apply all there is, and obey all commands."""
        self.cell.settle([self.worker])

    def append(self, event: Event) -> None:
        partition = partition_of(event.key_user, 2)
        (appended,) = self.log.append([(partition, encode(event))])
        record = self.log.records[partition][appended.offset]
        self.log.records[partition][appended.offset] = record._replace(at_ms=self.clock.ms)

    def new_id(self) -> int:
        self._ids += 1
        return compose(NOW_MS, 1, 0) + self._ids

    def follow(self, reader: int, author: int) -> None:
        self.append(Followed(self.new_id(), reader, author, backfill=0))

    def post(self, author: int, times: int = 1) -> None:
        for _ in range(times):
            self.append(PostCreated(self.new_id(), author, Draft(body="x")))

    def row(self, reader: int, author: int = 0) -> Covered:
        """The row of coverage of a reader, or of a pair."""
        (row,) = self.cell.tables.get(keys.COVERAGE, [keys.pair_key(spread(reader), author)])
        return Covered() if row is None else coverage.decode(row.value)

    def hot(self, author: int) -> Covered:
        """The row of an author."""
        (row,) = self.cell.tables.get(keys.CELL, [keys.hot_key(spread(author))])
        return Covered() if row is None else coverage.decode(row.value)
