"""What a dashboard has to hold, worked out anew from edges and posts, beside what it does hold.

The rule (ARCHITECTURE.md, "The rule"): the posts that are not gone which the reader wrote, and of
each author whom the reader follows those from the floor of the edge on.
"""

from collections.abc import Iterator
from typing import NamedTuple

from cell import keys
from cell.author_posts import newest
from cell.tables import Row, Tables
from cell.unacknowledged import Unacknowledged
from cell.versions import at_of, band_of, floor_of
from firehose.event import PostRef
from idgen.ids import spread

CHUNK = 5_000


class VerifiedReader(NamedTuple):
    """How many authors were followed and entries expected; what is missing in the inbox, and what
    is in it and should not be."""

    authors: int
    entries: int
    missing: frozenset[PostRef]
    extra: frozenset[PostRef]


def verify_reader(tables: Tables, reader: int, band: int) -> VerifiedReader:
    """Compare a reader's inbox with what it has to hold, as both are while this reads.

    What an event changes meanwhile may be told as a difference: look again.
    """
    place = spread(reader)
    expected = set(_posts_from(tables, reader, 0))
    authors = 0
    for row in _rows(tables, keys.FOLLOWING, place, band):
        edge = keys.parse_flagged(row.value)
        if edge.live:
            authors += 1
            expected.update(_posts_from(tables, keys.parse_pair(row.key)[1], edge.number))
    found = {
        PostRef(author, post_id)
        for row in _rows(tables, keys.INBOX, place, band)
        if row.value != keys.GONE
        for post_id, author in [keys.parse_entry(row.key)]
    }
    return VerifiedReader(
        authors, len(expected), frozenset(expected - found), frozenset(found - expected)
    )


def _posts_from(tables: Tables, author: int, floor: int) -> Iterator[PostRef]:
    """The author's posts that were created from `floor` up (as in versions) and are not gone."""
    for post in newest(tables, Unacknowledged(), spread(author), floor=floor):
        if not post.gone_at and at_of(post.created_at) >= floor:
            yield PostRef(author, post.id)


def _rows(tables: Tables, table: str, place: int, band: int) -> Iterator[Row]:
    """The rows of a reader in one band."""
    start, stop = keys.place_bytes(place), keys.after_prefix(place)
    while True:
        rows = tables.scan(table, start, stop, CHUNK, floor=floor_of(band))
        yield from (row for row in rows if band_of(row.version) == band)
        if len(rows) < CHUNK:
            return
        start = rows[-1].key + b"\0"
