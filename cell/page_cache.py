"""Pages kept in a dashboard's memory for as long as nothing in them has changed.

Of each reader the page that was read last, whatever it was asked by: a page is read from the tables
while a batch is being written, so an older one of the same reader may lack what this one has shown.
It is given out while nothing it was made of has changed since (cell.freshness), and only where the
dashboard has seen all changes up to what the cell has applied.
"""

import itertools
import threading
from collections.abc import Collection
from typing import Final, NamedTuple

import cachetools
import numpy as np

from cell import keys
from cell.changes import Names, author_names, post_names, reader_name
from cell.dashboard import Entry, PageQuery
from cell.freshness import Freshness
from cell.lane_scan import Reader
from cell.page import Shown
from cell.posts import text_bytes_of
from cell.snapshot import Snapshot
from firehose.event import PostRef

ENTRY_BYTES: Final = 1_500
"""What an entry with its post takes beside the text: objects, and its bytes for the wire."""
TEXT_COPIES: Final = 2
SHARE_MAX: Final = 50
"""A page above this part of the cache is not kept."""


class ReadPage(NamedTuple):
    """A page as just read, and of what it was made: posts that were looked at for it, and authors
    of whom any post would be. `good_once`: what else would change it is not told."""

    shown: Shown
    made_of: set[PostRef]
    authors: Collection[int] = ()
    good_once: bool = False


class _Kept(NamedTuple):
    turn: int
    query: PageQuery
    band: int
    era: bytes
    commands: int
    stamp: int
    posts: Names
    shown: Shown
    bytes: int


class PageCache:
    """Used by many threads. `bytes_max` bounds its memory, by estimate; 0 keeps nothing."""

    def __init__(self, freshness: Freshness, bytes_max: int) -> None:
        self._freshness = freshness
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._kept: cachetools.LRUCache[int, _Kept] = cachetools.LRUCache(
            bytes_max, getsizeof=lambda kept: kept.bytes
        )
        self._turns = itertools.count()
        self.hits = 0
        self.misses = 0

    def get(self, reader: Reader, query: PageQuery, asof: Snapshot) -> Shown | None:
        """The page, if it is kept and as it would be read now."""
        with self._lock:
            kept = self._kept.get(reader.user)
            found = (
                kept is not None
                and asof.stamp is not None
                and kept.query == query
                and (kept.band, kept.era, kept.commands) == (reader.band, asof.era, asof.commands)
                and self._freshness.unchanged(reader_name(reader.place), kept.posts, kept.stamp)
            )
            self.hits += found
            self.misses += not found
        return kept.shown if kept is not None and found else None

    def turn(self) -> int:
        """To be taken before a page is read: what was begun later is newer."""
        return next(self._turns)

    def put(
        self, turn: int, reader: Reader, query: PageQuery, asof: Snapshot, read: ReadPage
    ) -> None:
        """Keep a page, read after `turn` and `asof`, instead of what is kept of the reader."""
        kept = self._made(turn, reader, query, asof, read)
        with self._lock:
            newest = self._kept.get(reader.user)
            if newest is not None and newest.turn > turn:
                return
            self._kept.pop(reader.user, None)
            if kept is not None:
                self._kept[reader.user] = kept

    def _made(
        self, turn: int, reader: Reader, query: PageQuery, asof: Snapshot, read: ReadPage
    ) -> _Kept | None:
        """What is kept of a page; None: nothing."""
        size = sum(_bytes_of(entry) for entry in read.shown.entries) + ENTRY_BYTES
        if asof.stamp is None or read.good_once or size * SHARE_MAX > self._bytes_max:
            return None
        posts = post_names(keys.post_key(ref.author, ref.id) for ref in read.made_of)
        names = np.concatenate([posts, author_names(read.authors)])
        asked = (turn, query, reader.band)
        return _Kept(*asked, asof.era, asof.commands, asof.stamp, names, read.shown, size)


def _bytes_of(entry: Entry) -> int:
    text = text_bytes_of(entry.post) if entry.post is not None else 0
    return ENTRY_BYTES + TEXT_COPIES * text
