"""Slices: every place has one home, changes change what they name, pieces lose nothing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idgen.errors import BadRequest, Conflict, Corrupt
from router.slices import EPOCH_MAX, PLACES, Slice, Slices, even, from_bytes, pieces, to_bytes

places = st.integers(0, PLACES - 1)
names = st.sampled_from(["a", "b", "cell-3"])
epochs = st.tuples(st.integers(1, 5), st.integers(0, 3)).map(lambda e: (e[0], e[0] + e[1]))


@st.composite
def all_slices(draw: st.DrawFn) -> Slices:
    starts = [0, *sorted(draw(st.frozensets(st.integers(1, PLACES - 1), max_size=12)))]
    return Slices(Slice(start, draw(names), *draw(epochs)) for start in starts)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int]:
    start, last = sorted((draw(places), draw(places)))
    return start, last + 1


def probes(*many: Slices) -> list[int]:
    """Each bound and its neighbours: homes can differ nowhere else."""
    starts = {s.start for slices in many for s in slices}
    return sorted({p % PLACES for start in starts for p in (start - 1, start, start + 1)})


@given(all_slices(), places)
def test_find_agrees_with_a_linear_search(slices: Slices, place: int) -> None:
    expected = max(i for i, s in enumerate(slices) if s.start <= place)
    assert slices.find(place) == expected
    assert slices.at(place) == slices[expected]
    assert slices[expected].start <= place < slices.end(expected)


@given(all_slices(), places)
def test_splitting_changes_no_home(slices: Slices, place: int) -> None:
    cut = slices.split(place)
    assert cut.at(place).start == place
    for p in [*probes(cut), place]:
        before, after = slices.at(p), cut.at(p)
        assert (before.cell, before.epoch, before.drawn) == (after.cell, after.epoch, after.drawn)


@given(all_slices())
def test_merging_changes_no_home_and_leaves_no_equal_neighbours(slices: Slices) -> None:
    merged = slices.merged()
    for p in probes(slices):
        before, after = slices.at(p), merged.at(p)
        assert (before.cell, before.epoch) == (after.cell, after.epoch)
        assert after.drawn >= before.drawn  # forgetting a drawn epoch would give it twice
    homes = [(s.cell, s.epoch) for s in merged]
    assert all(a != b for a, b in pairwise(homes))
    assert merged.merged() == merged


@given(all_slices(), ranges())
def test_a_drawn_epoch_is_above_all_of_its_range_and_moves_nobody(
    slices: Slices, bounds: tuple[int, int]
) -> None:
    start, end = bounds
    drawn, epoch = slices.draw(start, end)
    inside = [p for p in probes(slices, drawn) if start <= p < end]
    assert all(slices.at(p).drawn < epoch for p in [*inside, start])
    assert all(drawn.at(p).drawn == epoch for p in [*inside, start])
    for p in probes(slices, drawn):
        assert (slices.at(p).cell, slices.at(p).epoch) == (drawn.at(p).cell, drawn.at(p).epoch)
        if not start <= p < end:
            assert drawn.at(p).drawn == slices.at(p).drawn
    assert drawn.draw(start, end)[1] == epoch + 1
    # nor is it given again after the slices were merged with neighbours
    assert drawn.merged().draw(start, end)[1] > epoch


@given(all_slices(), ranges(), names)
def test_rehoming_moves_its_range_alone(slices: Slices, bounds: tuple[int, int], cell: str) -> None:
    start, end = bounds
    drawn, epoch = slices.draw(start, end)
    moved = drawn.rehome(start, end, cell, epoch)
    for p in probes(moved):
        if start <= p < end:
            assert (moved.at(p).cell, moved.at(p).epoch) == (cell, epoch)
        else:
            assert moved.at(p) == drawn.at(p)
    with pytest.raises(Conflict):
        moved.rehome(start, end, "b", epoch)
    with pytest.raises(Conflict):
        moved.rehome(start, end, "b", epoch + 1)


@given(all_slices(), st.integers(80, 400))
def test_pieces_fit_and_together_are_all(slices: Slices, bytes_max: int) -> None:
    runs = pieces(list(slices), bytes_max)
    assert all(run for run in runs)
    assert all(len(to_bytes(run)) <= bytes_max for run in runs)
    assert Slices(s for run in runs for s in from_bytes(to_bytes(run))) == slices


@given(st.lists(names, min_size=1, max_size=9, unique=True))
def test_even_parts_differ_by_one_place_at_most(cells: list[str]) -> None:
    slices = even(cells)
    widths = [slices.end(i) - s.start for i, s in enumerate(slices)]
    assert sum(widths) == PLACES
    assert max(widths) - min(widths) <= 1
    assert [s.cell for s in slices] == cells
    assert [slices.width(cell) for cell in cells] == widths


@given(st.binary(max_size=60))
def test_any_bytes_are_slices_or_corrupt(data: bytes) -> None:
    try:
        found = from_bytes(data)
    except Corrupt:
        return
    assert from_bytes(to_bytes(found)) == found


def test_the_longest_entry_fits_its_share_of_a_piece() -> None:
    longest = Slice(PLACES - 1, "x" * 32, EPOCH_MAX, EPOCH_MAX)
    assert len(to_bytes([longest])) <= 80


def test_an_empty_list_of_cells_is_refused() -> None:
    with pytest.raises(BadRequest, match="cells"):
        even([])
