"""Whom readers follow, as columns: read for pages that have to look up posts at authors.

Kept in a dashboard's memory while nothing of the reader has changed (cell.freshness), since every
page of a reader asks for all of them.
"""

import threading
from typing import Final, NamedTuple

import cachetools
import numpy as np

from cell import keys
from cell.changes import NONE, reader_name
from cell.freshness import Freshness
from cell.lane_scan import Reader
from cell.snapshot import Snapshot
from cell.tables import Tables
from cell.versions import at_of, ats_of, band_of, bands_of, floor_of
from idgen.ids import U64Array

AT_ONCE: Final = 20_000
"""Edges of one call; of who has more no more than these are read."""
KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
OVERHEAD_BYTES: Final = 300


class Edges(NamedTuple):
    """Live edges of a reader: authors in order of their ids, and the `at` of each edge."""

    authors: U64Array
    ats: U64Array

    def of(self, authors: U64Array) -> U64Array:
        """The `at` of the edge to each of some authors; 0: none."""
        if not len(self.authors):
            return np.zeros(len(authors), dtype=np.uint64)
        i = np.minimum(np.searchsorted(self.authors, authors), len(self.authors) - 1)
        return np.where(self.authors[i] == authors, self.ats[i], 0).astype(np.uint64)


class ManyEdges:
    """The edges of a reader who follows more than AT_ONCE: asked for one by one."""

    def __init__(self, tables: Tables, reader: Reader) -> None:
        self._tables = tables
        self._reader = reader

    def of(self, authors: U64Array) -> U64Array:
        """The `at` of the edge to each of some authors; 0: none."""
        each, where = np.unique(authors, return_inverse=True)
        floor = floor_of(self._reader.band)
        names = [keys.pair_key(self._reader.place, author) for author in each.tolist()]
        rows = self._tables.get(keys.FOLLOWING, names, floor)
        ats = [
            at_of(row.version)
            if row is not None
            and band_of(row.version) == self._reader.band
            and keys.parse_flagged(row.value).live
            else 0
            for row in rows
        ]
        return np.array(ats, dtype=np.uint64)[where]


class _Kept(NamedTuple):
    band: int
    stamp: int
    edges: Edges


class FollowSets:
    """Used by many threads."""

    def __init__(self, tables: Tables, freshness: Freshness) -> None:
        self._tables = tables
        self._freshness = freshness
        self._lock = threading.Lock()
        self._kept: cachetools.LRUCache[int, _Kept] = cachetools.LRUCache(
            KEPT_BYTES_MAX, getsizeof=lambda kept: 16 * len(kept.edges.ats) + OVERHEAD_BYTES
        )

    def of(self, reader: Reader, asof: Snapshot) -> Edges | ManyEdges:
        """Whom a reader follows, as of a position or later."""
        with self._lock:
            kept = self._kept.get(reader.place)
        name = reader_name(reader.place)
        if (
            kept is not None
            and asof.stamp is not None
            and kept.band == reader.band
            and self._freshness.unchanged(name, NONE, kept.stamp)
        ):
            return kept.edges
        edges = self._read(reader)
        if edges is None:
            return ManyEdges(self._tables, reader)
        if asof.stamp is not None:
            with self._lock:
                self._kept[reader.place] = _Kept(reader.band, asof.stamp, edges)
        return edges

    def _read(self, reader: Reader) -> Edges | None:
        """All edges of a reader; None: there are more."""
        start, stop = keys.place_bytes(reader.place), keys.after_prefix(reader.place)
        floor = floor_of(reader.band)
        rows = self._tables.scan_fixed(keys.FOLLOWING, start, stop, AT_ONCE, floor=floor)
        if len(rows.versions) == AT_ONCE:
            return None
        if not len(rows.versions):
            return Edges(np.empty(0, np.uint64), np.empty(0, np.uint64))
        live = rows.values[:, 0] != 0
        here = live & (bands_of(rows.versions) == np.uint64(reader.band))
        return Edges(keys.key_numbers(rows.keys)[here, 1], ats_of(rows.versions[here]))
