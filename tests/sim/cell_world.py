"""A log, consumer groups and a cell in memory, in one thread, to be broken at any row of any write.

Everything of `cell` that applies events is the product's own; only the seams are stand-ins here.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

from cell import commands, keys
from cell.ingest import IngestSettings, IngestWorker
from cell.post_cache_memory import MemoryPostCache
from cell.state import CellState, PartitionState
from cell.stores import CellStores
from cell.tables import Row
from firehose.checkpoint import MemberInfo, Polled
from firehose.dead_letters import DeadLetters
from firehose.log import Appended, Record, Span
from idgen.errors import Conflict, CursorTooOld, Unavailable
from tests.sim.cell_kept import Keeper
from tests.unit.firehose_world import NOW_MS, ManualClock
from tests.unit.memory_tables import BreakableTables, MemoryTables, Store

STOPPED = threading.Event()
STOPPED.set()


class MemoryLog:
    """The log seam."""

    def __init__(self, partitions: int) -> None:
        self.records: list[list[Record]] = [[] for _ in range(partitions)]

    @property
    def partitions(self) -> int:
        return len(self.records)

    @property
    def identity(self) -> str:
        return f"memory {len(self.records)}"

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        found = []
        for partition, value in records:
            offset = len(self.records[partition])
            self.records[partition].append(Record(partition, offset, NOW_MS, value))
            found.append(Appended(partition, offset, NOW_MS))
        return found

    def read(self, partition: int, offset: int, limit: int, timeout_ms: int = 0) -> list[Record]:
        if offset < 0:
            raise CursorTooOld("below the start", bytes(8))
        return self.records[partition][offset : offset + limit]

    def spans(self) -> list[Span]:
        return [Span(0, len(r)) for r in self.records]

    def offsets_at(self, time_ms: int) -> list[int]:
        return [0 if time_ms <= NOW_MS else len(r) for r in self.records]

    def trim(self, before_ms: int) -> None:
        raise AssertionError("nothing here trims")

    def close(self) -> None:
        pass


class BreakableLog(MemoryLog):
    """Appends to another log; before and after each of them it may be over."""

    def __init__(self, log: MemoryLog, broken: Callable[[], None]) -> None:
        self.records = log.records
        self._broken = broken

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        self._broken()
        found = super().append(records)
        self._broken()
        return found


class Group:
    """The checkpoint seam of one group, with owners as the test decides."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.checkpoints: dict[int, int] = {}
        self.owner: dict[int, GroupMember] = {}

    def join(
        self, group: str, client: str, session_ms: int = 10_000, busy_ms: int | None = None
    ) -> "GroupMember":
        return GroupMember(self, client)

    def assign(self, owners: Mapping[int, "GroupMember"]) -> None:
        self.owner = dict(owners)

    def committed(self, group: str) -> dict[int, int]:
        return dict(self.checkpoints)

    def rewind(self, group: str, offsets: Mapping[int, int]) -> None:
        self.checkpoints.update(offsets)

    def members(self, group: str) -> list[MemberInfo]:
        return []

    def groups(self) -> list[str]:
        return []

    def delete(self, group: str) -> None:
        pass

    def close(self) -> None:
        pass


class GroupMember:
    """A member; one that lost its partitions without a poll still believes that it owns them."""

    def __init__(self, group: Group, client: str) -> None:
        self._group = group
        self._client = client
        self._believed: frozenset[int] = frozenset()
        self._next: dict[int, int] = {}
        self.blind = 0
        """How many polls it goes on with what it had prefetched, whoever owns it by now."""

    @property
    def owned(self) -> frozenset[int]:
        return self._believed

    def poll(self, limit: int, timeout_ms: int) -> Polled:
        now = frozenset(p for p, m in self._group.owner.items() if m is self)
        if self.blind:
            self.blind -= 1
            now = self._believed
        assigned, revoked = now - self._believed, self._believed - now
        self._believed = now
        for p in assigned:
            self._next[p] = self._group.checkpoints.get(p, 0)
        records: list[Record] = []
        for p in sorted(now, key=lambda p: (p + sum(self._next.values())) % 7):
            found = self._group.log.read(p, self._next[p], limit - len(records))
            self._next[p] += len(found)
            records += found
        return Polled(records, assigned, revoked)

    def commit(self, offsets: Mapping[int, int]) -> None:
        if any(self._group.owner.get(p) is not self for p in offsets):
            raise Conflict("no longer owned")
        self._group.checkpoints.update(offsets)

    def seek(self, partition: int, offset: int) -> None:
        self._next[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        raise AssertionError("not used")

    def resume(self, partitions: Collection[int]) -> None:
        raise AssertionError("not used")

    def leave(self) -> None:
        for p in [p for p, m in self._group.owner.items() if m is self]:
            del self._group.owner[p]


class Killed(BaseException):
    """The process of a worker died in the middle of a write."""


class Stalled(BaseException):
    """The process of a worker stands still in the middle of a write."""


@dataclass
class Bounds:
    """Small numbers in place of the product's large ones, so that small lives meet all borders."""

    few_max: int = 512
    read_min: int = 256
    read_max: int = 20_000
    posts_chunk: int = 500
    run: int = 100
    giant_rows: int = 10_000
    chunk_rows: int = 20_000
    open_rows_max: int = 4_000_000
    batch_events: int = 5_000
    batch_rows: int = 300_000
    edges_max: int = 4_000_000

    @classmethod
    def drawn(cls, rnd: Random) -> "Bounds":
        return cls(
            few_max=rnd.choice([0, 1, 2, 512]),
            read_min=rnd.choice([1, 2, 3, 256]),
            read_max=rnd.choice([2, 5, 20_000]),
            posts_chunk=rnd.choice([1, 2, 500]),
            run=rnd.choice([1, 2, 3, 100]),
            giant_rows=rnd.choice([1, 2, 10_000]),
            chunk_rows=rnd.choice([1, 2, 3, 20_000]),
            open_rows_max=rnd.choice([0, 3, 1000]),
            batch_events=rnd.choice([1, 2, 4, 7]),
            batch_rows=rnd.choice([1, 3, 1000]),
            edges_max=rnd.choice([0, 2, 5, 1000]),
        )

    @contextmanager
    def set(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, value in {
                "cell.edges.FEW_MAX": self.few_max,
                "cell.followers.CHUNK_MIN": self.read_min,
                "cell.followers.CHUNK_MAX": max(self.read_min, self.read_max),
                "cell.author_posts.CHUNK": self.posts_chunk,
                "cell.reads.RUN": self.run,
            }.items():
                stack.enter_context(patch(name, value))
            yield

    def settings(self) -> IngestSettings:
        return IngestSettings(
            batch_events=self.batch_events,
            batch_rows=self.batch_rows,
            giant_rows=self.giant_rows,
            chunk_rows=self.chunk_rows,
            open_rows_max=self.open_rows_max,
            edges_max=self.edges_max,
            poll_ms=0,
        )


class InTurn:
    """`cell.side_by_side.SideBySide` in one thread: in any order, and some may not be made."""

    def __init__(self, rnd: Random) -> None:
        self._rnd = rnd

    def run(self, calls: Sequence[Callable[[], object]]) -> None:
        for call in self._rnd.sample(list(calls), len(calls)):
            call()

    def close(self) -> None:
        pass


@dataclass
class Fault:
    """What happens to a worker's next writes: after `rows` more rows of them, `end` is raised."""

    rows: int
    end: Callable[[], BaseException]


@dataclass
class Process:
    """One ingest worker with its member and its own, breakable, way to the tables."""

    worker: IngestWorker
    member: GroupMember
    fault: Fault | None = None


@dataclass
class CellWorld:
    """One cell: its tables, and the processes that apply the firehose to them."""

    name: str
    log: MemoryLog
    rnd: Random
    bounds: Bounds
    log_base: int = 0
    store: Store = field(default_factory=Store)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.tables = MemoryTables(self.store)
        self.tables.create(keys.TABLES)
        self.group = Group(self.log)
        self.commands = MemoryLog(1)
        self.changes = MemoryLog(1)
        self.dead = DeadLetters(MemoryLog(1))
        self.cache = MemoryPostCache(1000, 60_000, self.clock)
        state = CellState(self.tables, self.log.partitions)
        self.keeper = Keeper(self.changes, self.tables, state)
        self.stalled: list[Process] = []
        self._applied: dict[int, PartitionState] = {}

    def command(self, command: commands.Command) -> None:
        self.commands.append([(0, commands.encode(command))])

    def stores(self, tables: MemoryTables, changes: MemoryLog) -> CellStores:
        return CellStores(
            self.name,
            tables,
            self.cache,
            self.log,
            self.commands,
            changes,
            self.dead,
            self.log_base,
        )

    def start(self, name: str) -> Process:
        tables = BreakableTables(self.store, lambda table, rows: self._broken(process, table, rows))
        changes = BreakableLog(self.changes, lambda: self._untold(process))
        worker = IngestWorker(
            self.stores(tables, changes), self.group, name, self.clock, self.bounds.settings()
        )
        worker._side_by_side.close()  # one thread, so that a seed is a life
        worker._side_by_side = InTurn(self.rnd)  # type: ignore[assignment]
        process = Process(worker, self.group.join("cell", name))
        return process

    def assign(self, processes: Sequence[Process]) -> None:
        """Share the partitions among these, at random."""
        owners = [self.rnd.choice(processes).member for _ in range(self.log.partitions)]
        self.group.assign(dict(enumerate(owners)))

    def _broken(self, process: Process, table: str, rows: list[Row]) -> list[Row]:
        """The rows of a write in any order; with a fault a part of them, then its end."""
        rows = self.rnd.sample(rows, len(rows))
        fault = process.fault
        if fault is None:
            return rows
        if len(rows) < fault.rows:
            fault.rows -= len(rows)
            return rows
        process.fault = None
        MemoryTables(self.store).put(table, rows[: fault.rows])
        raise fault.end()

    def _untold(self, process: Process) -> None:
        """A record counts as a row of a fault, and may be there or not when the fault ends."""
        fault = process.fault
        if fault is None:
            return
        fault.rows -= 1
        if fault.rows < 0:
            process.fault = None
            raise fault.end()

    def step(self, process: Process) -> None:
        """One batch. Raises Killed or Stalled where the fault of the process says so."""
        self.clock.ms += self.rnd.choice([0, 600])
        try:
            process.worker.step(process.member)
        except (Unavailable, Conflict) as e:
            process.worker._recover(e, STOPPED)
        finally:
            self.check_applied()

    def wake(self, process: Process) -> None:
        """Let a stalled process go on with the rest of its batch, as if nothing had been."""
        try:
            process.worker._acknowledge(process.member)
        except (Unavailable, Conflict) as e:
            process.worker._recover(e, STOPPED)
        finally:
            self.check_applied()

    def states(self) -> dict[int, PartitionState]:
        return CellState(self.tables, self.log.partitions).read()

    def check_applied(self) -> None:
        """What was done stays done."""
        now = self.states()
        for p, was in self._applied.items():
            for offset in range(len(self.log.records[p])):
                if was.applied.done(offset):
                    assert now[p].applied.done(offset), (p, offset, was, now[p])
            assert now[p].generation >= was.generation
        self._applied = now

    def quiet(self) -> bool:
        """All is applied, and nobody has anything in progress."""
        return all(
            s.high == len(self.log.records[p]) and not s.open for p, s in self.states().items()
        )

    def settle(self, processes: Sequence[Process]) -> None:
        """Run these until all is applied."""
        self.clock.ms += 600
        for _ in range(2_000):
            for process in processes:
                self.step(process)
            progress = [p for x in processes for p in x.worker._owned.values()]
            if (
                self.quiet()
                and not any(x.worker._evaluation.jobs for x in processes)
                and len(progress) == self.log.partitions
                and all(p.next == len(self.log.records[p.partition]) for p in progress)
                and all(p.state.commands == len(self.commands.records[0]) for p in progress)
            ):
                return
        raise AssertionError(f"never done: {self.states()}")
