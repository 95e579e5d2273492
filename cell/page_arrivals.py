"""What a dashboard knows of slices that came from cells in which authors were pulled by all.

In memory is which arrivals have such rows; the rows of one are read with the first page of a reader
of it, and kept with those of the cell's own hot authors.
"""

import bisect
from collections.abc import Mapping
from typing import Final, NamedTuple

import cachetools

from cell import keys
from cell.brought_authors import Arrival, authors_of, parse_key
from cell.coverage import PulledEvents, pulled_events
from cell.known_coverage import scanned
from cell.lane_scan import Reader
from cell.tables import Tables

KEPT_AUTHORS: Final = 50_000

Hot = Mapping[int, PulledEvents]
"""Authors whom all pull, by place."""


class _Merged(NamedTuple):
    """The authors of an arrival together with the cell's own, which were `own`."""

    own: Hot
    brought: Hot
    both: Hot


class PageArrivals:
    """Asked by any number of threads; told by one at a time. Lists are never changed, for who asks
    meanwhile."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._by_band: dict[int, list[Arrival]] = {}
        self._merged: cachetools.LRUCache[Arrival, _Merged] = cachetools.LRUCache(
            KEPT_AUTHORS, getsizeof=lambda merged: max(1, len(merged.both))
        )

    def load(self) -> None:
        """Read all anew."""
        found: dict[int, set[Arrival]] = {}
        for rows in scanned(self._tables, keys.CELL, *keys.BROUGHT_KEYS):
            for arrival in {parse_key(row.key)[0] for row in rows}:
                found.setdefault(arrival.band, set()).add(arrival)
        self._by_band = {band: sorted(some) for band, some in found.items()}
        self._merged.clear()

    def arrived(self, arrival: Arrival) -> None:
        """Know of an arrival, whose rows are written."""
        before = self._by_band.get(arrival.band, [])
        if arrival not in before and authors_of(self._tables, arrival):
            self._by_band[arrival.band] = sorted([*before, arrival])

    def of(self, reader: Reader, own: Hot) -> Hot:
        """The authors who are pulled for a reader's page: those of the cell, and of what the
        reader arrived with."""
        arrival = self._arrival(reader)
        if arrival is None:
            return own
        kept = self._merged.get(arrival)
        if kept is None or kept.own is not own:
            brought = self._read(arrival) if kept is None else kept.brought
            kept = _Merged(own, brought, _both(own, brought))
            if len(kept.both) <= KEPT_AUTHORS:
                self._merged[arrival] = kept
        return kept.both

    def _read(self, arrival: Arrival) -> Hot:
        return {
            place: pulled_events(covered, ())
            for place, covered in authors_of(self._tables, arrival).items()
        }

    def _arrival(self, reader: Reader) -> Arrival | None:
        found = self._by_band.get(reader.band)
        if not found:
            return None
        i = bisect.bisect_right(found, reader.place, key=lambda arrival: arrival.start) - 1
        return found[i] if i >= 0 and reader.place <= found[i].last else None


def _both(own: Hot, brought: Hot) -> Hot:
    found = dict(own)
    for place, events in brought.items():
        mine = own.get(place)
        found[place] = events if mine is None else PulledEvents((*mine.parts, *events.parts))
    return found
