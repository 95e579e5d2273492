"""Residents: which slices of readers are homed in this cell, since which offset, in which band.

Kept per partition as intervals of offsets, because every worker stamps an arrival or a departure
at its own offset, and a replay must find the same answer at the same offset.
"""

import bisect
from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np

from cell.tables import Versions
from idgen.ids import U64Array


class Resident(msgspec.Struct, frozen=True, array_like=True):
    """Readers at places start..last (both included) belong to `band` in [since, until).

    `until` -1: they still do.
    """

    start: int
    last: int
    band: int
    since: int
    until: int = -1


Ranges = tuple[tuple[int, int, int], ...]
"""Ranges of places with their bands: (start, last, band), last included."""


class Homes:
    """Who is homed here at one moment: disjoint ranges of places with their bands."""

    def __init__(self, ranges: Sequence[tuple[int, int, int]]) -> None:
        self.ranges: Ranges = tuple(sorted(ranges))
        self._starts = [r[0] for r in self.ranges]
        self._lasts = [r[1] for r in self.ranges]
        self._bands = [r[2] for r in self.ranges]

    def within(self, start: int, last: int) -> Ranges:
        """The parts of a slice (both ends included) that are homed here, with bands."""
        return tuple(
            (max(a, start), min(b, last), band)
            for a, b, band in self.ranges
            if a <= last and start <= b
        )

    def only(self, ranges: Ranges) -> "Homes":
        """Those of them who are in `ranges` (in order, disjoint), in the band said there."""
        return Homes(_both(self.ranges, ranges))

    def band(self, place: int) -> int:
        """The band of the reader at `place`; 0: not homed here."""
        i = bisect.bisect_right(self._starts, place) - 1
        return self._bands[i] if i >= 0 and place <= self._lasts[i] else 0

    @cached_property
    def _arrays(self) -> tuple[U64Array, U64Array, U64Array]:
        return (
            np.array(self._starts, dtype=np.uint64),
            np.array(self._lasts, dtype=np.uint64),
            np.array(self._bands, dtype=np.uint64),
        )

    def bands(self, places: U64Array) -> Versions:
        """`band` of each of an array of places."""
        starts, lasts, bands = self._arrays
        if len(starts) == 0:
            return np.zeros(len(places), dtype=np.uint64)
        i = np.searchsorted(starts, places, side="right").astype(np.int64) - 1
        found = np.maximum(i, 0)
        return np.where((i >= 0) & (places <= lasts[found]), bands[found], 0).astype(np.uint64)


class Residents:
    """The residents of one partition over all offsets.

    Those that have left are kept in `rows`, so that what names their band again is ignored; but
    they are homed here at no offset any more, also not for a replay: rows of a band that has ended
    do not exist, and a replay must not write them again after they were collected.
    """

    def __init__(self, rows: Sequence[Resident] = ()) -> None:
        self.rows = tuple(rows)
        self._here = [r for r in rows if r.until < 0]
        self._edges = sorted({0, *(r.since for r in self._here)})
        self._homes: dict[int, Homes] = {}

    def at(self, offset: int) -> Homes:
        """Who is homed here for the event at `offset`."""
        edge = self._edges[bisect.bisect_right(self._edges, offset) - 1]
        homes = self._homes.get(edge)
        if homes is None:
            homes = Homes([(r.start, r.last, r.band) for r in self._here if r.since <= edge])
            self._homes[edge] = homes
        return homes

    def until(self, offset: int) -> int | None:
        """The first offset above `offset` for which somebody else is homed here; None: no more."""
        i = bisect.bisect_right(self._edges, offset)
        return self._edges[i] if i < len(self._edges) else None

    def now(self) -> Homes:
        """Who is homed here from the last change on."""
        return self.at(self._edges[-1])

    def arrived(self, start: int, last: int, band: int, since: int) -> "Residents":
        """With a slice added; a band that is not above the last one of any overlap is ignored.

        What of it was here in a lower band has left with that.
        """
        added = Resident(start, last, band, since)
        if any(r.band >= band for r in self._within(added)):
            return self
        kept = [part for r in self.rows for part in _outside(r, [added])]
        return Residents(_joined([*kept, added]))

    def left(self, start: int, last: int, band: int, until: int) -> "Residents":
        """With what of this band is in the slice ended at `until`; what is not here is remembered
        too, so that its arrival, coming late, is ignored."""
        gone = Resident(start, last, band, until, until)
        here = [r for r in self._within(gone) if r.band == band and r.until < 0]
        if not here and not _outside(gone, [r for r in self.rows if r.band >= band]):
            return self
        kept = [r for r in self.rows if r.band > band or (r.band < band and r.until < 0)]
        cut = [part for r in self.rows if r not in kept for part in _outside(r, [gone])]
        ended = _outside(gone, [r for r in kept if r.band > band])
        return Residents(_joined([*kept, *cut, *ended]))

    def _within(self, slice_: Resident) -> list[Resident]:
        return [r for r in self.rows if r.start <= slice_.last and slice_.start <= r.last]


def _outside(row: Resident, others: Sequence[Resident]) -> list[Resident]:
    """The parts of `row` that no other overlaps."""
    parts: list[Resident] = []
    start = row.start
    for other in sorted(others, key=lambda o: o.start):
        if start <= other.last and other.start <= row.last:
            if start < other.start:
                parts.append(msgspec.structs.replace(row, start=start, last=other.start - 1))
            start = other.last + 1
    if start <= row.last:
        parts.append(msgspec.structs.replace(row, start=start))
    return parts


def _joined(rows: Sequence[Resident]) -> list[Resident]:
    """The same in order, with neighbours of one band that have left as one: what is remembered of
    those that left grows with the slices there are, and not with the moves there were."""
    joined: list[Resident] = []
    for row in sorted(rows, key=lambda r: (r.start, r.band)):
        before = joined[-1] if joined else None
        if (
            before is not None
            and (before.last + 1, before.band) == (row.start, row.band)
            and min(before.until, row.until) >= 0
        ):
            joined[-1] = msgspec.structs.replace(before, last=row.last)
        else:
            joined.append(row)
    return joined


def common(partitions: Sequence[Homes]) -> Homes:
    """Who is homed here in every partition: readers whose arrival all workers have stored.

    The workers of a cell may have stored a command in some partitions and not yet in others.
    """
    if not partitions:
        return Homes(())
    kept = partitions[0].ranges
    for other in partitions[1:]:
        if other.ranges != kept:
            kept = _both(kept, other.ranges)
    return Homes(kept)


def _both(ours: Ranges, theirs: Ranges) -> Ranges:
    """The places that both have in the same band."""
    found: list[tuple[int, int, int]] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        (start, last, band), (other_start, other_last, other_band) = ours[i], theirs[j]
        start, end = max(start, other_start), min(last, other_last)
        if band == other_band and start <= end:
            found.append((start, end, band))
        if last <= other_last:
            i += 1
        if other_last <= last:
            j += 1
    return tuple(found)
