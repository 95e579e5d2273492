"""Copying who is pulled, and for which events, with a slice that goes to another cell.

It is read before the slice's entries are: what was not pushed may be written behind it at any time
(cell.commands.Filled), and is then told of no more. So of two who copy, the one who comes first
stays: it has read before anybody who finds its row goes on to the entries. A row is of the slice's
new band and of no event, below all that the new cell's own switches write.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from cell import coverage, keys
from cell.brought import Below, brought
from cell.brought_authors import (
    Arrival,
    arrivals,
    authors_of,
    followed,
    hot_authors,
    put_authors,
)
from cell.coverage import EVERYBODY, Covered
from cell.residents import Ranges
from cell.slice_rows import Leg, Walked
from cell.state import PartitionState
from cell.switching import read_stamps
from cell.tables import Row, Tables
from cell.versions import at_of_offset, band_of, floor_of
from idgen.ids import spread

PIECE_ROWS = 1_000
"""Of one read: a row has up to a few kilobytes."""


def below(
    tables: Tables, states: Mapping[int, PartitionState], since: Sequence[int], log_base: int
) -> Below:
    """What a cell's switches came to below the offsets `since`, which it had applied when its
    `states` were read."""
    partitions = range(len(since))
    stamps = read_stamps(tables, partitions)
    for p in partitions:
        stamps[p].add(dict(states[p].stamps))  # whose rows may not be there yet
    return Below(
        [stamps[p] for p in partitions],
        [states[p].commands for p in partitions],
        [at_of_offset(log_base, offset) for offset in since],
    )


def read_rows(
    tables: Tables, leg: Leg, walked: Walked, limit: int, known: Below
) -> tuple[list[Row], Walked]:
    """The next rows of a leg of coverage, as they are brought elsewhere, in the leg's own band; how
    far that has come."""
    start = walked.key or keys.place_bytes(leg.start)
    stop, limit = keys.after_prefix(leg.last), min(limit, PIECE_ROWS)
    rows = tables.scan(keys.COVERAGE, start, stop, limit, floor=floor_of(leg.band))
    found = [_explicit(row, known) for row in rows if band_of(row.version) == leg.band]
    following = Walked(walked.leg + 1)
    if len(rows) == limit:
        following = Walked(walked.leg, rows[-1].key + b"\0")
    return [row for row in found if row is not None], following


def copy_rows(
    source: Tables,
    target: Tables,
    leg: Leg,
    band: int,
    walked: Walked,
    limit: int,
    known: Below,
    confirm: Callable[[], None],
) -> tuple[Walked, int]:
    """Copy the next rows of a leg of coverage into `band`; how far that has come, and how many."""
    rows, following = read_rows(source, leg, walked, limit, known)
    confirm()
    put_rows(target, [row._replace(version=floor_of(band)) for row in rows])
    return following, len(rows)


def put_rows(tables: Tables, rows: Sequence[Row]) -> None:
    """Write rows of coverage, all of one band, where there are none of that band."""
    if rows:
        there = tables.get(keys.COVERAGE, [row.key for row in rows], floor=rows[0].version)
        missing = [row for row, found in zip(rows, there, strict=True) if found is None]
        tables.put(keys.COVERAGE, missing)


def brought_authors(tables: Tables, ranges: Ranges, known: Below) -> dict[int, Covered]:
    """The authors whom all of some readers pulled below a position: those of the cell, and those
    of what the readers came to it with."""
    own = hot_authors(tables)
    found: dict[int, list[Covered]] = {place: [covered] for place, covered in own.items()}
    for arrival in _arrivals(tables, ranges):
        for place, covered in authors_of(tables, arrival).items():
            found.setdefault(place, []).append(covered)
    partitions = len(known.until)
    told = {place: brought(some, known, place % partitions) for place, some in found.items()}
    return {place: covered for place, covered in told.items() if covered.brought}


def copy_authors(
    source: Tables, target: Tables, ranges: Ranges, arrival: Arrival, known: Below
) -> int:
    """Write who was pulled by all in the source for the readers of an arrival; how many. Of one
    reader alone, those whom that one follows: of others there is nothing to be pulled."""
    authors = brought_authors(source, ranges, known)
    if arrival.start == arrival.last and authors:
        wanted = followed(source, arrival.start, list(authors))
        authors = {place: covered for place, covered in authors.items() if place in wanted}
    return put_authors(target, arrival, authors)


def _arrivals(tables: Tables, ranges: Ranges) -> Iterable[Arrival]:
    return {arrival for within in ranges for arrival in arrivals(tables, *within)}


def _explicit(row: Row, known: Below) -> Row | None:
    _, author = keys.parse_pair(row.key)
    only = None if author == EVERYBODY else spread(author) % len(known.until)
    told = brought([coverage.decode(row.value)], known, only)
    value = coverage.encode(told)
    return Row(row.key, floor_of(band_of(row.version)), value) if told.brought else None
