"""The newest posts of authors whom everybody pulls: read once for all readers who look.

Whoever publishes or removes for such an author names the author among the posts that have changed
(cell.changes), so what is kept is good until then.
"""

import threading
from typing import Final, NamedTuple

import cachetools

from cell import keys
from cell.author_posts import AuthorPost, author_post
from cell.changes import author_names
from cell.freshness import Freshness
from cell.snapshot import Snapshot
from cell.tables import Tables
from firehose.codec import GONE_PREFIX

POSTS_MAX: Final = 500
"""Of one author: 25 pages of nobody else; who pages deeper reads the table."""
AUTHORS_MAX: Final = 1_000
"""At about 100 bytes a post, 50 MB."""
LOCKS: Final = 64


class Timeline(NamedTuple):
    """An author's posts of versions from `floor` up, newest first; `whole`: there are no more."""

    floor: int
    posts: tuple[AuthorPost, ...]
    whole: bool


class _Kept(NamedTuple):
    stamp: int
    timeline: Timeline


class HotTimelines:
    """Used by many threads; one of them reads, the others who want the same wait for it."""

    def __init__(self, tables: Tables, freshness: Freshness) -> None:
        self._tables = tables
        self._freshness = freshness
        self._locks = [threading.Lock() for _ in range(LOCKS)]
        self._lock = threading.Lock()
        self._kept: cachetools.LRUCache[int, _Kept] = cachetools.LRUCache(AUTHORS_MAX)

    def of(self, author: int, place: int, floor: int, asof: Snapshot) -> Timeline:
        """The newest posts of an author as of a position or later, from the version `floor` up."""
        with self._locks[place % LOCKS]:
            with self._lock:
                kept = self._kept.get(place)
            if (
                kept is not None
                and asof.stamp is not None
                and kept.timeline.floor <= floor
                and self._freshness.unchanged(None, author_names([author]), kept.stamp)
            ):
                return kept.timeline
            timeline = self._read(place, floor)
            if asof.stamp is not None:
                with self._lock:
                    self._kept[place] = _Kept(asof.stamp, timeline)
            return timeline

    def _read(self, place: int, floor: int) -> Timeline:
        start, stop = keys.place_bytes(place), keys.after_prefix(place)
        rows = self._tables.scan(
            keys.POSTS, start, stop, POSTS_MAX, floor=floor, skip=GONE_PREFIX
        )
        return Timeline(floor, tuple(map(author_post, rows)), len(rows) < POSTS_MAX)
