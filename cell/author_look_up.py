"""Posts looked up at single authors, in a page's order, read only as far as the page goes.

The first posts of all authors are read side by side; an author of whom they are enough costs that
one call, and one whom everybody pulls none, mostly (cell.hot_timelines).
"""

import heapq
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from cell import keys
from cell.author_posts import AuthorPost, author_post
from cell.cursor import OLDEST, Place
from cell.dashboard import EntryKind
from cell.hot_timelines import HotTimelines
from cell.lane_scan import LiveEntry, Range
from cell.side_by_side import SideBySide
from cell.snapshot import Snapshot
from cell.tables import Tables
from firehose.codec import GONE_PREFIX
from firehose.event import Lane
from idgen.ids import MAX_ID, U64

FIRST_POSTS: Final = 200
"""Read of all authors together before any is looked at, at two or more of each."""
POSTS_MAX: Final = 500


class Follow(NamedTuple):
    """An author whom a reader follows, and what of theirs was not pushed to the reader: events as
    (since, until), none from before the reader followed them. `hot`: everybody pulls them."""

    author: int
    place: int
    events: tuple[tuple[int, int], ...]
    hot: bool

    @property
    def floor(self) -> int:
        """The first of the events."""
        return min(since for since, _ in self.events)

    def has(self, at: int) -> bool:
        """Whether the event `at` is one of them."""
        return any(since <= at < until for since, until in self.events)


class _Asked(NamedTuple):
    """Posts of one author: by their keys, how many, and in which direction."""

    start: bytes
    stop: bytes
    limit: int
    reverse: bool


class AuthorLookUp:
    """Used by many threads."""

    def __init__(self, tables: Tables, hot: HotTimelines, side_by_side: SideBySide) -> None:
        self._tables = tables
        self._hot = hot
        self._side_by_side = side_by_side

    def entries(
        self, follows: Sequence[Follow], asof: Snapshot, within: Range, wanted: int
    ) -> Iterator[LiveEntry]:
        """The entries of a range that were not pushed, in its order."""
        limit = max(2, min(wanted, FIRST_POSTS // max(1, len(follows))))
        firsts: dict[int, tuple[_Asked, list[AuthorPost]]] = {}

        def read(follow: Follow) -> None:
            asked = _Asked(*_bounds(follow, within), limit, within.oldest_first)
            firsts[follow.place] = asked, self._posts(follow, asked, asof)

        self._side_by_side.run([partial(read, follow) for follow in follows])
        streams = [
            self._of_author(follow, within, asof, *firsts[follow.place]) for follow in follows
        ]
        return heapq.merge(*streams, key=lambda e: e.place, reverse=not within.oldest_first)

    def _of_author(
        self,
        follow: Follow,
        within: Range,
        asof: Snapshot,
        asked: _Asked,
        posts: list[AuthorPost],
    ) -> Iterator[LiveEntry]:
        while True:
            for post in posts:
                place = Place(post.id, Lane.POSTS, follow.author)
                if follow.has(post.created_at) and within.oldest < place < within.newest:
                    yield LiveEntry(place, EntryKind(post.kind), None)
            if len(posts) < asked.limit:
                return
            last = keys.pair_key(follow.place, keys.newest_first(posts[-1].id))
            limit = min(asked.limit * 4, POSTS_MAX)
            if within.oldest_first:
                asked = asked._replace(stop=last, limit=limit)
            else:
                asked = asked._replace(start=last + b"\0", limit=limit)
            posts = self._posts(follow, asked, asof)

    def _posts(self, follow: Follow, asked: _Asked, asof: Snapshot) -> list[AuthorPost]:
        """Live posts of an author by their keys; fewer than asked for: there are no more."""
        start, stop, limit, reverse = asked
        if stop and start >= stop:
            return []
        if follow.hot and not reverse:
            kept = self._hot.of(follow.author, follow.place, follow.floor, asof)
            posts = [p for p in kept.posts if start <= _key(follow, p) and _before(follow, p, stop)]
            if len(posts) >= limit or kept.whole:
                return posts[:limit]
        rows = self._tables.scan(
            keys.POSTS, start, stop, limit, floor=follow.floor, reverse=reverse, skip=GONE_PREFIX
        )
        return list(map(author_post, rows))


def _key(follow: Follow, post: AuthorPost) -> bytes:
    return keys.pair_key(follow.place, keys.newest_first(post.id))


def _before(follow: Follow, post: AuthorPost, stop: bytes) -> bool:
    return not stop or _key(follow, post) < stop


def _bounds(follow: Follow, within: Range) -> tuple[bytes, bytes]:
    """Keys that enclose a range among an author's posts; its ends are looked at again."""
    start = keys.pair_key(follow.place, U64 - min(within.newest.id, MAX_ID))
    if within.oldest == OLDEST:
        return start, keys.after_prefix(follow.place)
    return start, keys.pair_key(follow.place, U64 - within.oldest.id) + b"\0"
