"""Whatever event: its bytes come back as it, and no damage goes unnoticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firehose.codec import (
    HEAD_BYTES,
    Gone,
    Kind,
    Poison,
    decode,
    decode_stored,
    encode,
    encode_gone,
    is_gone,
    seal,
)
from firehose.event import Event, PostCreated
from idgen.errors import Corrupt
from tests.properties.event_strategies import events, users


@given(events)
def test_encoding_is_exact_and_repeatable(event: Event) -> None:
    data = encode(event)
    assert decode(data) == event
    assert encode(decode(data)) == data
    if isinstance(event, PostCreated):
        assert decode_stored(data) == event
        assert not is_gone(data)


@given(events)
def test_every_truncation_is_refused(event: Event) -> None:
    data = encode(event)
    for cut in range(len(data)):
        with pytest.raises(Corrupt):
            decode(data[:cut])


@given(events, st.binary(min_size=1, max_size=40))
def test_whatever_follows_is_refused(event: Event, tail: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(encode(event) + tail)


@given(events, st.data())
def test_every_changed_bit_is_noticed(event: Event, data: st.DataObject) -> None:
    damaged = bytearray(encode(event))
    bit = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Corrupt):
        decode(bytes(damaged))


@given(st.binary(max_size=200))
def test_bytes_out_of_nowhere_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(data)


@given(st.sampled_from([k for k in Kind if k <= Kind.MARKED_READ]), events)
def test_contents_under_another_kind_are_an_event_of_that_kind_or_poison(
    kind: Kind, event: Event
) -> None:
    # Nothing but what a worker knows how to take may come out of it.
    try:
        found = decode(seal(kind, encode(event)[HEAD_BYTES:]))
    except Poison:
        return
    assert type(found).__name__.upper() == kind.name.replace("_", "")


@given(st.integers(0, 2**63 - 1), st.lists(users, max_size=52).map(tuple))
def test_gone_values_come_back(version: int, notified: tuple[int, ...]) -> None:
    data = encode_gone(version, notified)
    assert is_gone(data)
    assert decode_stored(data) == Gone(version, notified)
    for cut in range(len(data)):
        with pytest.raises(Corrupt):
            decode_stored(data[:cut])
