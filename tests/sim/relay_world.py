"""A root, relays that are killed, overtaken and doubled, and a group's topic, all in memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

from firehose.log import Appended, Log, Record, Span
from firehose.log_relayed import RelayedLog
from firehose.relay import Relay, RelaySettings
from idgen.errors import Conflict, CursorTooOld, Unavailable
from tests.sim.cell_world import Group, GroupMember, Killed, MemoryLog
from tests.unit.firehose_world import NOW_MS, ManualClock

SETTINGS = RelaySettings(poll_ms=0, look_ms=0)


class TrimmedLog(MemoryLog):
    """The log seam; times go up in steps that the test draws, and the start may be moved."""

    def __init__(self, partitions: int, rnd: Random) -> None:
        super().__init__(partitions)
        self.starts = [0] * partitions
        self.reads = 0
        """How many records were given to readers, altogether."""
        self._rnd = rnd
        self._now_ms = NOW_MS

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        found = []
        for partition, value in records:
            self._now_ms += self._rnd.choice([0, 0, 1, 9])
            mine = self.records[partition]
            mine.append(Record(partition, len(mine), self._now_ms, value))
            found.append(Appended(partition, len(mine) - 1, self._now_ms))
        return found

    def read(self, partition: int, offset: int, limit: int, timeout_ms: int = 0) -> list[Record]:
        start = self.starts[partition]
        if offset < start:
            raise CursorTooOld(f"begins at {start}", start.to_bytes(8))
        found = self.records[partition][offset : offset + limit]
        self.reads += len(found)
        return found

    def spans(self) -> list[Span]:
        return [Span(s, len(r)) for s, r in zip(self.starts, self.records, strict=True)]

    def offsets_at(self, time_ms: int) -> list[int]:
        return [
            next((r.offset for r in mine[start:] if r.at_ms >= time_ms), len(mine))
            for start, mine in zip(self.starts, self.records, strict=True)
        ]


class Topic:
    """One relay's way to the topic: `before` is called ahead of each append, and may end it."""

    def __init__(self, log: TrimmedLog) -> None:
        self._log = log
        self.before: Callable[[Sequence[tuple[int, bytes]]], None] = lambda _: None
        self.partitions = log.partitions
        self.identity = log.identity
        self.read = log.read
        self.spans = log.spans
        self.offsets_at = log.offsets_at
        self.trim = log.trim
        self.close = log.close

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        if records:
            before, self.before = self.before, lambda _: None
            before(records)
        return self._log.append(records)


@dataclass
class Running:
    """One relay, with its member at the root and its way to the topic."""

    relay: Relay
    member: GroupMember
    topic: Topic

    def step(self) -> None:
        """As `Relay.run` does it."""
        try:
            self.relay.step(self.member)
        except (Unavailable, Conflict):
            self.relay._next = {}


@dataclass
class RelayWorld:
    """Everything of one seed; a batch has `batch` records."""

    rnd: Random
    partitions: int = 2
    batch: int = 3
    running: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = TrimmedLog(self.partitions, self.rnd)
        self.topic = TrimmedLog(self.partitions, self.rnd)
        self.group = Group(self.root)
        self.clock = ManualClock()
        self._written = 0

    @contextmanager
    def bounds(self) -> Iterator[None]:
        """Small batches, so that small lives meet all borders."""
        with ExitStack() as stack:
            for name, value in {
                "firehose.relay.BATCH_RECORDS": self.batch,
                "firehose.log_relayed.BATCH_RECORDS": self.batch,
                "firehose.relayed.TAIL_RECORDS": 4 * self.batch,
                "firehose.relayed.RUNS_MAX": 2,
            }.items():
                stack.enter_context(patch(name, value))
            yield

    def write(self, count: int) -> None:
        for _ in range(count):
            self._written += 1
            value = b"%d" % self._written * self.rnd.choice([0, 1, 40])
            self.root.append([(self.rnd.randrange(self.partitions), value)])

    def start(self) -> Running:
        topic = Topic(self.topic)
        root: Log = self.root
        relay = Relay(root, self.group, topic, "g", "one", self.clock, SETTINGS)
        member = self.group.join("relay-g", "one")
        self.running.append(Running(relay, member, topic))
        return self.running[-1]

    def share(self) -> None:
        """Deal the partitions among the relays; some go on for a while as if nothing was."""
        for one in self.running:
            one.member.blind = self.rnd.choice([0, 0, 1, 3]) if one.member.owned else 0
        self.group.assign({p: self.rnd.choice(self.running).member for p in range(self.partitions)})

    def kill(self, one: Running) -> None:
        self.running.remove(one)
        one.member.leave()

    def catch_up(self) -> None:
        """One relay that nothing happens to relays all that there is."""
        for one in list(self.running):
            self.kill(one)
        last = self.start()
        self.group.assign(dict.fromkeys(range(self.partitions), last.member))
        ends = {p: span.end for p, span in enumerate(self.root.spans())}
        for _ in range(10 + sum(ends.values())):
            if last.relay._next == ends:
                return
            last.step()
        raise AssertionError(f"the relay stays at {last.relay._next} of {ends}")

    def ends(self) -> list[int]:
        """The root offsets after the last that lies in each partition of the topic, by where an
        envelope has its offset and its kind; -1 where there is none."""
        return [
            max(
                (
                    int.from_bytes(record.value[8:16]) + (record.value[3] == 1)
                    for record in records[start:]
                ),
                default=-1,
            )
            for start, records in zip(self.topic.starts, self.topic.records, strict=True)
        ]

    def behind(self) -> RelayedLog:
        return RelayedLog(self.topic, self.root.identity)

    def any_step(self, *, at_once: bool = True) -> None:
        """One relay goes on; it may be killed at an instant of its append, or be overtaken by
        another between its poll and its append."""
        one = self.rnd.choice(self.running)
        chance = self.rnd.random()
        if chance < 0.3:
            one.topic.before = self._killed(one)
        elif chance < 0.6 and at_once:
            one.topic.before = lambda _: self._others(one)
        try:
            one.step()
        except Killed:
            self.kill(one)
            self.start()
            self.share()
        finally:
            one.topic.before = lambda _: None

    def _killed(self, one: Running) -> Callable[[Sequence[tuple[int, bytes]]], None]:
        """Killed, or cut off, when some of each partition's records are there: the first ones."""

        def end(records: Sequence[tuple[int, bytes]]) -> None:
            for partition in range(self.partitions):
                mine = [record for record in records if record[0] == partition]
                self.topic.append(mine[: self.rnd.randint(0, len(mine))])
            raise Killed if self.rnd.random() < 0.7 else Unavailable("not acknowledged in time")

        return end

    def _others(self, one: Running) -> None:
        """The partitions go to others, who relay what this one is about to append."""
        self.share()
        for other in self.running:
            for _ in range(self.rnd.randrange(5) if other is not one else 0):
                other.step()
