"""What slices refuse, by example; that changes are right is in the properties."""

import pytest

from idgen.errors import BadRequest, Conflict, Corrupt
from router.slices import EPOCH_MAX, PLACES, Slice, Slices, check_cell_name, even, from_bytes

A = Slice(0, "a", 1, 1)


@pytest.mark.parametrize(
    "slices",
    [
        [],
        [Slice(1, "a", 1, 1)],
        [A, Slice(5, "b", 1, 1), Slice(5, "c", 1, 1)],
        [A, Slice(9, "b", 1, 1), Slice(5, "c", 1, 1)],
        [A, Slice(PLACES, "b", 1, 1)],
        [Slice(0, "a", 0, 1)],
        [Slice(0, "a", 2, 1)],
        [Slice(0, "a", 1, EPOCH_MAX + 1)],
        [Slice(0, "A/b", 1, 1)],
    ],
)
def test_what_is_no_partition_of_the_key_space_is_refused(slices: list[Slice]) -> None:
    with pytest.raises(BadRequest, match=r"^routes:"):
        Slices(slices)


def test_one_reader_is_a_slice_of_width_one() -> None:
    slices, epoch = even(["a", "b"]).draw(77, 78)
    assert epoch == 2
    moved = slices.rehome(77, 78, "b", 2).merged()
    assert [(s.start, s.cell, s.epoch) for s in moved] == [
        (0, "a", 1),
        (77, "b", 2),
        (78, "a", 1),
        (PLACES // 2, "b", 1),
    ]


def test_slices_of_one_cell_and_different_epochs_are_not_merged() -> None:
    slices = Slices([A, Slice(5, "a", 2, 2)])
    assert slices.merged() == slices


def test_a_range_with_all_epochs_used_up_is_told_so() -> None:
    slices = Slices([Slice(0, "a", 3, EPOCH_MAX)])
    with pytest.raises(Conflict, match="had all 32767 epochs"):
        slices.draw(0, PLACES)


def test_a_range_that_cuts_slices_cuts_them_when_it_is_rehomed() -> None:
    merged = even(["a", "b"]).draw(0, 5)[0].merged()
    moved = merged.rehome(0, 5, "b", 2)
    assert [(s.start, s.cell) for s in moved] == [(0, "b"), (5, "a"), (PLACES // 2, "b")]


def test_a_range_that_is_none_is_refused() -> None:
    slices = even(["a", "b"])
    for start, end in ((5, 5), (-1, 5), (0, PLACES + 1)):
        with pytest.raises(BadRequest, match=r"^range:"):
            slices.draw(start, end)


def test_an_epoch_that_was_not_drawn_is_refused() -> None:
    with pytest.raises(Conflict, match="not drawn"):
        even(["a"]).rehome(0, PLACES, "b", 2)


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a/b", "x" * 33, "a\n"])
def test_a_cells_name_is_plain(name: str) -> None:
    with pytest.raises(BadRequest, match=r"^cell:"):
        check_cell_name("cell", name)


@pytest.mark.parametrize("data", [b"", b"{}", b'[["xyz","a",1,1]]', b'[["0","a",1]]', b"\xff"])
def test_damaged_pieces_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        from_bytes(data)
