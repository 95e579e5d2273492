"""Cursors of the firehose: what is written is read back, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firehose.cursor import Cursor, cursor_of, is_cursor, parse_cursor
from idgen.errors import BadRequest

logs = st.integers(0, 2**32 - 1)


@st.composite
def cursors(draw: st.DrawFn) -> Cursor:
    partitions = draw(st.integers(1, 1_024))
    offsets = draw(
        st.dictionaries(st.integers(0, partitions - 1), st.integers(0, 2**62), max_size=80)
    )
    return Cursor(draw(logs), partitions, offsets)


@given(cursors())
def test_a_cursor_reads_back(cursor: Cursor) -> None:
    text = cursor.text()
    assert is_cursor(text)
    assert parse_cursor("from", text) == cursor
    assert text.isascii()
    assert not set(text) & set("+/=&?# ")  # it is put into URLs as it is


@given(cursors(), st.data())
def test_a_changed_or_cut_cursor_is_refused(cursor: Cursor, data: st.DataObject) -> None:
    text = cursor.text()
    at = data.draw(st.integers(3, len(text) - 1))
    other = data.draw(st.sampled_from("ABCxyz019-_+/= é"))
    for changed in (text[:at] + other + text[at + 1 :], text[:at], text + other):
        if changed != text:
            with pytest.raises(BadRequest, match="unchanged") as refused:
                parse_cursor("from", changed)
            assert refused.value.field == "from"


@given(st.text(max_size=60))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="unchanged"):
        parse_cursor("from", "c1." + text)


def test_the_format_is_as_it_was() -> None:
    cursor = cursor_of("a log", 4, {0: 1, 3: 300})
    assert cursor.text() == GOLDEN
    assert parse_cursor("from", GOLDEN) == cursor


def test_a_large_log_fits() -> None:
    cursor = cursor_of("a log", 64, {p: 10**9 + p for p in range(64)})
    assert len(cursor.text()) < 550


GOLDEN = "c1.1PjriwQAAQOsAtCbXIE"
