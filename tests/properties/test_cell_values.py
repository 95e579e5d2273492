"""The values of a cell: keys, versions, cursors, notices."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cell import cursor, keys
from cell.cursor import NEWEST, OLDEST, Place
from cell.notices import notices_of
from cell.versions import (
    AT_MAX,
    BAND_MAX,
    at_of,
    at_of_offset,
    ats_of,
    band_of,
    bands_of,
    floor_of,
    version_of,
)
from firehose.event import Draft, Lane, NoticeKind, PostCreated, PostRef
from idgen.errors import BadRequest
from idgen.ids import MAX_ID, MAX_USER, U64, spread

users = st.integers(1, MAX_USER)
ids = st.integers(1, MAX_ID)
places = st.integers(0, U64)
bands = st.integers(0, BAND_MAX)
ats = st.integers(1, AT_MAX)


# -- keys ------------------------------------------------------------------------------------


@given(places, ids, users)
@example(U64, MAX_ID, MAX_USER)
@example(0, 1, 1)
def test_an_entry_key_has_24_bytes_and_reads_back(place: int, event: int, actor: int) -> None:
    key = keys.entry_key(place, event, actor)
    assert len(key) == keys.ENTRY_KEY_BYTES
    assert key[:8] == keys.place_bytes(place)
    assert keys.parse_entry(key) == (event, actor)


@given(st.lists(st.tuples(places, ids, users), min_size=2, max_size=10))
def test_entry_keys_order_by_reader_then_newest_first_then_actor(
    entries: list[tuple[int, int, int]],
) -> None:
    by_key = sorted(entries, key=lambda e: keys.entry_key(*e))
    assert by_key == sorted(entries, key=lambda e: (e[0], -e[1], e[2]))


@given(st.lists(places, max_size=20), ids, users)
def test_many_entry_keys_are_the_single_ones(found: list[int], post: int, author: int) -> None:
    array = keys.entry_keys(np.array(found, dtype=np.uint64), post, author)
    assert [k.tobytes() for k in array] == [keys.entry_key(p, post, author) for p in found]
    assert keys.key_numbers(array)[:, 0].tolist() == found if found else True


@given(users, ids)
def test_a_post_key_reads_back(author: int, post: int) -> None:
    key = keys.post_key(author, post)
    assert (keys.parse_pair(key)[0], keys.post_id_of(key)) == (spread(author), post)


@given(places, places)
def test_a_prefix_ends_where_the_next_begins(place: int, other: int) -> None:
    start, stop = keys.place_bytes(place), keys.after_prefix(place)
    key = keys.pair_key(other, 5)
    assert (start <= key and (not stop or key < stop)) == (other == place)


@given(st.booleans(), places)
def test_flagged_values_read_back_and_gone_ones_begin_with_zero(live: bool, number: int) -> None:
    value = keys.pack_flagged(live, number)
    assert keys.parse_flagged(value) == (live, number)
    assert value.startswith(keys.GONE) != live


@given(st.sampled_from(NoticeKind), st.none() | st.builds(PostRef, users, ids))
def test_notices_read_back(kind: NoticeKind, target: PostRef | None) -> None:
    value = keys.pack_notice(kind, target)
    assert keys.parse_notice(value) == (kind, target or PostRef(0, 0))
    assert not value.startswith(keys.GONE)
    assert keys.GONE_NOTICE.startswith(keys.GONE)
    assert len(keys.GONE_NOTICE) == len(value)


# -- versions --------------------------------------------------------------------------------


@given(bands, ats)
def test_a_version_holds_band_and_at(band: int, at: int) -> None:
    version = version_of(band, at)
    assert 0 < version < 1 << 63
    assert (band_of(version), at_of(version)) == (band, at)
    assert floor_of(band) <= version
    assert band == BAND_MAX or version < floor_of(band + 1)
    array = np.array([version], dtype=np.uint64)
    assert (int(bands_of(array)[0]), int(ats_of(array)[0])) == (band, at)


@given(st.integers(-3, AT_MAX + 3), st.integers(0, 3))
def test_an_offset_that_does_not_fit_is_refused(offset: int, base: int) -> None:
    if 0 < base + offset + 1 <= AT_MAX:
        assert at_of_offset(base, offset) == base + offset + 1
    else:
        with pytest.raises(ValueError, match="48 bits"):
            at_of_offset(base, offset)


# -- cursors ---------------------------------------------------------------------------------

cursors = st.builds(Place, ids, st.sampled_from(Lane) | st.just(255), st.integers(0, MAX_USER))


@given(cursors, users)
def test_a_cursor_reads_back(place: Place, owner: int) -> None:
    packed = cursor.encode(cursor.DASHBOARD, owner, place)
    assert cursor.decode("before", packed, cursor.DASHBOARD, owner) == place
    assert OLDEST < place < NEWEST


@given(cursors, users, users)
def test_a_cursor_of_another_list_is_refused(place: Place, owner: int, other: int) -> None:
    packed = cursor.encode(cursor.DASHBOARD, owner, place)
    wrong = [(cursor.TIMELINE, owner)]
    if other != owner:
        wrong.append((cursor.DASHBOARD, other))
    for kind, whose in wrong:
        with pytest.raises(BadRequest, match="before"):
            cursor.decode("before", packed, kind, whose)


@given(cursors, users)
def test_every_truncation_and_every_changed_bit_of_a_cursor_is_refused(
    place: Place, owner: int
) -> None:
    packed = cursor.encode(cursor.DASHBOARD, owner, place)
    wrong = [packed[:n] for n in range(len(packed))] + [packed + b"\x00"]
    for i in range(len(packed) * 8):
        changed = bytearray(packed)
        changed[i // 8] ^= 1 << i % 8
        wrong.append(bytes(changed))
    for given_bytes in wrong:
        with pytest.raises(BadRequest, match="after"):
            cursor.decode("after", given_bytes, cursor.DASHBOARD, owner)


@given(st.binary(max_size=40))
def test_no_other_bytes_are_a_cursor(data: bytes) -> None:
    with pytest.raises(BadRequest):
        cursor.decode("before", data, cursor.DASHBOARD, 7)


# -- notices ---------------------------------------------------------------------------------

few_users = st.integers(1, 6)
refs = st.none() | st.builds(PostRef, few_users, ids)


@given(few_users, refs, refs, st.lists(few_users, max_size=6).map(tuple))
def test_one_notice_a_reader_the_first_kind_that_applies_and_never_oneself(
    author: int, reply: PostRef | None, reblog: PostRef | None, mentions: tuple[int, ...]
) -> None:
    draft = Draft(reply_to=reply, reblog_of=reblog, mentions=mentions)
    found = notices_of(PostCreated(99, author, draft))
    assert author not in found
    for reader in range(1, 7):
        if reader == author:
            continue
        if reply is not None and reply.author == reader:
            assert found[reader] == (NoticeKind.REPLY, reply)
        elif reblog is not None and reblog.author == reader:
            assert found[reader] == (NoticeKind.REBLOG, reblog)
        elif reader in mentions:
            assert found[reader] == (NoticeKind.MENTION, PostRef(author, 99))
        else:
            assert reader not in found
