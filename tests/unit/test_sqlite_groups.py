"""What the SQLite groups promise beyond the checkpoint contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log_sqlite import SqliteLog
from firehose.member_sqlite import SqliteMember
from firehose.shares import share_out
from idgen.errors import BadRequest, Conflict, CursorTooOld
from tests.unit.firehose_world import ManualClock

SESSION_MS = 9_000
PARTITIONS = 6


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.log = SqliteLog(folder / "one.db", "events", PARTITIONS, self.clock)
        # The same file for both, which is allowed.
        self.groups = SqliteCheckpoints(self.log, folder / "one.db", self.clock)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.groups.close()
    world.log.close()


def test_a_member_lives_exactly_its_session(world: World) -> None:
    silent = world.groups.join("g", "silent", SESSION_MS)
    silent.poll(1, 0)
    world.clock.ms += SESSION_MS
    assert [m.client for m in world.groups.members("g")] == ["silent"]
    heir = world.groups.join("g", "heir", SESSION_MS)
    heir.poll(1, 0)
    assert heir.owned == frozenset()
    world.clock.ms += 1
    assert [m.client for m in world.groups.members("g")] == ["heir"]
    world.clock.ms += SESSION_MS // 3
    heir.poll(1, 0)
    assert heir.owned == set(range(PARTITIONS))
    with pytest.raises(Conflict, match="no longer owns"):
        silent.commit({0: 1})
    polled = silent.poll(1, 0)
    assert polled.revoked == set(range(PARTITIONS))
    heir.poll(1, 0)
    polled = silent.poll(1, 0)
    assert len(polled.assigned) == len(silent.owned) == len(heir.owned) == PARTITIONS // 2
    assert not silent.owned & heir.owned


def test_a_clock_set_back_by_hours_keeps_nobody_for_hours(world: World) -> None:
    silent = world.groups.join("g", "silent", SESSION_MS)
    silent.poll(1, 0)
    world.clock.ms -= 7_200_000
    heir = world.groups.join("g", "heir", SESSION_MS)
    heir.poll(1, 0)
    assert heir.owned == set(range(PARTITIONS))


def test_a_member_that_polls_lives_on_by_few_writes(world: World) -> None:
    member = world.groups.join("g", "one", SESSION_MS)
    member.poll(1, 0)
    begun = world.log.rung
    for _ in range(100):
        world.clock.ms += SESSION_MS // 10
        member.poll(1, 0)
    assert [m.client for m in world.groups.members("g")] == ["one"]
    assert 20 <= world.log.rung - begun <= 30


def test_partitions_are_given_up_before_they_are_taken(world: World) -> None:
    world.log.append([(p, b"v") for p in range(PARTITIONS)])
    one = world.groups.join("g", "one", SESSION_MS)
    got = one.poll(PARTITIONS, 0)
    assert len(got.records) == PARTITIONS
    two = world.groups.join("g", "two", SESSION_MS)
    assert two.poll(9, 0).records == []
    # Until it polls again, what the first one has is its own, also to commit.
    one.commit(dict.fromkeys(range(PARTITIONS), 1))
    assert one.poll(9, 0).revoked == {3, 4, 5}
    polled = two.poll(9, 0)
    assert (polled.assigned, polled.records) == ({3, 4, 5}, [])


def test_an_expired_member_cannot_undo_a_rewind(world: World) -> None:
    world.log.append([(0, b"%d" % i) for i in range(9)])
    silent = world.groups.join("g", "silent", SESSION_MS)
    silent.poll(9, 0)
    silent.commit({0: 9})
    world.clock.ms += SESSION_MS + 1
    world.groups.rewind("g", {0: 2})
    with pytest.raises(Conflict):
        silent.commit({0: 9})
    assert world.groups.committed("g") == {0: 2}
    polled = silent.poll(9, 0)
    assert polled.revoked == polled.assigned == set(range(PARTITIONS))
    assert [r.offset for r in polled.records] == list(range(2, 9))


def test_every_partition_has_its_turn(world: World) -> None:
    member = world.groups.join("g", "one", SESSION_MS)
    world.log.append([(p, b"v") for p in range(PARTITIONS) for _ in range(100)])
    seen = [{r.partition for r in member.poll(50, 0).records} for _ in range(PARTITIONS)]
    assert set().union(*seen) == set(range(PARTITIONS))


@pytest.mark.parametrize("checked", [True, False], ids=["before", "while it reads"])
def test_a_gap_in_one_partition_loses_nothing_of_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    if not checked:
        # As if the log was trimmed after the member had looked.
        monkeypatch.setattr(SqliteMember, "_check_gap", lambda *_: None)
    world.log.append([(3, b"old")] * 4)
    member = world.groups.join("g", "one", SESSION_MS)
    member.poll(1, 0)
    member.seek(3, 1)
    world.clock.ms += 1
    world.log.trim(world.clock.ms)
    world.log.append([(p, b"new") for p in range(PARTITIONS)])
    for _ in range(3):
        with pytest.raises(CursorTooOld) as caught:
            member.poll(PARTITIONS, 0)
        assert caught.value.floor == (4).to_bytes(8)
    member.seek(3, 4)
    found = member.poll(PARTITIONS, 0).records
    assert sorted((r.partition, r.value) for r in found) == [(p, b"new") for p in range(PARTITIONS)]


def test_a_log_made_anew_has_no_checkpoints(world: World, tmp_path: Path) -> None:
    member = world.groups.join("g", "one", SESSION_MS)
    member.poll(1, 0)
    member.commit({0: 0})
    other = SqliteLog(tmp_path / "other.db", "events", 2, world.clock)
    groups = SqliteCheckpoints(other, tmp_path / "one.db", world.clock)
    assert groups.committed("g") == {}
    assert groups.groups() == []
    groups.close()
    other.close()


def test_who_has_left_is_told_so(world: World) -> None:
    member = world.groups.join("g", "one", SESSION_MS)
    member.poll(1, 0)
    member.leave()
    assert member.owned == frozenset()
    with pytest.raises(Conflict, match="has left"):
        member.poll(1, 0)
    with pytest.raises(Conflict, match="has left"):
        member.commit({0: 1})


def test_closing_lets_members_leave(world: World, tmp_path: Path) -> None:
    groups = SqliteCheckpoints(world.log, tmp_path / "one.db", world.clock)
    member = groups.join("g", "one", SESSION_MS)
    member.poll(1, 0)
    groups.close()
    groups.close()
    assert world.groups.members("g") == []
    member.leave()


def test_bad_input_is_refused(world: World) -> None:
    for session_ms in (0, -1, 10**10):
        with pytest.raises(BadRequest, match="session_ms"):
            world.groups.join("g", "one", session_ms)
    with pytest.raises(BadRequest):
        world.groups.join("", "one")
    member = world.groups.join("g", "one")
    with pytest.raises(Conflict, match="does not own"):
        member.seek(0, 1)
    member.poll(1, 0)
    with pytest.raises(BadRequest):
        member.seek(0, -1)


@given(
    partitions=st.integers(1, 20),
    rounds=st.lists(st.sets(st.sampled_from("abcdefgh")), min_size=1, max_size=8),
)
def test_shares_are_even_and_move_no_more_than_needed(
    partitions: int, rounds: list[set[str]]
) -> None:
    current: dict[int, str] = {}
    for members in rounds:
        target = share_out(partitions, sorted(members), current)
        if not members:
            assert target == {}
            current = target
            continue
        assert set(target) == set(range(partitions))
        sizes = [list(target.values()).count(m) for m in members]
        assert max(sizes) - min(sizes) <= 1
        # The least number of moves: each member keeps as much as an even share allows, the
        # larger shares going to those who hold most.
        held = sorted((list(current.values()).count(m) for m in members), reverse=True)
        base, extra = divmod(partitions, len(members))
        kept = sum(min(h, base + (i < extra)) for i, h in enumerate(held))
        assert sum(current.get(p) == m for p, m in target.items()) == kept
        current = target
