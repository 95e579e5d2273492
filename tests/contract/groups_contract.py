"""What operators see of groups, on every log with checkpoints. Override `open_group_log`."""

from typing import ClassVar

import pytest

from firehose.cursor import cursor_of, parse_cursor
from firehose.groups import Group, look_at, plan_rewind
from firehose.places import AtTime, Earliest, Latest
from firehose.rewind import Offsets, Shift
from idgen.errors import BadRequest, NotFound
from tests.contract.checkpoint_contract import FAR_MS, OpenGroupLog
from tests.contract.patience import until


class GroupsContract:
    """The contract of firehose.groups over an adapter."""

    patience_s: ClassVar[float] = 60.0

    @pytest.fixture
    def open_group_log(self) -> OpenGroupLog:
        raise AssertionError("the subclass gives the fixture open_group_log")

    def test_members_and_lag_are_seen_and_rewound(self, open_group_log: OpenGroupLog) -> None:
        log, groups = open_group_log(2)
        with pytest.raises(NotFound, match="firehose groups"):
            look_at(log, groups, "g", 0)
        appended = log.append([(0, b"a"), (0, b"b"), (0, b"c"), (1, b"d")])
        now_ms = appended[-1].at_ms + 5_000
        member = groups.join("g", "reader")
        until(
            "all is owned", lambda: member.poll(1, 50) and len(member.owned) == 2, self.patience_s
        )
        member.commit({0: 1})

        found = look_at(log, groups, "g", now_ms)
        assert [(m.client, m.partitions) for m in found.members] == [("reader", (0, 1))]
        assert [(p.offset, p.end, p.events, p.gone) for p in found.partitions] == [
            (1, 3, 2, 0),
            (None, 1, 1, 0),
        ]
        assert [p.client for p in found.partitions] == ["reader"] * 2
        assert found.events == 3
        assert found.seconds is not None
        assert 5 <= found.seconds < 10
        assert look_at(log, groups, "g", now_ms, timed=False).seconds is None
        member.commit({0: 3, 1: 1})
        assert look_at(log, groups, "g", now_ms).seconds == 0
        member.leave()
        until("nobody is left", lambda: not groups.members("g"), self.patience_s)

        def planned(target: object, *partitions: int) -> list[tuple[int, int, int, str]]:
            plan = plan_rewind(log, groups, "g", ("--x", target), partitions, now_ms=now_ms)  # type: ignore[arg-type]
            return [(s.partition, s.before, s.offset, s.clamped) for s in plan]

        assert planned(Earliest()) == [(0, 3, 0, ""), (1, 1, 0, "")]
        assert planned(Latest(), 1) == [(1, 1, 1, "")]
        assert planned(Shift(-2)) == [(0, 3, 1, ""), (1, 1, 0, "oldest")]
        assert planned(AtTime(FAR_MS), 0) == [(0, 3, 3, "newest")]
        assert planned(AtTime(appended[0].at_ms), 0) == [(0, 3, 0, "")]
        assert planned(Offsets({0: 9})) == [(0, 3, 3, "newest")]
        assert planned(parse_cursor("--x", found.cursor)) == [(0, 3, 1, ""), (1, 1, 0, "")]
        with pytest.raises(BadRequest, match="another firehose"):
            planned(cursor_of("another", 2, {0: 1}))
        for wrong in (Offsets({2: 0}), cursor_of(log.identity, 2, {0: 1})):
            with pytest.raises(BadRequest, match="partition"):
                planned(wrong, 1)
        with pytest.raises(BadRequest, match="--partition: there is no partition 2 of 2"):
            planned(Earliest(), 2)
        groups.rewind("g", {0: 1, 1: 0})
        assert self.offsets(look_at(log, groups, "g", now_ms)) == [1, 0]

    @staticmethod
    def offsets(group: Group) -> list[int | None]:
        return [each.offset for each in group.partitions]
