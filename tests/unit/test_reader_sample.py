"""Which readers a check looks at: evenly over what is homed, and the same ones for a seed."""

import random
from itertools import pairwise

import pytest

from cell import keys
from cell.reader_sample import Range, Sample, sample_readers, windows
from cell.tables import Row
from idgen.ids import U64, spread, unspread
from tests.unit.memory_tables import MemoryTables

EVERYWHERE: list[Range] = [(0, U64)]
PARTS: list[Range] = [(5, 9), (20, 20), (100, 999), (2_000, 2_001)]


def cell_of(readers: range) -> MemoryTables:
    tables = MemoryTables()
    tables.create(keys.TABLES)
    for reader in readers:
        table = (keys.FOLLOWING, keys.INBOX, keys.MARKS)[reader % 3]
        tables.put(table, [Row(keys.prefix(reader) + b"x", 1, b"\x01")])
    return tables


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("sample", [Sample(1), Sample(7), Sample(5_000), Sample(share=1.0)])
def test_windows_for_a_number_of_readers_are_all_that_is_homed(sample: Sample, seed: int) -> None:
    found = [places for window in windows(PARTS, sample, seed) for places in window]
    within = sorted(place for start, last in found for place in range(start, last + 1))
    assert within == [place for start, last in PARTS for place in range(start, last + 1)]


@pytest.mark.parametrize("share", [0.01, 0.25, 0.9])
def test_windows_for_a_part_have_about_that_part_of_what_is_homed(share: float) -> None:
    for homed in ([(0, U64)], [(0, U64 // 3), (U64 // 2, U64)]):
        width = sum(last - start + 1 for start, last in homed)
        found = [places for window in windows(homed, Sample(share=share), 3) for places in window]
        assert all(any(a <= b and d <= c for a, c in homed) for b, d in found)
        found.sort()
        assert all(a[1] < b[0] for a, b in pairwise(found))
        assert sum(last - start + 1 for start, last in found) == pytest.approx(width * share)


@pytest.mark.parametrize("wanted", [1, 5, 20, 99, 100, 150])
def test_as_many_readers_are_found_as_were_asked_for(wanted: int) -> None:
    tables = cell_of(range(1, 101))
    for seed in range(5):
        found = sample_readers(tables, EVERYWHERE, Sample(wanted), seed)
        assert len(found) == len(set(found)) == min(wanted, 100), seed
        assert set(found) <= set(range(1, 101))
        assert found == sample_readers(tables, EVERYWHERE, Sample(wanted), seed)
    assert sample_readers(tables, EVERYWHERE, Sample(share=1.0), 1) == sorted(
        range(1, 101), key=spread
    )


def test_other_seeds_pick_others() -> None:
    tables = cell_of(range(1, 101))
    picked = {r for seed in range(200) for r in sample_readers(tables, EVERYWHERE, Sample(5), seed)}
    assert len(picked) > 90
    whole = Sample(share=0.05)  # of a part of the key space everybody is picked
    picked = {r for seed in range(200) for r in sample_readers(tables, EVERYWHERE, whole, seed)}
    assert picked == set(range(1, 101))


def test_only_who_is_homed_is_picked() -> None:
    tables = cell_of(range(1, 101))
    rnd = random.Random(5)
    for _ in range(20):
        start, last = sorted((rnd.randrange(U64), rnd.randrange(U64)))
        within = {r for r in range(1, 101) if start <= spread(r) <= last}
        assert set(sample_readers(tables, [(start, last)], Sample(100), 1)) == within
    assert sample_readers(tables, [], Sample(100), 1) == []
    own = spread(17)
    assert sample_readers(tables, [(own, own)], Sample(20), 1) == [17]


def test_a_place_of_no_user_is_left_out() -> None:
    tables = cell_of(range(1, 2))
    tables.put(keys.INBOX, [Row(keys.place_bytes(spread(0)) + b"x", 1, b"\x01")])
    tables.put(keys.INBOX, [Row(keys.place_bytes(spread(U64)) + b"x", 1, b"\x01")])
    assert unspread(spread(U64)) == U64
    assert sample_readers(tables, EVERYWHERE, Sample(20), 1) == [1]
