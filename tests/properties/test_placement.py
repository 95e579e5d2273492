"""Who goes where when a cell is drained, or when loads are made even."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idgen.errors import BadRequest
from router.cells import CellInfo, CellState
from router.placement import EVEN_ENOUGH, WIDTH_MAX, drained, parts_of, rebalanced, takers
from router.slices import PLACES, Slice, Slices, even

names = st.sampled_from(("a", "b", "c"))


@st.composite
def routes(draw: st.DrawFn) -> Slices:
    starts = draw(st.sets(st.integers(1, PLACES - 1), max_size=12))
    return Slices(Slice(start, draw(names), 1, 1) for start in sorted({0, *starts}))


CELLS = [CellInfo("a"), CellInfo("b"), CellInfo("c")]


@given(routes(), names)
def test_parts_cover_what_a_cell_has_and_are_narrow(slices: Slices, cell: str) -> None:
    parts = parts_of(slices, cell)
    assert sum(last - start + 1 for start, last in parts) == slices.width(cell)
    for start, last in parts:
        assert 0 <= last - start < WIDTH_MAX
        assert slices.at(start).cell == slices.at(last).cell == cell
        assert slices.find(start) == slices.find(last)


@given(routes(), names)
def test_draining_leaves_nothing_and_fills_the_others_evenly(slices: Slices, cell: str) -> None:
    found = drained(slices, cell, CELLS)
    assert [(t.start, t.last) for t in found] == parts_of(slices, cell)
    widths = {c.name: slices.width(c.name) for c in CELLS if c.name != cell}
    for transfer in found:
        assert widths[transfer.target] == min(widths.values())
        widths[transfer.target] += transfer.last - transfer.start + 1


def test_who_is_cordoned_or_not_active_takes_nobody_in() -> None:
    cells = [CellInfo("a"), CellInfo("b", cordoned=True), CellInfo("c", CellState.DRAINING)]
    assert takers(cells) == ["a"]
    with pytest.raises(BadRequest, match="uncordon"):
        drained(even(["a", "b"]), "a", cells)
    assert {t.target for t in drained(even(["a", "b"]), "b", cells)} == {"a"}


@given(routes(), st.randoms(use_true_random=False))
def test_rebalancing_never_makes_it_worse(slices: Slices, rnd) -> None:  # type: ignore[no-untyped-def]
    weights: dict[tuple[int, int], float] = {}

    def load_of(start: int, last: int) -> float:
        return weights.setdefault((start, last), rnd.choice([0.0, 1.0, 1.0, 5.0]))

    found = rebalanced(slices, CELLS, load_of)
    before = {name: sum(load_of(*p) for p in parts_of(slices, name)) for name in "abc"}
    after = dict(before)
    for transfer in found:
        home = slices.at(transfer.start).cell
        assert home != transfer.target
        after[home] -= load_of(transfer.start, transfer.last)
        after[transfer.target] += load_of(transfer.start, transfer.last)
    spread_before = max(before.values()) - min(before.values())
    assert max(after.values()) - min(after.values()) <= spread_before
    assert len({(t.start, t.last) for t in found}) == len(found)


def test_what_is_even_enough_is_left_alone() -> None:
    slices = even(["a", "b", "c"])
    assert rebalanced(slices, CELLS, lambda start, last: float(last - start)) == []


def test_an_empty_cell_gets_its_share() -> None:
    slices = even(["a", "b"])
    found = rebalanced(slices, CELLS, lambda start, last: float(last - start + 1))
    assert {t.target for t in found} == {"c"}
    share = sum(t.last - t.start + 1 for t in found) / PLACES
    assert abs(share - 1 / 3) < EVEN_ENOUGH
