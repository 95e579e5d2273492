"""What a page looks up at authors: their posts that were not pushed to the reader, in the page's
order, read only as far as the page goes.

The first rows of all authors are read side by side; an author of whom they were enough costs that
one call.
"""

import heapq
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from cell import keys
from cell.author_posts import author_post
from cell.cursor import OLDEST, Place
from cell.dashboard import EntryKind
from cell.lane_scan import LiveEntry, Range, Reader
from cell.page_coverage import Pulled
from cell.side_by_side import SideBySide
from cell.tables import Row, Tables
from cell.versions import ats_of, bands_of, floor_of
from firehose.codec import GONE_PREFIX
from firehose.event import Lane
from idgen.ids import MAX_ID, U64, U64Array, spread_array

FOLLOWS_AT_ONCE: Final = 20_000
FIRST_ROWS: Final = 200
"""Posts read of all authors together before any is looked at, at two or more of each."""
ROWS_MAX: Final = 500


class Follow(NamedTuple):
    """An author whom a reader follows, and what of theirs was not pushed to the reader: events as
    (since, until), none from before the reader followed them."""

    author: int
    place: int
    events: tuple[tuple[int, int], ...]

    def has(self, at: int) -> bool:
        """Whether the event `at` is one of them."""
        return any(since <= at < until for since, until in self.events)


class Pulling:
    """Looks up posts for pages; used by many threads."""

    def __init__(self, tables: Tables, partitions: int) -> None:
        self._tables = tables
        self._partitions = partitions
        self._side_by_side = SideBySide()

    def entries(
        self, reader: Reader, pulled: Pulled, within: Range, wanted: int
    ) -> Iterator[LiveEntry]:
        """The entries of a range that were not pushed, in its order."""
        follows = list(self.follows(reader, pulled))
        first = max(2, min(wanted, FIRST_ROWS // max(1, len(follows))))
        runs: dict[int, list[Row]] = {}

        def read(follow: Follow) -> None:
            runs[follow.place] = self._rows(follow, *_bounds(follow, within), first, within)

        self._side_by_side.run([partial(read, follow) for follow in follows])
        streams = [self._posts(follow, runs[follow.place], first, within) for follow in follows]
        return heapq.merge(*streams, key=lambda e: e.place, reverse=not within.oldest_first)

    def follows(self, reader: Reader, pulled: Pulled) -> Iterator[Follow]:
        """Those whom a reader follows of whom something was not pushed."""
        for authors, ats in self._edges(reader):
            places = spread_array(authors)
            wanted = np.ones(len(authors), dtype=np.bool_)
            if not pulled.reader:
                others = np.array([*pulled.pairs], dtype=np.uint64)
                hot = np.array([*pulled.hot], dtype=np.uint64)
                wanted = np.isin(places, hot) | np.isin(authors, others)
            columns = (authors[wanted].tolist(), places[wanted].tolist(), ats[wanted].tolist())
            for author, place, at in zip(*columns, strict=True):
                events = pulled.of(author, place, place % self._partitions)
                after = tuple((max(since, at + 1), until) for since, until in events)
                kept = tuple((since, until) for since, until in after if since < until)
                if kept:
                    yield Follow(author, place, kept)

    def _edges(self, reader: Reader) -> Iterator[tuple[U64Array, U64Array]]:
        """Live edges of a reader: authors, and the `at` of each."""
        start, stop = keys.place_bytes(reader.place), keys.after_prefix(reader.place)
        floor = floor_of(reader.band)
        while True:
            rows = self._tables.scan_fixed(
                keys.FOLLOWING, start, stop, FOLLOWS_AT_ONCE, floor=floor
            )
            if len(rows.versions):
                live = rows.values[:, 0] != 0
                here = live & (bands_of(rows.versions) == np.uint64(reader.band))
                authors = keys.key_numbers(rows.keys)[:, 1]
                yield authors[here], ats_of(rows.versions[here])
            if len(rows.versions) < FOLLOWS_AT_ONCE:
                return
            start = rows.keys[-1].tobytes() + b"\0"

    def _posts(
        self, follow: Follow, rows: list[Row], asked: int, within: Range
    ) -> Iterator[LiveEntry]:
        start, stop = _bounds(follow, within)
        while True:
            for row in rows:
                post = author_post(row)
                place = Place(post.id, Lane.POSTS, follow.author)
                if follow.has(post.created_at) and within.oldest < place < within.newest:
                    yield LiveEntry(place, EntryKind(post.kind), None)
            if len(rows) < asked:
                return
            if within.oldest_first:
                stop = rows[-1].key
            else:
                start = rows[-1].key + b"\0"
            asked = min(asked * 4, ROWS_MAX)
            rows = self._rows(follow, start, stop, asked, within)

    def _rows(
        self, follow: Follow, start: bytes, stop: bytes, limit: int, within: Range
    ) -> list[Row]:
        if stop and start >= stop:
            return []
        return self._tables.scan(
            keys.POSTS,
            start,
            stop,
            limit,
            floor=min(since for since, _ in follow.events),
            reverse=within.oldest_first,
            skip=GONE_PREFIX,
        )


def _bounds(follow: Follow, within: Range) -> tuple[bytes, bytes]:
    """Keys that enclose a range among an author's posts; its ends are looked at again."""
    start = keys.pair_key(follow.place, U64 - min(within.newest.id, MAX_ID))
    if within.oldest == OLDEST:
        return start, keys.after_prefix(follow.place)
    return start, keys.pair_key(follow.place, U64 - within.oldest.id) + b"\0"
