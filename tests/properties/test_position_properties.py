"""Tokens come back as the positions they were made of; joining waits for all and for no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firehose.position import (
    Applied,
    Need,
    Position,
    join,
    log_fingerprint,
    parse_token,
    reached_position,
    receipt_token,
)
from idgen.errors import BadRequest

PARTITIONS = 64
LOG = 0xDA5CE11
offsets = st.integers(0, 2**48)
needs = st.builds(Need, offsets, st.frozensets(offsets, max_size=5))
vectors = st.dictionaries(st.integers(0, PARTITIONS - 1), needs, max_size=8)
applied = st.builds(
    lambda high, below: Applied(high, tuple(sorted(o for o in below if o < high))),
    st.integers(0, 40),
    st.frozensets(st.integers(0, 39), max_size=4),
)
small_needs = st.builds(Need, st.integers(0, 40), st.frozensets(st.integers(0, 40), max_size=3))
small_vectors = st.dictionaries(st.integers(0, 3), small_needs, max_size=4)
cells = st.dictionaries(st.integers(0, 3), applied, max_size=4)


@given(vectors)
def test_a_token_comes_back_as_its_position(vector: dict[int, Need]) -> None:
    position = Position(LOG, vector)
    assert parse_token(position.token(), PARTITIONS) == position


@given(vectors, st.data())
def test_a_token_that_was_cut_or_lengthened_is_refused(
    vector: dict[int, Need], data: st.DataObject
) -> None:
    token = Position(LOG, vector).token()
    cut = data.draw(st.integers(0, len(token) - 1))
    for wrong in (token[:cut], token + b"\0"):
        with pytest.raises(BadRequest, match="at_least"):
            parse_token(wrong, PARTITIONS)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_position_or_bad_request(token: bytes) -> None:
    try:
        position = parse_token(token, PARTITIONS)
    except BadRequest:
        return
    assert parse_token(position.token(), PARTITIONS) == position


@given(vectors.filter(bool))
def test_a_partition_that_there_is_not_is_refused(vector: dict[int, Need]) -> None:
    with pytest.raises(BadRequest):
        parse_token(Position(LOG, vector).token(), max(vector))


@given(small_vectors, small_vectors, cells)
def test_joined_positions_are_met_when_each_is(
    a: dict[int, Need], b: dict[int, Need], cell: dict[int, Applied]
) -> None:
    one, two = Position(LOG, a), Position(LOG, b)
    both = one.met_by(cell) and two.met_by(cell)
    assert join([one, two], LOG).met_by(cell) == both


def test_positions_of_another_log_are_refused() -> None:
    with pytest.raises(BadRequest, match="another log"):
        join([Position(LOG + 1)], LOG)


@given(cells)
def test_a_cell_meets_what_it_says_it_has_reached(cell: dict[int, Applied]) -> None:
    assert reached_position(LOG, cell).met_by(cell)


@given(applied, st.integers(0, 50))
def test_a_receipt_waits_for_its_own_offset_alone(state: Applied, offset: int) -> None:
    done = offset < state.high and offset not in state.open
    assert parse_token(receipt_token(LOG, 2, offset), 3).met_by({2: state}) == done
    assert not parse_token(receipt_token(LOG, 1, offset), 3).met_by({2: state})


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_logs_fingerprint_is_32_bits(identity: str) -> None:
    assert 0 <= log_fingerprint(identity) < 2**32


def test_another_log_has_another_fingerprint() -> None:
    assert log_fingerprint("5f0c") != log_fingerprint("5f0d")
