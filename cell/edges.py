"""The edges of one author: who follows them in this cell, since which version, from which floor.

A gone edge keeps its floor, and stays in memory: an event of an older version must not bring it
back. Small sets are a dict; large ones are arrays with a dict of later changes over them, so that a
fan-out to a million followers is array arithmetic.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cell.keys import key_numbers, prefix
from cell.tables import FixedRows, Versions
from cell.versions import AT_BITS, AT_MAX, ats_of, bands_of
from idgen.ids import U64Array, spread_array

FEW_MAX = 512
"""Up to here a dict is faster than arrays (measured: about 0.3 us an edge against 15 us a call)."""


class Edge(NamedTuple):
    """One edge: the version of its row, live or gone, and the floor (a version of band 0): the
    lowest creation version among the posts backfilled, else the follow's own."""

    version: int
    live: bool
    floor: int


class Receivers(NamedTuple):
    """Who gets an event: places in the key space, ascending, and the band of each.

    In this order a part of them lies in few regions, which are written a third quicker so.
    """

    places: U64Array
    bands: Versions


class Few(NamedTuple):
    """Some who get an event, of one band: their places as prefixes of keys."""

    band: int
    prefixes: list[bytes]


class Ranges(NamedTuple):
    """Ranges of places, disjoint and in order; both ends included."""

    starts: U64Array
    lasts: U64Array

    def have(self, places: U64Array) -> npt.NDArray[np.bool_]:
        """Which of some places lie in one of them."""
        i = np.searchsorted(self.starts, places, side="right").astype(np.int64) - 1
        return np.asarray((i >= 0) & (places <= self.lasts[np.maximum(i, 0)]))


class LeftOut(NamedTuple):
    """Who does not get an event by a push: readers at `places` (in order; None: all), but for those
    whose edge is not older than `before`, who may have it by a backfill, and for `late` ones, who
    came from another cell since."""

    places: U64Array | None
    before: int
    late: Ranges | None = None

    def mask(self, places: U64Array, versions: Versions) -> npt.NDArray[np.bool_]:
        """Which of some edges are left out, by their followers' places and their versions."""
        older = np.asarray(ats_of(versions) < np.uint64(self.before))
        if self.late is not None:
            older &= ~self.late.have(places)
        if self.places is None:
            return older
        if not len(self.places):
            return np.zeros(len(places), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self.places, places), len(self.places) - 1)
        return np.asarray(older & (self.places[at] == places))


NO_ONE: Final[U64Array] = np.empty(0, dtype=np.uint64)


class _Bulk:
    """Edges as arrays, ordered by follower; `hidden` ones were changed since."""

    def __init__(
        self,
        followers: U64Array,
        versions: Versions,
        live: npt.NDArray[np.bool_],
        floors: U64Array,
    ) -> None:
        self.followers = followers
        self.versions = versions
        self.live = live
        self.floors = floors
        self.hidden = np.zeros(len(followers), dtype=np.bool_)
        self._all: tuple[int, U64Array | None, Receivers, int] | None = None
        self.left = 0
        """How many were left out of the last answer."""

    def find(self, follower: int) -> int:
        """The index of a follower, or -1."""
        i = int(np.searchsorted(self.followers, np.uint64(follower)))
        return i if i < len(self.followers) and int(self.followers[i]) == follower else -1

    def hide(self, follower: int) -> None:
        """The edge of this follower is in the dict from now on."""
        i = self.find(follower)
        if i >= 0 and not self.hidden[i]:
            self.hidden[i] = True
            self._all = None

    def receivers(self, at: int, left_out: LeftOut) -> Receivers:
        """Live, not hidden, older than `at` and not left out."""
        kept = self._all
        if kept is not None and kept[0] < at == left_out.before and kept[1] is left_out.places:
            self.left = kept[3]
            return kept[2]
        chosen = self.live & ~self.hidden & (ats_of(self.versions) < np.uint64(at))
        versions = self.versions[chosen]
        places = spread_array(self.followers[chosen])
        pushed = ~left_out.mask(places, versions)
        found = _in_order(places[pushed], bands_of(versions[pushed]))
        self.left = len(places) - len(found.places)
        if left_out.before == at and np.count_nonzero(chosen) == self._live_count():
            newest = int(ats_of(versions).max()) if len(versions) else 0
            self._all = (newest, left_out.places, found, self.left)
        return found

    def _live_count(self) -> int:
        return int(np.count_nonzero(self.live & ~self.hidden))


def _in_order(places: U64Array, bands: Versions) -> Receivers:
    order = np.argsort(places, kind="stable")  # quick where they are nearly so
    return Receivers(places[order], bands[order])


class EdgeSet:
    """All edges of one author to readers homed here."""

    __slots__ = ("_bulk", "_everybody", "_few", "left")

    def __init__(self, few: dict[int, Edge] | None = None, bulk: _Bulk | None = None) -> None:
        self._few = {} if few is None else few
        self._bulk = bulk
        self._everybody: tuple[int, U64Array | None, list[Few], int] | None = None
        self.left = 0
        """How many live followers the last answer has left out."""

    def __len__(self) -> int:
        return len(self._few) + (len(self._bulk.followers) if self._bulk else 0)

    def get(self, follower: int) -> Edge | None:
        """The edge of a follower, live or gone."""
        edge = self._few.get(follower)
        if edge is None and self._bulk is not None:
            i = self._bulk.find(follower)
            if i >= 0:
                b = self._bulk
                edge = Edge(int(b.versions[i]), bool(b.live[i]), int(b.floors[i]))
        return edge

    def set(self, follower: int, edge: Edge) -> None:
        """Put or replace the edge of a follower."""
        if self._bulk is not None and follower not in self._few:
            self._bulk.hide(follower)
        self._everybody = None
        self._few[follower] = edge
        if len(self._few) > FEW_MAX + (len(self._bulk.followers) // 8 if self._bulk else 0):
            self._merge()

    def receivers_few(self, at: int, left_out: LeftOut) -> list[Few] | None:
        """Those who get the event `at`, by band; None: a large set, see `receivers`."""
        if self._bulk is not None:
            return None
        kept = self._everybody
        if kept is not None and kept[0] < at == left_out.before and kept[1] is left_out.places:
            self.left = kept[3]
            return kept[2]
        newest = max((edge.version & AT_MAX for edge in self._few.values()), default=0)
        found = self._by_band(at, left_out)
        if newest < at == left_out.before:
            self._everybody = (newest, left_out.places, found, self.left)
        return found

    def _by_band(self, at: int, left_out: LeftOut) -> list[Few]:
        chosen = {
            prefix(follower): edge.version
            for follower, edge in self._few.items()
            if edge.live and edge.version & AT_MAX < at
        }
        found: dict[int, list[bytes]] = {}
        self.left = len(chosen)
        for name in _pushed(chosen, left_out):
            self.left -= 1
            found.setdefault(chosen[name] >> AT_BITS, []).append(name)
        return [Few(band, prefixes) for band, prefixes in found.items()]

    def receivers(self, at: int, left_out: LeftOut) -> Receivers:
        """Those whose live edge is older than `at` and who are not left out: they get the event,
        whenever it is applied."""
        few = self._by_band(at, left_out)
        joined = b"".join(p for some in few for p in some.prefixes)
        places = np.frombuffer(joined, dtype=">u8").astype(np.uint64)
        counts = [len(some.prefixes) for some in few]
        bands = np.repeat(np.array([some.band for some in few], dtype=np.uint64), counts)
        if self._bulk is None:
            return _in_order(places, bands)
        many = self._bulk.receivers(at, left_out)
        self.left += self._bulk.left
        if not few:
            return many
        return _in_order(
            np.concatenate((many.places, places)), np.concatenate((many.bands, bands))
        )

    def _merge(self) -> None:
        followers = np.array(sorted(self._few), dtype=np.uint64)
        edges = [self._few[int(f)] for f in followers]
        versions = np.array([e.version for e in edges], dtype=np.uint64)
        live = np.array([e.live for e in edges], dtype=np.bool_)
        floors = np.array([e.floor for e in edges], dtype=np.uint64)
        if self._bulk is not None:
            kept = ~self._bulk.hidden
            followers = np.concatenate((self._bulk.followers[kept], followers))
            order = np.argsort(followers, kind="stable")
            followers = followers[order]
            versions = np.concatenate((self._bulk.versions[kept], versions))[order]
            live = np.concatenate((self._bulk.live[kept], live))[order]
            floors = np.concatenate((self._bulk.floors[kept], floors))[order]
        self._bulk = _Bulk(followers, versions, live, floors)
        self._few = {}


def _pushed(edges: dict[bytes, int], left_out: LeftOut) -> Iterable[bytes]:
    """Those of some edges (versions by the follower's prefix) who are not left out."""
    if left_out.places is not None and not len(left_out.places):
        return edges
    places = np.frombuffer(b"".join(edges), dtype=">u8").astype(np.uint64)
    left = left_out.mask(places, np.array(list(edges.values()), dtype=np.uint64))
    return [name for name, out in zip(edges, left.tolist(), strict=True) if not out]


def edge_set(rows: FixedRows) -> EdgeSet:
    """The set of one author from its rows of `followers`, in key order."""
    followers = key_numbers(rows.keys)[:, 1]
    live = rows.values[:, 0] != 0
    floors = np.ascontiguousarray(rows.values[:, 1:9]).view(">u8").reshape(-1).astype(np.uint64)
    if len(followers) > FEW_MAX:
        return EdgeSet(bulk=_Bulk(followers, rows.versions.astype(np.uint64), live, floors))
    columns = (followers.tolist(), rows.versions.tolist(), live.tolist(), floors.tolist())
    return EdgeSet({f: Edge(v, alive, floor) for f, v, alive, floor in zip(*columns, strict=True)})
