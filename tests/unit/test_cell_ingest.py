"""What a worker does at the borders: commands, retried letters, lost partitions, other logs."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from cell import keys
from cell.batch import Batch
from cell.commands import GroupRewound, LetterRetried, SliceArrived, SliceLeft, decode, encode
from cell.state import CellState
from firehose.codec import Poison, UnknownKind
from firehose.codec import decode as decode_event
from firehose.codec import encode as encode_event
from firehose.event import Draft, Event, Followed, PostCreated, Unfollowed
from firehose.log import Span
from idgen.errors import Conflict, Corrupt, CursorTooOld, Unavailable
from idgen.ids import U64, compose, partition_of, spread
from tests.golden.formats import with_a_new_field
from tests.sim.cell_history import found_in
from tests.sim.cell_world import Bounds, CellWorld, Fault, MemoryLog, Process
from tests.unit.firehose_world import NOW_MS

AUTHOR = {partition_of(user, 2): user for user in range(9, 0, -1)}
"""An author of partition 0 and one of partition 1."""
READER = 77


def event_id(n: int) -> int:
    return compose(NOW_MS + n, 1, 0)


def world(**bounds: int) -> CellWorld:
    return CellWorld("a", MemoryLog(2), Random(1), Bounds(**bounds))


def started(cell: CellWorld) -> Process:
    process = cell.start("w")
    cell.assign([process])
    return process


def append(cell: CellWorld, *events: Event) -> None:
    for event in events:
        cell.log.append([(partition_of(event.key_user, 2), encode_event(event))])


def arrive(cell: CellWorld, since: tuple[int, int] = (0, 0), band: int = 1) -> None:
    cell.command(SliceArrived(0, U64, band, since))


def post(author: int, n: int) -> PostCreated:
    return PostCreated(event_id(n), author, Draft(body="x"))


def test_a_replay_before_an_arrival_in_one_partition_does_not_empty_sets_of_another() -> None:
    """Partition 1 is read again from below where its slice arrived, while 0 has new posts."""
    cell = world()
    append(cell, post(AUTHOR[1], 1), Followed(event_id(2), READER, AUTHOR[0], 0))
    arrive(cell, since=(0, 1))
    cell.settle([started(cell)])
    append(cell, post(AUTHOR[0], 3))
    cell.group.checkpoints[1] = 0
    cell.settle([started(cell)])
    assert (READER, event_id(3), AUTHOR[0]) in found_in(cell).inbox


def test_a_slice_that_arrives_while_a_giant_post_is_open_is_gone_back_for() -> None:
    cell = world(few_max=0, giant_rows=1, chunk_rows=1)
    cell.command(SliceArrived(0, spread(READER) - 1, 1, (0, 0)))
    with cell.bounds.set():
        process = started(cell)
        author = AUTHOR[0]
        followers = [f for f in range(100, 140) if spread(f) < spread(READER)][:5]
        append(cell, post(author, 1), Followed(event_id(2), READER, author, 3))
        append(cell, *(Followed(event_id(3 + i), f, author, 0) for i, f in enumerate(followers)))
        append(cell, post(author, 30))
        for _ in range(4):
            cell.step(process)
        assert process.worker._evaluation.jobs
        cell.command(SliceArrived(spread(READER), U64, 1, (0, 0)))
        cell.settle([process])
        inbox = found_in(cell).inbox
    assert {(READER, event_id(1), author), (READER, event_id(30), author)} <= inbox.keys()


def test_a_post_does_not_wait_for_the_next_chunk_of_a_giant_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = world(few_max=0, giant_rows=1, chunk_rows=2)
    arrive(cell)
    written: list[tuple[int, int]] = []
    write = Batch.write

    def noted(batch: Batch, *stores: Any) -> None:
        written.append((len(batch.posts), batch.entries.count))
        write(batch, *stores)

    with cell.bounds.set():
        process = started(cell)
        append(cell, *(Followed(event_id(n), 100 + n, AUTHOR[0], 0) for n in range(1, 9)))
        cell.settle([process])
        append(cell, post(AUTHOR[0], 20))
        cell.step(process)
        assert process.worker._evaluation.jobs
        append(cell, post(AUTHOR[1], 21))
        monkeypatch.setattr(Batch, "write", noted)
        while not any(posts for posts, _ in written):
            cell.step(process)
    beside = written.index((1, 1))
    assert written[beside + 1] == (0, 2)


def test_going_back_for_a_slice_outlives_its_worker() -> None:
    cell = world(batch_events=1)
    append(cell, *(post(AUTHOR[0], n) for n in range(1, 6)))
    process = started(cell)
    cell.settle([process])
    arrive(cell)
    cell.clock.ms += 600
    process.worker._read_commands(process.member)
    assert cell.states()[0].unfinished == 0
    assert cell.states()[0].applied.low == 5
    cell.settle([started(cell)])
    assert len(found_in(cell).inbox) == 5
    assert cell.states()[0].unfinished == 5


def test_what_others_have_is_not_delivered_to_them_again_for_a_slice_that_arrives() -> None:
    """Only who has arrived gets what was done before; a rewind is for all."""
    cell = world()
    half = spread(READER) - 1
    others = [f for f in range(100, 200) if spread(f) <= half][:5]
    author = next(a for a in range(1_000, 2_000) if spread(a) % 2 == 0 and spread(a) <= half)
    cell.command(SliceArrived(0, half, 1, (0, 0)))
    append(cell, Followed(event_id(1), READER, author, 0))
    append(cell, *(Followed(event_id(2 + i), f, author, 0) for i, f in enumerate(others)))
    append(cell, *(post(author, 20 + n) for n in range(3)))
    process = started(cell)
    cell.settle([process])
    assert process.worker.stats.entries == 3 * (len(others) + 1)  # and the author's own
    cell.command(SliceArrived(half + 1, U64, 1, (0, 0)))
    cell.settle([process])
    assert process.worker.stats.entries == 3 * (len(others) + 1) + 3
    assert all(not state.arriving for state in cell.states().values())
    append(cell, post(author, 30))
    cell.settle([process])
    assert process.worker.stats.entries == 4 * (len(others) + 2)
    for partition in (0, 1):
        cell.group.checkpoints[partition] = 0
    again = started(cell)
    cell.settle([again])
    assert again.worker.stats.entries == 4 * (len(others) + 2)


def test_a_retried_letter_is_followed_by_all_that_came_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A follow became a dead letter; what its author wrote since was not delivered."""
    cell = world()
    arrive(cell)
    author = AUTHOR[0]
    follow = Followed(event_id(2), READER, author, 3)
    append(cell, post(author, 1), follow, post(author, 3))
    with monkeypatch.context() as patch:
        patch.setattr("cell.ingest.decode", _not_understanding(follow))
        cell.settle([started(cell)])
    assert READER not in {reader for reader, _, _ in found_in(cell).inbox}
    assert cell.dead.counts().open == 1
    process = started(cell)
    cell.command(LetterRetried(0, 1))
    cell.settle([process])
    inbox = found_in(cell).inbox
    assert {(READER, event_id(n), author) for n in (1, 3)} <= inbox.keys()
    assert cell.dead.counts() == (0, 1, 0)


def test_a_letter_that_still_cannot_be_applied_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = world()
    arrive(cell)
    bad = post(AUTHOR[0], 1)
    append(cell, bad, post(AUTHOR[0], 2))
    monkeypatch.setattr("cell.ingest.decode", _not_understanding(bad))
    process = started(cell)
    cell.settle([process])
    cell.command(LetterRetried(0, 0))
    cell.settle([process])
    assert cell.dead.counts() == (1, 0, 0)
    assert len(found_in(cell).inbox) == 1


def test_a_rewound_group_replays_while_it_runs_and_changes_no_row() -> None:
    """Its positions stay, new posts are applied too, and whoever goes on after a crash knows."""
    cell = world(batch_events=1)
    arrive(cell)
    append(cell, Followed(event_id(1), READER, AUTHOR[0], 0))
    append(cell, *(post(AUTHOR[0], n) for n in range(2, 6)), post(AUTHOR[1], 7))
    process = started(cell)
    cell.settle([process])
    before, events = cell.store.dump(), process.worker.stats.events
    cell.command(GroupRewound({0: 1}))
    cell.clock.ms += 600
    process.worker._read_commands(process.member)
    assert (cell.states()[0].unfinished, cell.states()[0].applied.low) == (1, 5)
    assert cell.states()[1].unfinished == 1
    cell.step(process)
    assert cell.group.checkpoints == {0: 2, 1: 1}
    cell.settle([process])
    assert process.worker.stats.events - events == 4
    assert cell.store.dump() == before
    assert (cell.states()[0].unfinished, cell.group.checkpoints[0]) == (5, 5)
    cell.command(GroupRewound({0: 0, 1: 0}))
    append(cell, post(AUTHOR[0], 9))
    again = started(cell)
    cell.settle([again])
    assert again.worker.stats.events == 7
    assert (READER, event_id(9), AUTHOR[0]) in found_in(cell).inbox


def test_a_group_is_rewound_no_further_than_the_log_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was retained when the operator asked may be gone when the worker obeys."""
    cell = world()
    append(cell, *(post(AUTHOR[0], n) for n in range(1, 6)))
    process = started(cell)
    cell.settle([process])
    monkeypatch.setattr(cell.log, "spans", lambda: [Span(3, 5), Span(0, 0)])
    cell.command(GroupRewound({0: 1}))
    cell.clock.ms += 600
    process.worker._read_commands(process.member)
    assert cell.states()[0].unfinished == 3


@pytest.mark.parametrize("letter", [(0, 7), (1, 0), (9, 9)])
def test_retrying_a_letter_that_is_not_there_does_nothing(letter: tuple[int, int]) -> None:
    cell = world()
    arrive(cell)
    append(cell, post(AUTHOR[0], 1))
    cell.command(LetterRetried(*letter))
    cell.settle([started(cell)])
    assert len(found_in(cell).inbox) == 1


def _not_understanding(event: Event) -> Callable[[bytes], Event]:
    def decode_most(value: bytes) -> Event:
        if value == encode_event(event):
            raise Poison("not yet")
        return decode_event(value)

    return decode_most


def test_an_event_of_a_kind_unknown_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = world()
    append(cell, post(AUTHOR[0], 1))

    def unknown(_: bytes) -> Event:
        raise UnknownKind("upgrade first")

    monkeypatch.setattr("cell.ingest.decode", unknown)
    process = started(cell)
    cell.step(process)
    with pytest.raises(UnknownKind):
        cell.step(process)
    assert cell.dead.counts().open == 0


def test_an_event_in_the_wrong_partition_is_a_dead_letter() -> None:
    cell = world()
    cell.log.append([(1, encode_event(post(AUTHOR[0], 1)))])
    cell.settle([started(cell)])
    (letter,) = cell.dead.list()
    assert "partition 0" in letter.reason


def test_a_log_that_ends_below_what_was_applied_stops_the_worker() -> None:
    cell = world()
    append(cell, post(AUTHOR[0], 1), post(AUTHOR[0], 2))
    cell.settle([started(cell)])
    cell.log.records[0].pop()
    with pytest.raises(CursorTooOld, match="another log"):
        cell.step(started(cell))


def test_a_retention_gap_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = world()
    append(cell, post(AUTHOR[0], 1), post(AUTHOR[0], 2))
    spans = cell.log.spans
    monkeypatch.setattr(cell.log, "spans", lambda: [s._replace(start=1) for s in spans()])
    with pytest.raises(CursorTooOld, match="no longer retained"):
        cell.step(started(cell))


def test_a_batch_is_written_in_parts_of_about_so_many_entries() -> None:
    cell = world(batch_rows=3)
    arrive(cell)
    author = AUTHOR[0]
    append(cell, *(Followed(event_id(n), n, author, 0) for n in range(100, 102)))
    append(cell, *(post(author, n) for n in range(1, 8)))
    process = started(cell)
    cell.settle([process])
    assert process.worker.stats.entries == 21
    assert process.worker.stats.batches >= 7


def test_a_worker_whose_partition_was_claimed_cannot_move_its_position() -> None:
    cell = world()
    process = started(cell)
    cell.settle([process])
    CellState(cell.tables, 2).claim([0])
    append(cell, post(AUTHOR[0], 1))
    process.worker.step(process.member)
    assert cell.states()[0].high == 0
    # An owner that was overtaken by mistake notices it, and claims again.
    cell.settle([process])
    assert cell.states()[0].high == 1


def test_a_worker_whose_partition_was_claimed_cannot_obey_a_command() -> None:
    cell = world()
    process = started(cell)
    cell.settle([process])
    CellState(cell.tables, 2).claim([0])
    arrive(cell)
    cell.clock.ms += 600
    with pytest.raises(Conflict):
        process.worker.step(process.member)
    assert cell.states()[0].residents == ()


def test_who_claims_a_partition_takes_over_how_far_the_one_before_has_come() -> None:
    state = CellState(world().tables, 2)
    (first,) = state.advance(state.claim([0])).values()
    ahead = msgspec.structs.replace(first, high=7, open=(3,))
    state.advance({0: ahead})
    second = state.claim([0])[0]
    assert (second.high, second.open, second.generation) == (7, (3,), first.generation + 1)
    # The first goes on: all it writes is lost, however much further it has come.
    state.advance({0: msgspec.structs.replace(ahead, high=90, step=900)})
    assert state.read()[0] == second


def test_rows_of_a_later_version_are_taken_over_with_fields_unknown_here() -> None:
    """A cell whose workers are upgraded, or set back, one by one."""
    cell = world()
    arrive(cell)
    append(cell, post(AUTHOR[0], 1))
    cell.settle([started(cell)])
    for key in (keys.partition_key(0), keys.position_key(0)):
        (row,) = cell.tables.get(keys.CELL, [key])
        newer = with_a_new_field(row.value)
        assert cell.tables.put_if(keys.CELL, row._replace(value=newer), row.value)
    append(cell, post(AUTHOR[0], 2))
    cell.command(SliceLeft(0, 5, 1))
    cell.settle([started(cell)])
    assert cell.states()[0].applied.low == 2
    assert cell.states()[0].residents[0].start == 0
    assert cell.states()[0].commands == 2


def test_a_change_written_and_acknowledged_too_late_is_taken_over() -> None:
    cell = world()
    state = CellState(cell.tables, 2)
    have = state.claim([0])[0]
    ahead = msgspec.structs.replace(have, commands=4)
    written = state.change(0, have, ahead)
    assert state.change(0, have, ahead) == written
    with pytest.raises(Conflict):
        state.change(0, have, msgspec.structs.replace(have, commands=5))


def test_after_a_failed_write_the_batch_is_done_again() -> None:
    cell = world()
    arrive(cell)
    process = started(cell)
    cell.settle([process])
    append(cell, Followed(event_id(1), READER, AUTHOR[0], 0), post(AUTHOR[0], 2))
    process.fault = Fault(2, lambda: Unavailable("torn"))
    cell.step(process)
    assert process.worker.stats.recoveries == 1
    assert not process.worker.ready
    cell.settle([process])
    assert len(found_in(cell).inbox) == 2


def test_a_slice_that_left_is_no_longer_delivered_to() -> None:
    cell = world()
    arrive(cell)
    process = started(cell)
    append(cell, Followed(event_id(1), READER, AUTHOR[0], 0))
    cell.settle([process])
    cell.command(SliceLeft(0, U64, 1))
    cell.settle([process])
    before = len(cell.store.tables[keys.INBOX].rows)
    append(cell, post(AUTHOR[0], 2), Unfollowed(event_id(3), READER, AUTHOR[0]))
    cell.settle([process])
    assert len(cell.store.tables[keys.INBOX].rows) == before
    assert len(cell.store.tables[keys.POSTS].rows) == 1


@pytest.mark.parametrize(
    "command",
    [
        SliceArrived(1, 2, 3, (4, 5)),
        SliceLeft(0, U64, 7),
        LetterRetried(3, 4),
        GroupRewound({1: 2}),
    ],
)
def test_commands_read_back_and_nothing_else_does(command: object) -> None:
    value = encode(command)  # type: ignore[arg-type]
    assert decode(value) == command
    for wrong in (value[:-1], b"", b"{}", b'{"type":"slice_came","start":1}', b"\xff"):
        with pytest.raises(Corrupt):
            decode(wrong)
