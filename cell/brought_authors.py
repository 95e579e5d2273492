"""Authors who were pulled by all in the cell that a slice came from: rows of the slice's arrival.

They hold for the readers of that arrival alone (a range of places, in its band), and lie in the
cell table. A band is of a slice: two slices may have the same one; of one band, no two arrivals
overlap.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from cell import coverage, keys
from cell.coverage import Covered
from cell.known_coverage import scanned
from cell.residents import Resident
from cell.tables import Row, Tables
from cell.versions import version_of
from idgen.ids import U64, unspread

CHUNK: Final = 5_000
_VERSION: Final = 1


class Arrival(NamedTuple):
    """A slice that came to a cell: places start..last, in `band`."""

    start: int
    last: int
    band: int


def key_of(arrival: Arrival, place: int) -> bytes:
    """The key of the author at `place`."""
    return keys.brought_key(arrival.band, arrival.start, arrival.last, place)


def keys_of(arrival: Arrival) -> tuple[bytes, bytes]:
    """The range of all keys of an arrival: of all authors."""
    return key_of(arrival, 0), key_of(arrival, U64) + b"\0"


def parse_key(key: bytes) -> tuple[Arrival, int]:
    """The arrival and the author's place of a key."""
    band, start, last, place = keys.parse_brought(key)
    return Arrival(start, last, band), place


def authors_of(tables: Tables, arrival: Arrival) -> dict[int, Covered]:
    """The authors of one arrival, by their places."""
    return {
        parse_key(row.key)[1]: coverage.decode(row.value)
        for rows in scanned(tables, keys.CELL, *keys_of(arrival))
        for row in rows
    }


def arrivals(tables: Tables, start: int, last: int, band: int) -> Iterator[Arrival]:
    """The arrivals in a band that have such rows and overlap a range."""
    first = arrival_of(tables, start, band)
    if first is not None:
        yield first
    at = start + 1 if first is None else first.last + 1
    while at <= last:
        stop = keys.brought_key(band, last, U64, U64) + b"\0"
        rows = tables.scan(keys.CELL, keys.brought_key(band, at, 0, 0), stop, 1)
        if not rows:
            return
        found, _ = parse_key(rows[0].key)
        yield found
        at = found.last + 1


def arrival_of(tables: Tables, place: int, band: int) -> Arrival | None:
    """The arrival of the reader at `place`, if it has such rows."""
    begin = keys.brought_key(band, 0, 0, 0)
    stop = keys.brought_key(band, place, U64, U64) + b"\0"
    rows = tables.scan(keys.CELL, begin, stop, 1, reverse=True)
    if not rows:
        return None
    found, _ = parse_key(rows[0].key)
    return found if found.last >= place else None


def hot_authors(tables: Tables) -> dict[int, Covered]:
    """The authors whom all pull or pulled in a cell, by their places."""
    return {
        keys.place_of(row.key[1:]): coverage.decode(row.value)
        for rows in scanned(tables, keys.CELL, *keys.HOT_KEYS)
        for row in rows
    }


def followed(tables: Tables, reader: int, authors: Sequence[int]) -> set[int]:
    """Those of some authors (places) whom the reader at a place follows, or has followed."""
    found: set[int] = set()
    for i in range(0, len(authors), CHUNK):
        some = authors[i : i + CHUNK]
        rows = tables.get(keys.FOLLOWING, [keys.pair_key(reader, unspread(a)) for a in some])
        found |= {a for a, row in zip(some, rows, strict=True) if row is not None}
    return found


def put_authors(tables: Tables, arrival: Arrival, authors: dict[int, Covered]) -> int:
    """Write the rows of an arrival; how many."""
    rows = [
        Row(key_of(arrival, place), version_of(arrival.band, _VERSION), coverage.encode(covered))
        for place, covered in authors.items()
    ]
    for i in range(0, len(rows), CHUNK):
        tables.put(keys.CELL, rows[i : i + CHUNK])
    return len(rows)


def sweep_authors(tables: Tables, left: Arrival, residents: Iterable[Resident]) -> None:
    """Sweep the rows of arrivals of whose readers nobody is homed here any more, now that those of
    `left` are not. `residents`: of all partitions."""
    here = [r for r in residents if r.until < 0 and r.band == left.band]
    for arrival in list(arrivals(tables, *left)):
        if any(r.start <= arrival.last and arrival.start <= r.last for r in here):
            continue
        for rows in scanned(tables, keys.CELL, *keys_of(arrival)):
            tables.sweep(keys.CELL, [(row.key, row.version) for row in rows])
