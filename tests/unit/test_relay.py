"""What a relay and its readers notice: planted faults, lost records, other roots; and what N cells
behind a group cost."""

from dataclasses import replace
from random import Random

import pytest

from cell import keys
from cell.commands import SliceArrived
from cell.stores import CellStores
from firehose.checkpoint_relayed import RelayedCheckpoints, RelayedMember
from firehose.codec import UnknownKind, encode
from firehose.log import Record, Span
from firehose.log_relayed import RelayedLog
from firehose.position import log_fingerprint
from firehose.relay import Relay
from firehose.relayed import (
    FORMAT_VERSION,
    RELAYED_BYTES_MAX,
    RelayGap,
    beginning_value,
    open_relayed,
    relayed_value,
)
from idgen.errors import Conflict, Corrupt
from idgen.ids import U64, partition_of
from ops.table_hash import table_hash
from tests.sim.cell_history import Drawn
from tests.sim.cell_world import Bounds, CellWorld, Group, GroupMember, MemoryLog
from tests.sim.relay_world import RelayWorld, Running, TrimmedLog
from tests.unit.memory_tables import MemoryTables

ROOT = log_fingerprint("root")


def topic_of(*offsets: int) -> TrimmedLog:
    """A topic with these root offsets in partition 1, and some records in partition 0."""
    topic = TrimmedLog(2, Random(1))
    topic.append([(p, beginning_value(ROOT, 0)) for p in range(2)])
    topic.append([(0, value_of(offset)) for offset in range(3)])
    topic.append([(1, value_of(offset)) for offset in offsets])
    return topic


def value_of(offset: int) -> bytes:
    return relayed_value(ROOT, Record(0, offset, 7, b"v%d" % offset))


def member_of(topic: TrimmedLog) -> RelayedMember:
    group = Group(topic)
    groups = RelayedCheckpoints(group, topic, RelayedLog(topic, "root"))
    member = groups.join("cell", "one")
    assign(group, member)
    return member


def assign(group: Group, member: RelayedMember) -> None:
    inner = member._inner
    assert isinstance(inner, GroupMember)
    group.assign(dict.fromkeys(range(group.log.partitions), inner))


# -- planted faults ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offsets", "expected", "found"),
    [((0, 1, 3, 4), 2, 3), ((0, 2, 1, 3), 1, 2), ((0, 1, 0, 3), 2, 3)],
    ids=["gap", "reordered", "gap behind a repetition"],
)
def test_missing_and_reordered_records_are_told_with_what_is_missing(
    offsets: tuple[int, ...], expected: int, found: int
) -> None:
    log = RelayedLog(topic_of(*offsets), "root")
    with pytest.raises(RelayGap, match=f"partition 1: .* from root offset {expected} on") as caught:
        log.read(1, 0, 100)
    error = caught.value
    assert (error.partition, error.expected, error.found) == (1, expected, found)
    # What lies before it is read.
    assert [r.offset for r in log.read(1, 0, 1)] == [0]
    assert [r.value for r in log.read(0, 0, 100)] == [b"v0", b"v1", b"v2"]


def test_a_member_tells_a_gap_again_and_again_and_loses_nothing_of_others() -> None:
    topic = topic_of(0, 1, 3)
    member = member_of(topic)
    for _ in range(3):
        with pytest.raises(RelayGap):
            member.poll(100, 0)
    topic.records[1].pop()
    topic.append([(1, value_of(2))])
    polled = member.poll(100, 0)
    assert sorted((r.partition, r.offset) for r in polled.records) == [
        (p, offset) for p in range(2) for offset in range(3)
    ]
    assert polled.assigned == {0, 1}


@pytest.mark.parametrize("at", range(len(value_of(1))))
def test_a_damaged_envelope_is_told_with_its_place(at: int) -> None:
    topic = topic_of(0, 1)
    damaged = bytearray(value_of(1))
    damaged[at] ^= 1
    topic.records[1][-1] = topic.records[1][-1]._replace(value=bytes(damaged))
    with pytest.raises(Corrupt, match="offset 2 of partition 1"):
        RelayedLog(topic, "root").read(1, 0, 100)


def test_records_of_another_root_and_of_later_versions_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Corrupt, match="of another root"):
        RelayedLog(topic_of(0), "another").spans()
    monkeypatch.setattr("firehose.relayed.FORMAT_VERSION", FORMAT_VERSION + 1)
    later = value_of(0)
    monkeypatch.undo()
    with pytest.raises(UnknownKind, match="upgrade cells before their relay"):
        open_relayed(ROOT, Record(1, 0, 0, later))


def test_the_largest_record_fits() -> None:
    largest = Record(0, 1 << 62, 1 << 62, bytes(1_000_000))
    value = relayed_value(ROOT, largest)
    assert len(value) == RELAYED_BYTES_MAX
    assert open_relayed(ROOT, largest._replace(value=value)) == largest[1:]


# -- the relay -----------------------------------------------------------------------------------


def running(world: RelayWorld) -> Running:
    one = world.start()
    world.group.assign(dict.fromkeys(range(world.partitions), one.member))
    one.relay.step(one.member)
    return one


def test_what_the_root_forgot_before_it_was_relayed_stops_the_relay() -> None:
    world = RelayWorld(Random(1), partitions=1)
    one = running(world)
    world.write(10)
    one.relay.step(one.member)
    world.write(10)
    world.root.starts[0] = 15
    for relay, member in ((one.relay, one.member), (world.start().relay, one.member)):
        for _ in range(2):
            with pytest.raises(RelayGap, match="5 records from root offset 10") as caught:
                relay.step(member)
            assert (caught.value.expected, caught.value.found) == (10, 15)


def test_what_was_forgotten_while_no_relay_ran_is_told_from_an_empty_topic_too() -> None:
    world = RelayWorld(Random(1), partitions=1)
    one = running(world)
    world.write(10)
    one.relay.step(one.member)
    world.kill(one)
    world.write(10)
    world.topic.starts[0] = world.topic.spans()[0].end
    world.root.starts[0] = 12
    with pytest.raises(RelayGap, match="2 records from root offset 10"):
        running(world)


def test_a_group_that_begins_late_says_where() -> None:
    world = RelayWorld(Random(1), partitions=1)
    world.write(10)
    world.root.starts[0] = 10
    running(world)
    assert world.behind().spans() == [Span(10, 10)]


def test_a_root_that_lost_its_end_or_has_other_partitions_is_refused() -> None:
    world = RelayWorld(Random(1), partitions=1)
    one = running(world)
    world.write(10)
    one.relay.step(one.member)
    world.root.records[0] = world.root.records[0][:7]
    with pytest.raises(Conflict, match=r"10 was relayed .* the root ends at 7"):
        running(world)
    other = TrimmedLog(3, Random(1))
    with pytest.raises(Conflict, match="has 3 partitions, the root 1"):
        Relay(world.root, world.group, other, "g", "one", world.clock)


def test_a_relay_that_was_overtaken_repeats_no_more_than_a_batch() -> None:
    world = RelayWorld(Random(1), partitions=1, batch=5)
    with world.bounds():
        slow, fast = running(world), running(world)
        world.write(200)
        slow.member._believed, slow.member.blind = frozenset([0]), 10

        def overtake(_: object) -> None:
            while fast.relay._next[0] < 200:
                fast.step()

        slow.topic.before = overtake
        with pytest.raises(Conflict):  # of its commit: it no longer owns the partition
            slow.relay.step(slow.member)
    assert slow.relay.stats.overtaken == 1
    assert slow.relay._next == {0: 200}
    (log,) = world.topic.records
    assert [r.value[3] for r in log].count(1) == 205


# -- cells behind --------------------------------------------------------------------------------


def test_cells_behind_a_group_cost_the_root_one_reader() -> None:
    world = RelayWorld(Random(1))
    world.catch_up()
    world.write(400)
    world.running[0].step()
    for member in [member_behind(world) for _ in range(5)]:
        assert len(member.poll(1_000, 0).records) == 400
    assert world.root.reads == 400


def member_behind(world: RelayWorld) -> RelayedMember:
    group = Group(world.topic)
    member = RelayedCheckpoints(group, world.topic, world.behind()).join("cell", "one")
    assign(group, member)
    return member


class GroupBehind(RelayedCheckpoints):
    """The group of a cell behind a relay, for `CellWorld`."""

    def assign(self, owners: dict[int, RelayedMember]) -> None:
        inner = self._inner
        assert isinstance(inner, Group)
        found = {p: member._inner for p, member in owners.items()}
        inner.assign(found)  # type: ignore[arg-type]


class CellBehind(CellWorld):
    """A cell that knows the root by the group's topic alone."""

    def go_behind(self, world: RelayWorld) -> None:
        self.relayed = world.behind()
        self.group = GroupBehind(Group(world.topic), world.topic, self.relayed)  # type: ignore[assignment]

    def stores(self, tables: MemoryTables, changes: MemoryLog) -> CellStores:
        return replace(super().stores(tables, changes), firehose=self.relayed)


@pytest.mark.parametrize("seed", range(4))
def test_a_cell_behind_a_relay_has_the_rows_and_versions_of_one_at_the_root(seed: int) -> None:
    rnd = Random(seed)
    world = RelayWorld(rnd, partitions=3)
    drawn = Drawn(rnd)
    with world.bounds():
        for _ in range(3):
            world.start()
        world.share()
        for _ in range(60):
            for _ in range(rnd.randrange(6)):
                event = drawn.event()
                world.root.append([(partition_of(event.key_user, 3), encode(event))])
            world.any_step()
        world.catch_up()
        repeated = sum(map(len, world.topic.records)) - sum(map(len, world.root.records)) - 3
        assert repeated > 0, "nothing was repeated, so nothing is shown"
        at_root = CellWorld("a", world.root, Random(seed), Bounds(batch_events=7))
        behind = CellBehind("a", world.root, Random(seed), Bounds(batch_events=7))
        behind.go_behind(world)
        for cell in (at_root, behind):
            cell.command(SliceArrived(0, U64, 1, (0, 0, 0)))
            process = cell.start("w")
            cell.assign([process])
            cell.settle([process])
    assert at_root.tables.scan(keys.INBOX, b"", b"", 10)
    assert table_hash(at_root.tables) == table_hash(behind.tables)
