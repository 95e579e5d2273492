"""Whom readers follow, as columns: read for pages that have to look up posts at authors.

Kept in a dashboard's memory while nothing of the reader has changed (cell.freshness), since every
page of a reader asks for all of them.
"""

import threading
from collections.abc import Iterator
from typing import Final, NamedTuple

import cachetools
import numpy as np

from cell import keys
from cell.changes import NONE, reader_name
from cell.freshness import Freshness
from cell.lane_scan import Reader
from cell.snapshot import Snapshot
from cell.tables import Tables
from cell.versions import ats_of, bands_of, floor_of
from idgen.ids import U64Array

AT_ONCE: Final = 20_000
"""Edges of one call; who follows more is read call by call, and not kept."""
KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
OVERHEAD_BYTES: Final = 300


class Edges(NamedTuple):
    """Live edges of a reader: authors in order of their ids, and the `at` of each edge."""

    authors: U64Array
    ats: U64Array


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

    def of(self, reader: Reader, asof: Snapshot) -> Iterator[Edges]:
        """All whom a reader follows, as of a position or later, in parts."""
        with self._lock:
            kept = self._kept.get(reader.place)
        name = reader_name(reader.place)
        if (
            kept is not None
            and asof.stamp is not None
            and kept.band == reader.band
            and self._freshness.unchanged(name, NONE, kept.stamp)
        ):
            yield kept.edges
            return
        parts = self._read(reader)
        first, whole = next(parts)
        if whole and asof.stamp is not None:
            with self._lock:
                self._kept[reader.place] = _Kept(reader.band, asof.stamp, first)
        yield first
        yield from (edges for edges, _ in parts)

    def _read(self, reader: Reader) -> Iterator[tuple[Edges, bool]]:
        """The parts, and whether the table ends with each."""
        start, stop = keys.place_bytes(reader.place), keys.after_prefix(reader.place)
        floor = floor_of(reader.band)
        while True:
            rows = self._tables.scan_fixed(keys.FOLLOWING, start, stop, AT_ONCE, floor=floor)
            whole = len(rows.versions) < AT_ONCE
            if len(rows.versions):
                live = rows.values[:, 0] != 0
                here = live & (bands_of(rows.versions) == np.uint64(reader.band))
                authors = keys.key_numbers(rows.keys)[here, 1]
                yield Edges(authors, ats_of(rows.versions[here])), whole
            else:
                yield Edges(np.empty(0, np.uint64), np.empty(0, np.uint64)), whole
            if whole:
                return
            start = rows.keys[-1].tobytes() + b"\0"
