"""Whether entries that a cell does not hold were to be pulled there, told strictly.

A page may look up more than it needs, so it takes a span that is not stamped yet as one that began
before everything. Here it has not begun: who evaluates an event as pulled has stamped that first.
So ask after the entries were looked for, and never before.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cell import coverage, keys
from cell.brought_authors import arrival_of, key_of
from cell.coverage import EVERYBODY, OPEN, Covered
from cell.tables import Tables
from cell.versions import band_of, floor_of
from idgen.ids import spread


class Entry(NamedTuple):
    """A key of inbox, and the event that would have written it."""

    key: bytes
    at: int


def pulled_rows(
    tables: Tables, band: int, entries: Sequence[Entry], partitions: int
) -> list[bool]:
    """Whether each of some entries is not in a cell because of who is pulled there; `band`: of
    their readers."""
    names = [_names(tables, band, each) for each in entries]
    rows = _rows(tables, keys.COVERAGE, {name for some in names for name in some.coverage}, band)
    hot = {name for some in names for name in some.authors}
    authors = _rows(tables, keys.CELL, hot, None)
    told = [
        [rows[name] for name in some.coverage if name in rows]
        + [authors[name] for name in some.authors if name in authors]
        for some in names
    ]
    stamps = _stamps(tables, zip(names, told, strict=True), partitions)
    return [
        any(_has(c, some.author % partitions, e.at, stamps) for c in covered)
        for e, some, covered in zip(entries, names, told, strict=True)
    ]


class _Names(NamedTuple):
    """Which rows tell of an entry: of the reader and the pair, and of the author (at a place)."""

    author: int
    coverage: tuple[bytes, ...]
    authors: tuple[bytes, ...]


def _names(tables: Tables, band: int, entry: Entry) -> _Names:
    reader, (_, user) = keys.place_of(entry.key), keys.parse_entry(entry.key)
    author = spread(user)
    arrival = arrival_of(tables, reader, band)
    hot = keys.hot_key(author)
    return _Names(
        author,
        (keys.pair_key(reader, EVERYBODY), keys.pair_key(reader, user)),
        (hot,) if arrival is None else (hot, key_of(arrival, author)),
    )


def _rows(
    tables: Tables, table: str, names: Iterable[bytes], band: int | None
) -> dict[bytes, Covered]:
    wanted = sorted(names)
    found = tables.get(table, wanted, 0 if band is None else floor_of(band))
    return {
        row.key: coverage.decode(row.value)
        for row in found
        if row is not None and band in (None, band_of(row.version))
    }


def _stamps(
    tables: Tables, told: Iterable[tuple[_Names, Sequence[Covered]]], partitions: int
) -> dict[tuple[int, int], int]:
    """The stamps (partition, switch) that are needed, as far as there are any."""
    wanted = {
        (names.author % partitions, switch)
        for names, some in told
        for covered in some
        for switch in covered.switches
    }
    rows = tables.get(keys.CELL, [keys.stamp_key(*each) for each in sorted(wanted)])
    return {keys.parse_stamp(r.key): keys.place_of(r.value) for r in rows if r is not None}


def _has(covered: Covered, partition: int, at: int, stamps: dict[tuple[int, int], int]) -> bool:
    for span in covered.spans:
        since = stamps.get((partition, span.since))
        until = None if span.until == OPEN else stamps.get((partition, span.until))
        if since is not None and since <= at and (until is None or at < until):
            return True
    return any(b.since[partition] <= at < b.until[partition] for b in covered.brought)
