"""What one reader was not pushed, read from the rows of coverage: for whoever checks or explains.

Pages ask `cell.page_coverage`, which keeps most of it in memory; this reads all anew.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from cell import coverage, keys
from cell.brought_authors import arrival_of, authors_of
from cell.coverage import EVERYBODY, Covered, PulledEvents, Stamps, pulled_events
from cell.known_coverage import scanned
from cell.switching import read_stamps
from cell.tables import Tables
from cell.versions import band_of
from idgen.ids import spread


class Of(StrEnum):
    """Whom a row of coverage names, in the order in which they are told where several hold."""

    READER = "reader"
    AUTHOR = "author"
    PAIR = "pair"


class CoverageFacts(NamedTuple):
    """A row of coverage that has a say over one entry. `now`: whether it pulls from its newest
    switch on, which was for the reason `why` (cell.materialization) at `at_ms` (0: not known
    here). `pulled`: whether it pulls this entry."""

    of: Of
    now: bool
    why: int
    at_ms: int
    pulled: bool


class ReaderCoverage:
    """All that says what a reader was not pushed, as of when it was made."""

    def __init__(self, tables: Tables, partitions: int, reader: int, band: int) -> None:
        self._tables = tables
        self._partitions = partitions
        tables.create(keys.NEWER)  # a cell of an older version has none of them
        # Rows before stamps: the stamps of a switch that a row names may come at any time, and
        # until then what it pulls is told rather too long.
        place = spread(reader)
        rows = scanned(tables, keys.COVERAGE, keys.place_bytes(place), keys.after_prefix(place))
        self._of_reader = {
            keys.parse_pair(row.key)[1]: coverage.decode(row.value)
            for some in rows
            for row in some
            if band_of(row.version) == band
        }
        self._hot: dict[int, Covered | None] = {}
        arrival = arrival_of(tables, place, band)
        self._brought = {} if arrival is None else authors_of(tables, arrival)
        found = read_stamps(tables, range(partitions))
        self._stamps: Sequence[Stamps] = [found[p] for p in range(partitions)]

    def rows(self, author: int) -> list[tuple[Of, Covered]]:
        """The rows that have a say over posts of an author."""
        if author not in self._hot:
            (row,) = self._tables.get(keys.CELL, [keys.hot_key(spread(author))])
            self._hot[author] = None if row is None else coverage.decode(row.value)
        found = [
            (Of.READER, self._of_reader.get(EVERYBODY)),
            (Of.AUTHOR, self._hot[author]),
            (Of.AUTHOR, self._brought.get(spread(author))),
            (Of.PAIR, self._of_reader.get(author)),
        ]
        return [(of, covered) for of, covered in found if covered is not None]

    def pulled(self, author: int) -> PulledEvents:
        """The events of an author that were not pushed to this reader."""
        found = (pulled_events(covered, self._stamps) for _, covered in self.rows(author))
        return PulledEvents([part for events in found for part in events.parts])

    def facts(self, author: int, at: int | None) -> tuple[CoverageFacts, ...]:
        """What each row says of a post that was created at the event `at` (None: not known)."""
        partition = spread(author) % self._partitions
        return tuple(
            CoverageFacts(
                of,
                covered.pulled,
                covered.why,
                covered.at_ms,
                at is not None and pulled_events(covered, self._stamps).contain(partition, at),
            )
            for of, covered in self.rows(author)
        )
