"""What a dashboard knows of its cell's coverage, and who has to be pulled for a reader's page.

In memory are the authors who are or were pulled by all, the stamps, and which readers have a row;
a reader's own row is read with the page. A page first takes a position, then asks here: whatever
was switched before that position is known then, for a position is told with the commands that were
obeyed before it.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from cell import coverage, keys
from cell.brought_authors import Arrival, hot_authors
from cell.commands import GroupRewound, SliceArrived, Switched, decode
from cell.coverage import EVERYBODY, Covered, PulledEvents, Stamps, pulled_events
from cell.edges import NO_ONE
from cell.known_coverage import scanned
from cell.lane_scan import Reader
from cell.page_arrivals import PageArrivals
from cell.snapshot import Snapshot
from cell.stores import CellStores
from cell.switching import read_stamps
from cell.versions import band_of
from idgen.clock import Clock
from idgen.errors import CursorTooOld
from idgen.ids import U64Array, spread

COMMANDS_READ: Final = 100
ASK_AGAIN_MS: Final = 100
"""Until a missing stamp is looked for again; pages look up more than they need till then."""
NEVER: Final = PulledEvents(())


class Pulled(NamedTuple):
    """Whom a page has to look up at their authors, and for which events.

    `reader`: of all whom the reader follows. `pairs`: of single authors (by user). `hot`: of
    authors whom everybody pulls (by place).
    """

    reader: PulledEvents
    pairs: Mapping[int, PulledEvents]
    hot: Mapping[int, PulledEvents]

    def of(self, author: int, place: int, partition: int) -> list[tuple[int, int]]:
        """The events (since, until) of an author that were not pushed to this reader."""
        parts = (self.reader, self.pairs.get(author, NEVER), self.hot.get(place, NEVER))
        return [bounds for part in parts for bounds in part.within(partition)]


class PageCoverage:
    """Asked by any number of threads."""

    def __init__(self, stores: CellStores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock
        self._lock = threading.Lock()
        self._known = 0
        self._stamps: list[Stamps] = []
        self._unstamped: set[tuple[int, int]] = set()
        self._asked_ms = 0
        self._with_row: U64Array = NO_ONE
        self._authors: dict[int, Covered] = {}
        self._hot: dict[int, PulledEvents] = {}
        self._arrivals = PageArrivals(stores.tables)

    def of(self, reader: Reader, asof: Snapshot) -> Pulled | None:
        """What has to be pulled for a page as of a position; None: nothing, for nobody was."""
        self._include(asof)
        i = int(np.searchsorted(self._with_row, np.uint64(reader.place)))
        has_row = i < len(self._with_row) and int(self._with_row[i]) == reader.place
        hot = self._arrivals.of(reader, self._hot)
        own, pairs = self._of_reader(reader) if has_row else (NEVER, {})
        return Pulled(own, pairs, hot) if own or pairs or hot else None

    def _of_reader(self, reader: Reader) -> tuple[PulledEvents, dict[int, PulledEvents]]:
        start, stop = keys.place_bytes(reader.place), keys.after_prefix(reader.place)
        found: dict[int, PulledEvents] = {}
        for rows in scanned(self._stores.tables, keys.COVERAGE, start, stop):
            for row in rows:
                if band_of(row.version) == reader.band:
                    covered = coverage.decode(row.value)
                    found[keys.parse_pair(row.key)[1]] = pulled_events(covered, self._stamps)
        return found.pop(EVERYBODY, NEVER), {author: e for author, e in found.items() if e}

    def _include(self, asof: Snapshot) -> None:
        """Know of all switches that were obeyed before a position."""
        if asof.commands <= self._known and not self._unstamped:
            return
        with self._lock:
            if not self._stamps:
                self._load(asof)
            elif asof.commands > self._known:
                self._read_on(asof)
            if self._unstamped and self._clock.monotonic_ms() >= self._asked_ms + ASK_AGAIN_MS:
                self._stamp()

    def _load(self, asof: Snapshot) -> None:
        """Read all: the rows of whatever a partition has obeyed are in the table."""
        tables = self._stores.tables
        tables.create(keys.NEWER)  # a cell of an older version has none of them
        partitions = range(self._stores.firehose.partitions)
        stamps = read_stamps(tables, partitions)
        self._authors = hot_authors(tables)
        self._arrivals.load()
        places, named = self._read_rows(b"", b"")
        self._with_row = places  # at once, for who asks meanwhile
        switches = {switch for each in stamps.values() for switch in each.switches}
        switches |= {s for c in self._authors.values() for s in c.switches}
        self._stamps = [stamps[p] for p in partitions]
        self._begin(switches | named, asof.commands)

    def _read_on(self, asof: Snapshot) -> None:
        """Read the commands since, and what they have changed."""
        switches: set[int] = set()
        at = self._known
        try:
            while at < asof.commands:
                # Of one that nobody has obeyed yet the rows may not be there.
                limit = min(COMMANDS_READ, asof.commands - at)
                for record in self._stores.commands.read(0, at, limit, timeout_ms=1_000):
                    command = decode(record.value)
                    if isinstance(command, Switched):
                        switches.add(record.offset)
                        self._take(command)
                    elif isinstance(command, SliceArrived):
                        start = keys.place_bytes(command.start)
                        places, named = self._read_rows(start, keys.after_prefix(command.last))
                        self._with_row = np.union1d(self._with_row, places)
                        switches |= named
                        self._arrivals.arrived(Arrival(command.start, command.last, command.band))
                    elif isinstance(command, GroupRewound):
                        # As after a restore, whose rows no other command tells of.
                        return self._load(asof)
                    at = record.offset + 1
        except CursorTooOld:
            self._load(asof)
        else:
            self._begin(switches, at)
        return None

    def _take(self, command: Switched) -> None:
        """Know of a switch, whose rows are written."""
        readers = [*command.readers, *(reader for reader, _ in command.pairs)]
        self._add({spread(reader) for reader in readers})
        names = [keys.hot_key(spread(author)) for author in command.authors]
        found = self._stores.tables.get(keys.CELL, names)
        rows = [row for row in found if row is not None]
        self._authors.update((keys.place_of(r.key[1:]), coverage.decode(r.value)) for r in rows)

    def _read_rows(self, start: bytes, stop: bytes) -> tuple[U64Array, set[int]]:
        """Who has a row in a range; the switches that these rows name."""
        places: set[int] = set()
        switches: set[int] = set()
        for rows in scanned(self._stores.tables, keys.COVERAGE, start, stop):
            places |= {keys.place_of(row.key) for row in rows}
            switches.update(*(coverage.decode(row.value).switches for row in rows))
        return np.array(sorted(places), dtype=np.uint64), switches

    def _add(self, places: Iterable[int]) -> None:
        self._with_row = np.union1d(self._with_row, np.array(sorted(places), dtype=np.uint64))

    def _begin(self, switches: set[int], known: int) -> None:
        """What was read holds from now on."""
        partitions = range(self._stores.firehose.partitions)
        self._unstamped |= {(p, s) for s in switches for p in partitions}
        self._asked_ms = 0
        self._stamp()
        self._known = max(self._known, known)

    def _stamp(self) -> None:
        """Look for the stamps that are missing; with what comes, hot authors' events are others."""
        wanted = [(p, s) for p, s in self._unstamped if self._stamps[p].at(s) is None]
        self._asked_ms = self._clock.monotonic_ms()
        names = [keys.stamp_key(*each) for each in wanted]
        for row in self._stores.tables.get(keys.CELL, names):
            if row is not None:
                partition, switch = keys.parse_stamp(row.key)
                self._stamps[partition].add({switch: keys.place_of(row.value)})
        self._unstamped = {(p, s) for p, s in wanted if self._stamps[p].at(s) is None}
        hot = {place: pulled_events(c, self._stamps) for place, c in self._authors.items()}
        self._hot = {place: events for place, events in hot.items() if events}
