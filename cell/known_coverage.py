"""The coverage of a cell in memory: what a worker or a dashboard asks for every event and page.

Readers who are or were pulled are columns of numbers, 24 bytes each: there may be a million. Rows
that came with a move (`Covered.brought`) are known by their reader alone, and read when asked for.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import cachetools
import numpy as np
import numpy.typing as npt

from cell import coverage, keys
from cell.coverage import EVERYBODY, NO_SWITCH, OPEN, Covered, Span, Stamps
from cell.edges import NO_ONE, LeftOut, Ranges
from cell.residents import Homes
from cell.switching import Subject, read_stamps
from cell.tables import Row, Tables
from cell.versions import band_of
from idgen.ids import U64Array

CHUNK: Final = 10_000
_STILL: Final = (1 << 63) - 1
LEFT_OUT_KEPT: Final = 8

Switches = npt.NDArray[np.int64]


class _Columns(NamedTuple):
    """Spans of readers, in the order of their places."""

    places: U64Array
    since: Switches
    until: Switches


_NONE: Final = _Columns(NO_ONE, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


class Here(NamedTuple):
    """Readers at places start..last are homed here from the event `since` on."""

    start: int
    last: int
    since: int


class KnownCoverage:
    """What is known of a cell's coverage; used by one thread at a time.

    `known`: all switches below it are in it. Stamps are those of the partitions it was loaded for.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.known = 0
        self.stamps: dict[int, Stamps] = defaultdict(Stamps)
        self._here: dict[int, tuple[Ranges, U64Array]] = {}
        self._readers = _NONE
        self._with_row = NO_ONE
        self._authors: dict[bytes, Covered] = {}
        self._pairs: dict[int, dict[int, tuple[Span, ...]]] = {}
        self._left_out: cachetools.LRUCache[tuple[int, int], U64Array] = cachetools.LRUCache(
            LEFT_OUT_KEPT
        )

    def __len__(self) -> int:
        """How many spans of readers there are."""
        return len(self._readers.places)

    def load(self, known: int, homes: Homes, here: Mapping[int, Sequence[Here]]) -> None:
        """Read all anew. The rows of all switches below `known` must be in the table. `here`: who
        is homed here, by partition."""
        self._tables.create(keys.NEWER)  # a cell of an older version has none of them
        self.known = known
        self.stamps.clear()
        self.stamps.update(read_stamps(self._tables, here))
        self._here = {p: _since(readers) for p, readers in here.items()}
        self._readers, self._with_row = _NONE, NO_ONE
        self._authors.clear()
        self._pairs.clear()
        for rows in scanned(self._tables, keys.CELL, *keys.HOT_KEYS):
            self._authors.update((row.key, coverage.decode(row.value)) for row in rows)
        for rows in scanned(self._tables, keys.COVERAGE, b"", b""):
            held = [r for r in rows if homes.band(keys.place_of(r.key)) == band_of(r.version)]
            self._add({r.key: coverage.decode(r.value) for r in held})
        self._left_out.clear()

    def put(self, rows: Mapping[Subject, Covered]) -> None:
        """Take over rows as they are now."""
        for subject, covered in rows.items():
            if subject.table == keys.CELL:
                self._authors[subject.key] = covered
        readers = {s.key: covered for s, covered in rows.items() if s.table == keys.COVERAGE}
        if readers:
            self._drop(readers.keys())
            self._add(readers)
        self._left_out.clear()

    def stamp(self, stamps: Mapping[int, Iterable[tuple[int, int]]]) -> None:
        """Take over stamps (switch, at) by partition."""
        for partition, some in stamps.items():
            self.stamps[partition].add(dict(some))

    def has_row(self, place: int) -> bool:
        """Whether a reader, or a pair of theirs, is or was pulled."""
        i = int(np.searchsorted(self._with_row, np.uint64(place)))
        return i < len(self._with_row) and int(self._with_row[i]) == place

    @property
    def authors(self) -> Mapping[bytes, Covered]:
        """The authors who are or were pulled by all, by their keys in the cell table."""
        return self._authors

    def is_hot(self, partition: int, author: int, at: int) -> bool:
        """Whether the author at a place is pulled by all at the event `at`."""
        covered = self._authors.get(keys.hot_key(author)) if self._authors else None
        if covered is None:
            return False
        return _holds(covered.spans, self.stamps[partition].newest(at))

    def left_out(
        self, partition: int, author: tuple[int, int], created_at: int, at: int
    ) -> LeftOut:
        """Who does not get the post of an author (user, place) that was created at `created_at`, as
        of the event `at`: who was pulled without a break from the one to the other. (A span of a
        reader that has ended may be filled; one of an author is not.) Who has come from another
        cell since may have been pushed to there.
        """
        stamps = self.stamps[partition]
        switches = stamps.newest(created_at), stamps.newest(at)
        if switches[0] == NO_SWITCH:
            return LeftOut(NO_ONE, created_at)
        late = self._late(partition, created_at) if created_at < at else None
        if self.is_hot(partition, author[1], created_at):
            return LeftOut(None, created_at, late)
        found = self._left_out.get(switches)
        if found is None:
            found = _throughout(self._readers, switches)
            self._left_out[switches] = found
        if pairs := self._pairs.get(author[0]):
            some = [place for place, spans in pairs.items() if _hold_both(spans, switches)]
            found = np.union1d(found, np.array(some, dtype=np.uint64))
        return LeftOut(found, created_at, late)

    def _late(self, partition: int, created_at: int) -> Ranges | None:
        """Who is homed here only since an event behind one."""
        if partition not in self._here:
            return None
        ranges, since = self._here[partition]
        late = since > np.uint64(created_at)
        return Ranges(ranges.starts[late], ranges.lasts[late]) if late.any() else None

    def _add(self, rows: Mapping[bytes, Covered]) -> None:
        """Take over rows of `coverage` that are not there."""
        added: list[tuple[int, int, int]] = []
        for key, covered in rows.items():
            place, author = keys.parse_pair(key)
            if author != EVERYBODY and covered.spans:
                self._pairs.setdefault(author, {})[place] = covered.spans
            elif author == EVERYBODY:
                ends = (_STILL if s.until == OPEN else s.until for s in covered.spans)
                added += [(place, s.since, e) for s, e in zip(covered.spans, ends, strict=True)]
        with_row = {keys.place_of(key) for key, c in rows.items() if c.spans or c.brought}
        self._with_row = np.union1d(self._with_row, np.array(sorted(with_row), dtype=np.uint64))
        if added:
            new = _Columns(
                np.array([a[0] for a in added], dtype=np.uint64),
                np.array([a[1] for a in added], dtype=np.int64),
                np.array([a[2] for a in added], dtype=np.int64),
            )
            joined = _Columns(*(np.concatenate(c) for c in zip(self._readers, new, strict=True)))
            self._readers = _taken(joined, np.argsort(joined.places, kind="stable"))

    def _drop(self, names: Collection[bytes]) -> None:
        """Forget what is known by these keys of `coverage`."""
        places: set[int] = set()
        for place, author in map(keys.parse_pair, names):
            if author == EVERYBODY:
                places.add(place)
            else:
                self._pairs.get(author, {}).pop(place, None)
        gone = np.isin(self._readers.places, np.array(sorted(places), dtype=np.uint64))
        self._readers = _taken(self._readers, np.flatnonzero(~gone))


def scanned(tables: Tables, table: str, start: bytes, stop: bytes) -> Iterable[list[Row]]:
    """All rows of a range, call by call."""
    while True:
        rows = tables.scan(table, start, stop, CHUNK)
        yield rows
        if len(rows) < CHUNK:
            return
        start = rows[-1].key + b"\0"


def _since(readers: Iterable[Here]) -> tuple[Ranges, U64Array]:
    columns = [np.array(column, dtype=np.uint64) for column in zip(*sorted(readers), strict=True)]
    starts, lasts, since = columns or (NO_ONE, NO_ONE, NO_ONE)
    return Ranges(starts, lasts), since


def _taken(columns: _Columns, which: npt.NDArray[np.intp]) -> _Columns:
    return _Columns(columns.places[which], columns.since[which], columns.until[which])


def _throughout(columns: _Columns, switches: tuple[int, int]) -> U64Array:
    low, high = min(switches), max(switches)
    places = columns.places[(columns.since <= low) & (columns.until > high)]
    return np.unique(places)


def _hold_both(spans: Iterable[Span], switches: tuple[int, int]) -> bool:
    low, high = min(switches), max(switches)
    return any(s.since <= low and (s.until == OPEN or s.until > high) for s in spans)


def _holds(spans: Iterable[Span], switch: int) -> bool:
    return switch != NO_SWITCH and _hold_both(spans, (switch, switch))
