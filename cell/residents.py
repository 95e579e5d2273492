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
from idgen.ids import U64, U64Array


class Resident(msgspec.Struct, frozen=True, array_like=True):
    """Readers at places start..last (both included) belong to `band` in [since, until).

    `until` -1: they still do.
    """

    start: int
    last: int
    band: int
    since: int
    until: int = -1


class Homes:
    """Who is homed here at one moment: disjoint ranges of places with their bands."""

    def __init__(self, ranges: Sequence[tuple[int, int, int]]) -> None:
        self.ranges = tuple(sorted(ranges))
        self._starts = [r[0] for r in self.ranges]
        self._lasts = [r[1] for r in self.ranges]
        self._bands = [r[2] for r in self.ranges]

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
        """With a slice added; a band that is not above the last one of any overlap is ignored."""
        if any(r.band >= band and r.start <= last and start <= r.last for r in self.rows):
            return self
        return Residents((*self.rows, Resident(start, last, band, since)))

    def left(self, start: int, last: int, band: int, until: int) -> "Residents":
        """With the slice of this band ended at `until`; one that is not here is remembered too,
        so that its arrival, coming late, is ignored."""
        kept: list[Resident] = []
        found = False
        for r in self.rows:
            same = (r.start, r.last, r.band) == (start, last, band)
            found |= same
            ended = Resident(r.start, r.last, r.band, r.since, max(until, r.since))
            kept.append(ended if same and r.until < 0 else r)
        if not found:
            kept.append(Resident(start, last, band, until, until))
        return Residents(kept)


def common(partitions: Sequence[Homes]) -> Homes:
    """Who is homed here in every partition: a reader whose arrival all workers have stored."""
    if not partitions:
        return Homes(())
    first, *others = partitions
    kept = [r for r in first.ranges if all(r in o.ranges for o in others)]
    return Homes(kept)


EVERYBODY = (0, U64)
