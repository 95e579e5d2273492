"""spread is the bijection that the design names, one by one and by arrays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from idgen.ids import (
    ID_EPOCH_MS,
    SEQUENCES,
    U64,
    WORKERS,
    at_ms,
    compose,
    decompose,
    partition_of,
    spread,
    spread_array,
    unspread,
    unspread_array,
)

u64 = st.integers(0, U64)
times = st.integers(ID_EPOCH_MS, ID_EPOCH_MS + (1 << 41) - 1)
parts = st.tuples(times, st.integers(0, WORKERS - 1), st.integers(0, SEQUENCES - 1))


def test_the_published_values() -> None:
    assert spread(1) == 0xB456BCFC34C2CB2C
    assert spread(2) == 0x3ABF2A20650683E7
    assert spread(88) == 0x842DE5DDD9DFEF82


@given(u64)
def test_unspread_undoes_spread_both_ways(x: int) -> None:
    assert 0 <= spread(x) <= U64
    assert unspread(spread(x)) == x
    assert spread(unspread(x)) == x


@given(st.lists(u64, max_size=50))
def test_arrays_agree_with_single_values_and_are_left_alone(xs: list[int]) -> None:
    array = np.array(xs, dtype=np.uint64)
    assert spread_array(array).tolist() == [spread(x) for x in xs]
    assert unspread_array(array).tolist() == [unspread(x) for x in xs]
    assert array.tolist() == xs


@given(st.integers(0, 2**40), st.integers(1, 256))
def test_users_in_a_row_fill_partitions_evenly(first: int, partitions: int) -> None:
    n = 40 * partitions
    counts = np.bincount(
        [partition_of(u, partitions) for u in range(first, first + n)], minlength=partitions
    )
    assert counts.sum() == n
    # 40 on average; a bound that a fair spread passes but for one time in many millions
    assert counts.max() <= 100


@given(parts, parts)
def test_ids_keep_their_parts_and_order(a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
    assert decompose(compose(*a)) == a
    assert at_ms(compose(*a)) == a[0]
    assert (compose(*a) < compose(*b)) == (a < b)
