"""What stands in the way of a move is named, all of it, with what to do."""

import pytest

from router.cells import CellInfo, CellState
from router.preflight import FRAGMENTS_MAX, CellFacts, blockers

SOURCE = CellFacts(CellInfo("a"), 0.0)
TARGET = CellFacts(CellInfo("b"), 0.0)


def test_nothing_stands_in_the_way_between_two_cells_that_are_well() -> None:
    assert blockers(SOURCE, TARGET, ()) == []


@pytest.mark.parametrize(
    ("cause", "source", "target", "remedy"),
    [
        ("unreachable", SOURCE._replace(lag_s=None), TARGET, "describe-cell a"),
        ("unreachable", SOURCE, TARGET._replace(lag_s=None), "describe-cell b"),
        ("dead_letters", SOURCE._replace(dead_letters=2), TARGET, "dead-letters list a"),
        ("dead_letters", SOURCE, TARGET._replace(dead_letters=1), "dead-letters list b"),
        ("too_many_ranges", SOURCE._replace(fragments=FRAGMENTS_MAX + 1), TARGET, "whole slices"),
        ("lagging", SOURCE, TARGET._replace(lag_s=61.0), "wait until"),
        ("no_space", SOURCE, TARGET._replace(disk_used=0.95), "make room"),
        (
            "cordoned",
            SOURCE,
            TARGET._replace(info=CellInfo("b", cordoned=True)),
            "cordon-cell b --undo",
        ),
        ("not_active", SOURCE, TARGET._replace(info=CellInfo("b", CellState.DARK)), "is dark"),
    ],
)
def test_each_trouble_is_a_blocker_with_a_remedy(
    cause: str, source: CellFacts, target: CellFacts, remedy: str
) -> None:
    (found,) = blockers(source, target, ())
    assert found.cause == cause
    assert remedy in found.why


def test_a_source_may_lag_be_cordoned_or_drain() -> None:
    source = CellFacts(CellInfo("a", CellState.DRAINING, cordoned=True), 3_600.0, disk_used=0.99)
    assert blockers(source, TARGET, ()) == []


def test_all_that_stands_in_the_way_is_told_at_once() -> None:
    found = blockers(SOURCE._replace(dead_letters=1), TARGET._replace(lag_s=99.0), [7])
    assert [each.cause for each in found] == ["already_moving", "dead_letters", "lagging"]
    assert "show-move 7" in found[0].why
