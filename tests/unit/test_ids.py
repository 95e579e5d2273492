"""Ids, their parts, and the spread of users."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idgen.clock import SystemClock
from idgen.errors import BadRequest
from idgen.handler import IdGenHandler
from idgen.ids import (
    ID_EPOCH_MS,
    MAX_ID,
    SEQUENCES,
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
from idgen.snowflake import Snowflake

TIMES = st.integers(ID_EPOCH_MS, ID_EPOCH_MS + (1 << 41) - 1)
PARTS = st.tuples(TIMES, st.integers(0, WORKERS - 1), st.integers(0, SEQUENCES - 1))
U64S = st.integers(0, 2**64 - 1)


@given(PARTS)
def test_an_id_tells_its_parts(parts: tuple[int, int, int]) -> None:
    event_id = compose(*parts)
    assert 0 <= event_id <= MAX_ID
    assert decompose(event_id) == parts
    assert at_ms(event_id) == parts[0]


@given(PARTS, PARTS)
def test_ids_order_by_time_then_worker_then_sequence(
    a: tuple[int, int, int], b: tuple[int, int, int]
) -> None:
    assert (compose(*a) < compose(*b)) == (a < b)


def test_an_id_of_twitter_is_of_the_time_that_it_says() -> None:
    # Source: Twitter's documentation of Snowflake, tweet 1541815603606036480.
    assert decompose(1_541_815_603_606_036_480) == (1_656_432_460_105, 378, 0)


def test_what_has_no_place_in_an_id_is_refused() -> None:
    now = ID_EPOCH_MS + 5
    for parts in (
        (ID_EPOCH_MS - 1, 0, 0),
        (ID_EPOCH_MS + (1 << 41), 0, 0),
        (now, -1, 0),
        (now, WORKERS, 0),
        (now, 0, -1),
        (now, 0, SEQUENCES),
    ):
        with pytest.raises(ValueError, match=r"outside|does not fit"):
            compose(*parts)
    for bad in (-1, MAX_ID + 1):
        with pytest.raises(ValueError, match="63-bit"):
            decompose(bad)


def test_the_spread_is_murmur3s() -> None:
    assert [spread(user) for user in (1, 2, 88)] == [
        0xB456BCFC34C2CB2C,
        0x3ABF2A20650683E7,
        0x842DE5DDD9DFEF82,
    ]


@given(U64S)
def test_the_spread_is_a_bijection(user: int) -> None:
    assert unspread(spread(user)) == user
    assert spread(unspread(user)) == user


@given(st.lists(U64S, max_size=50))
def test_arrays_spread_as_single_users_do(users: list[int]) -> None:
    array = np.array(users, dtype=np.uint64)
    assert spread_array(array).tolist() == [spread(user) for user in users]
    assert unspread_array(array).tolist() == [unspread(user) for user in users]
    assert array.tolist() == users


def test_partitions_are_used_evenly_whatever_users_look_like() -> None:
    for users in (range(1, 64_001), range(0, 64_000_000, 1_000)):
        counts = np.bincount([partition_of(user, 64) for user in users], minlength=64)
        assert counts.sum() == 64_000
        assert counts.min() > 850
        assert counts.max() < 1_150


def test_the_handler_tells_the_parts_of_an_id_and_refuses_what_is_none() -> None:
    handler = IdGenHandler(Snowflake(None, SystemClock(), "h"))  # type: ignore[arg-type]
    assert handler.decode(compose(ID_EPOCH_MS + 7, 8, 9)) == (ID_EPOCH_MS + 7, 8, 9)
    for bad in (-1, MAX_ID + 1):
        with pytest.raises(BadRequest) as caught:
            handler.decode(bad)
        assert caught.value.field == "id"
    for n in (0, 10_001):
        with pytest.raises(BadRequest) as caught:
            handler.next_ids(n)
        assert caught.value.field == "n"
    assert handler.status().state == "new"
