"""What every checkpoint adapter must do. Subclass it and override `open_group_log`."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from firehose.checkpoint import Checkpoints, Member
from firehose.log import Log, Record, Span
from idgen.errors import BadRequest, Conflict, CursorTooOld
from tests.contract.patience import until

OpenGroupLog = Callable[[int], tuple[Log, Checkpoints]]
FAR_MS = 4_000_000_000_000


class CheckpointContract:
    """The contract of firehose.checkpoint.Checkpoints and its Member."""

    patience_s: ClassVar[float] = 60.0
    """How long to wait for what must happen some time; a group's rebalance takes seconds."""

    session_ms: ClassVar[int] = 6_000
    """The shortest session that the adapter's server allows, for members that fall silent."""

    @pytest.fixture
    def open_group_log(self) -> OpenGroupLog:
        """Override: a callable (partitions) that opens a client of a log and of its groups.

        The log is one, new and empty, in each test; every call gives one more client of it.
        The fixture closes the clients.
        """
        raise AssertionError("the subclass gives the fixture open_group_log")

    # -- words for what the tests do ---------------------------------------------------------

    def read_until(
        self, members: Sequence[Member], done: Callable[[list[Record]], bool]
    ) -> list[Record]:
        """Poll the members in turn until `done` says so of all records; the records."""
        records: list[Record] = []

        def step() -> bool:
            for member in members:
                polled = member.poll(500, 50)
                records.extend(polled.records)
                assert {r.partition for r in polled.records} <= member.owned
            return done(records)

        until("the members have read what they should", step, self.patience_s)
        return records

    def read(self, member: Member, count: int) -> list[Record]:
        """Poll one member until it brought `count` records."""
        return self.read_until([member], lambda records: len(records) >= count)

    def settle(self, members: Sequence[Member], partitions: int) -> None:
        """Poll the members in turn until each partition is owned by one, evenly."""

        def even() -> bool:
            for member in members:
                member.poll(1, 50)
            owned = [p for m in members for p in m.owned]
            sizes = [len(m.owned) for m in members]
            return sorted(owned) == list(range(partitions)) and max(sizes) - min(sizes) <= 1

        until("the partitions are shared evenly", even, self.patience_s)

    # -- one member --------------------------------------------------------------------------

    def test_a_lone_member_gets_every_partition_and_every_record(
        self, open_group_log: OpenGroupLog
    ) -> None:
        log, groups = open_group_log(3)
        log.append([(p, b"%d" % i) for p in range(3) for i in range(40)])
        member = groups.join("g", "one")
        assert member.owned == frozenset()
        assigned: list[int] = []
        records: list[Record] = []

        def step() -> bool:
            polled = member.poll(7, 100)
            assert len(polled.records) <= 7
            assert not polled.revoked
            assigned.extend(polled.assigned)
            records.extend(polled.records)
            return len(records) >= 120

        until("all is read", step, self.patience_s)
        assert sorted(assigned) == [0, 1, 2]
        assert member.owned == {0, 1, 2}
        for partition in range(3):
            mine = [(r.offset, r.value) for r in records if r.partition == partition]
            assert mine == [(i, b"%d" % i) for i in range(40)]
        polled = member.poll(7, 100)
        assert (polled.records, polled.assigned, polled.revoked) == ([], frozenset(), frozenset())

    def test_a_poll_waits_for_the_first_record(self, open_group_log: OpenGroupLog) -> None:
        log, groups = open_group_log(2)
        member = groups.join("g", "one")
        self.settle([member], 2)
        log.append([(1, b"here")])
        assert [r.value for r in self.read(member, 1)] == [b"here"]

    def test_a_successor_begins_at_the_checkpoints(self, open_group_log: OpenGroupLog) -> None:
        log, groups = open_group_log(2)
        log.append([(p, b"%d" % i) for p in range(2) for i in range(10)])
        member = groups.join("g", "one")
        self.read(member, 20)
        assert groups.committed("g") == {}
        member.commit({0: 4})
        member.commit({})
        assert groups.committed("g") == {0: 4}
        member.leave()
        member.leave()
        again = groups.join("g", "two")
        # Partition 1 was read and never committed: all of it comes again.
        found = sorted((r.partition, r.offset) for r in self.read(again, 16))
        assert found == [(0, i) for i in range(4, 10)] + [(1, i) for i in range(10)]
        again.commit({0: 10, 1: 10})
        assert groups.committed("g") == {0: 10, 1: 10}

    def test_seek_goes_back_and_forth(self, open_group_log: OpenGroupLog) -> None:
        log, groups = open_group_log(1)
        log.append([(0, b"%d" % i) for i in range(30)])
        member = groups.join("g", "one")
        self.read_until([member], lambda found: len(found) > 0)
        for offset in (3, 0, 27):
            member.seek(0, offset)
            found = self.read(member, 30 - offset)
            assert [r.offset for r in found] == list(range(offset, 30))

    def test_records_polled_but_not_returned_are_dropped_by_seek(
        self, open_group_log: OpenGroupLog
    ) -> None:
        log, groups = open_group_log(1)
        log.append([(0, b"%d" % i) for i in range(30)])
        member = groups.join("g", "one")

        def some() -> list[Record]:
            return member.poll(5, 100).records

        first = until("some records", some, self.patience_s)
        assert first[0].offset == 0
        member.seek(0, 20)
        assert until("some records", some, self.patience_s)[0].offset == 20

    def test_a_paused_partition_gives_nothing_until_resumed(
        self, open_group_log: OpenGroupLog
    ) -> None:
        log, groups = open_group_log(2)
        member = groups.join("g", "one")
        self.settle([member], 2)
        member.pause([0])
        log.append([(p, b"%d" % i) for p in range(2) for i in range(5)])
        assert {r.partition for r in self.read(member, 5)} == {1}
        assert member.poll(10, 300).records == []
        assert member.owned == {0, 1}
        member.resume([0])
        assert [(r.partition, r.offset) for r in self.read(member, 5)] == [(0, i) for i in range(5)]

    def test_commits_are_checked(self, open_group_log: OpenGroupLog) -> None:
        _, groups = open_group_log(2)
        member = groups.join("g", "one")
        self.settle([member], 2)
        with pytest.raises(BadRequest) as caught:
            member.commit({0: 1, 1: -1})
        assert caught.value.field == "offsets"
        assert groups.committed("g") == {}

    # -- sharing -----------------------------------------------------------------------------

    def test_members_share_and_those_who_stay_take_over(self, open_group_log: OpenGroupLog) -> None:
        log, groups = open_group_log(4)
        _, others = open_group_log(4)
        one = groups.join("g", "one")
        self.settle([one], 4)
        two = others.join("g", "two")
        self.settle([one, two], 4)
        assert {m.client: set(m.partitions) for m in groups.members("g")} == {
            "one": set(one.owned),
            "two": set(two.owned),
        }
        log.append([(p, b"v") for p in range(4)])
        self.read_until([one, two], lambda found: len(found) >= 4)
        taken = two.owned
        two.leave()
        revoked: set[int] = set()
        assigned: set[int] = set()

        def whole() -> bool:
            polled = one.poll(10, 50)
            revoked.update(polled.revoked)
            assigned.update(polled.assigned)
            return one.owned == {0, 1, 2, 3}

        until("the other takes over", whole, self.patience_s)
        assert taken <= assigned
        assert [m.client for m in groups.members("g")] == ["one"]

    def test_what_is_taken_is_told_as_revoked(self, open_group_log: OpenGroupLog) -> None:
        _, groups = open_group_log(4)
        one = groups.join("g", "one")
        self.settle([one], 4)
        two = groups.join("g", "two")
        kept = {0, 1, 2, 3}

        def shared() -> bool:
            polled = one.poll(1, 50)
            kept.difference_update(polled.revoked)
            kept.update(polled.assigned)
            assert one.owned == kept
            two.poll(1, 50)
            return len(one.owned) == len(two.owned) == 2

        until("they share", shared, self.patience_s)
        assert one.owned | two.owned == {0, 1, 2, 3}
        with pytest.raises(Conflict):
            one.commit(dict.fromkeys(two.owned, 0))

    def test_with_more_members_than_partitions_some_own_none(
        self, open_group_log: OpenGroupLog
    ) -> None:
        log, groups = open_group_log(1)
        members = [groups.join("g", f"m{i}") for i in range(2)]
        self.settle(members, 1)
        log.append([(0, b"once")])
        assert len(self.read_until(members, lambda found: len(found) >= 1)) == 1

    def test_a_silent_member_loses_its_partitions_and_its_commit_is_refused(
        self, open_group_log: OpenGroupLog
    ) -> None:
        log, groups = open_group_log(2)
        _, others = open_group_log(2)
        log.append([(p, b"v") for p in range(2)])
        silent = groups.join("g", "silent", session_ms=self.session_ms)
        self.read(silent, 2)
        self.settle([silent], 2)
        silent.commit({0: 1})
        heir = others.join("g", "heir", session_ms=self.session_ms)
        found = self.read_until([heir], lambda _: heir.owned == {0, 1})
        found += self.read_until([heir], lambda more: len(found) + len(more) >= 1)
        assert {(r.partition, r.offset) for r in found} == {(1, 0)}
        with pytest.raises(Conflict):
            silent.commit({1: 1})
        assert others.committed("g") == {0: 1}
        heir.commit({1: 1})
        revoked: set[int] = set()

        def told() -> bool:
            heir.poll(1, 20)
            revoked.update(silent.poll(1, 50).revoked)
            return revoked == {0, 1}

        until("the silent one hears that it lost them", told, self.patience_s)
        self.settle([silent, heir], 2)
        assert others.committed("g") == {0: 1, 1: 1}

    def test_groups_do_not_disturb_each_other(self, open_group_log: OpenGroupLog) -> None:
        log, groups = open_group_log(1)
        log.append([(0, b"v")])
        one, other = groups.join("g", "c"), groups.join("h", "c")
        assert len(self.read(one, 1)) == len(self.read(other, 1)) == 1
        one.commit({0: 1})
        assert (groups.committed("g"), groups.committed("h")) == ({0: 1}, {})

    # -- keeping groups ----------------------------------------------------------------------

    def test_a_group_without_members_can_be_rewound(self, open_group_log: OpenGroupLog) -> None:
        log, groups = open_group_log(3)
        log.append([(p, b"%d" % i) for p in range(3) for i in range(8)])
        member = groups.join("g", "one")
        self.read(member, 24)
        member.commit({0: 8, 1: 8, 2: 8})
        with pytest.raises(Conflict):
            groups.rewind("g", {0: 1})
        member.leave()
        until("the member is gone", lambda: not groups.members("g"), self.patience_s)
        for unknown in (3, -1):
            with pytest.raises(BadRequest):
                groups.rewind("g", {0: 1, unknown: 0})
        assert groups.committed("g") == {0: 8, 1: 8, 2: 8}
        groups.rewind("g", {0: 5, 1: -7, 2: 1_000})
        assert groups.committed("g") == {0: 5, 1: 0, 2: 8}
        again = groups.join("g", "two")
        found = sorted((r.partition, r.offset) for r in self.read(again, 11))
        assert found == [(0, i) for i in range(5, 8)] + [(1, i) for i in range(8)]

    def test_a_group_can_be_rewound_before_it_ever_read(self, open_group_log: OpenGroupLog) -> None:
        log, groups = open_group_log(1)
        log.append([(0, b"%d" % i) for i in range(5)])
        groups.rewind("new", {0: 3})
        assert groups.committed("new") == {0: 3}
        member = groups.join("new", "one")
        assert [r.offset for r in self.read(member, 2)] == [3, 4]

    def test_a_retention_gap_is_never_skipped_silently(self, open_group_log: OpenGroupLog) -> None:
        log, groups = open_group_log(1)
        log.append([(0, b"%d" % i) for i in range(5)])
        member = groups.join("g", "one")
        self.read(member, 5)
        member.commit({0: 2})
        member.leave()
        log.trim(FAR_MS)
        until("the log is trimmed", lambda: log.spans() == [Span(5, 5)], self.patience_s)
        log.append([(0, b"after the gap")])
        again = groups.join("g", "two")

        floors: list[bytes] = []

        def refused() -> bool:
            try:
                assert again.poll(10, 100).records == []
            except CursorTooOld as error:
                floors.append(error.floor)
            return bool(floors)

        until("the gap is told", refused, self.patience_s)
        assert floors == [(5).to_bytes(8)]
        again.leave()
        until("the member is gone", lambda: not groups.members("g"), self.patience_s)
        # Said by hand, the gap may be passed.
        groups.rewind("g", {0: 0})
        assert groups.committed("g") == {0: 5}
        assert [r.value for r in self.read(groups.join("g", "three"), 1)] == [b"after the gap"]

    def test_a_group_without_checkpoint_begins_at_the_start_of_the_log(
        self, open_group_log: OpenGroupLog
    ) -> None:
        log, groups = open_group_log(1)
        log.append([(0, b"old")])
        log.trim(FAR_MS)
        until("the log is trimmed", lambda: log.spans() == [Span(1, 1)], self.patience_s)
        log.append([(0, b"new")])
        assert [r.value for r in self.read(groups.join("g", "one"), 1)] == [b"new"]

    def test_groups_are_listed_and_deleted(self, open_group_log: OpenGroupLog) -> None:
        _, groups = open_group_log(1)
        assert groups.members("nobody") == []
        assert groups.committed("nobody") == {}
        groups.delete("nobody")
        groups.rewind("b", {0: 0})
        member = groups.join("a", "one")
        self.settle([member], 1)
        assert {"a", "b"} <= set(groups.groups())
        assert groups.groups() == sorted(groups.groups())
        with pytest.raises(Conflict):
            groups.delete("a")
        member.leave()
        until("the member is gone", lambda: not groups.members("a"), self.patience_s)
        groups.delete("a")
        groups.delete("b")
        assert not {"a", "b"} & set(groups.groups())
        assert groups.committed("b") == {}
