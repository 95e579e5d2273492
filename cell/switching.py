"""What switches do to the rows of coverage: worked out and written by every worker that reads them.

A row follows from the one before and from the command alone, so workers that are told the same
write the same, at the version `band, switch + 1`; whoever comes later finds it there. It is written
before any partition is stamped: whose state has seen a switch finds its rows in the table.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cell import coverage, keys
from cell.commands import Filled, Switched
from cell.coverage import Covered, Stamps
from cell.residents import Homes
from cell.tables import Row, Tables
from cell.versions import at_of, band_of, version_of
from idgen.ids import spread

CHUNK = 5_000
STAMP_VERSION = 1


class Subject(NamedTuple):
    """Whom a row is of: a key of `coverage`, or of an author in the cell table."""

    table: str
    key: bytes
    band: int


def obey(
    tables: Tables, command: Switched | Filled, switch: int, at_ms: int, homes: Homes
) -> dict[Subject, Covered]:
    """Write the rows that follow from a command, which was told at `at_ms`; all rows it names.

    `homes`: as of the commands before. Who is not homed here is passed over.
    """
    if isinstance(command, Filled):
        subjects = _of_readers(command.readers, homes)
        return _rewritten(
            tables, subjects, switch, lambda row: coverage.filled(row, command.until)
        )
    return _rewritten(
        tables,
        named(command, homes),
        switch,
        lambda row: coverage.switched(
            row, switch, pull=command.pull, why=command.why, at_ms=at_ms
        ),
    )


def named(command: Switched | Filled, homes: Homes) -> list[Subject]:
    """Whom a command names, of those who are homed here; authors need not be."""
    if isinstance(command, Filled):
        return _of_readers(command.readers, homes)
    found = _of_readers(command.readers, homes)
    found += [Subject(keys.CELL, keys.hot_key(spread(author)), 0) for author in command.authors]
    for reader, author in command.pairs:
        place = spread(reader)
        if band := homes.band(place):
            found.append(Subject(keys.COVERAGE, keys.pair_key(place, author), band))
    return found


def rows_of(tables: Tables, subjects: Sequence[Subject]) -> dict[Subject, Row | None]:
    """The rows as they are; None where there is none of the subject's band."""
    found: dict[Subject, Row | None] = {}
    for table in {s.table for s in subjects}:
        wanted = [s for s in subjects if s.table == table]
        rows = tables.get(table, [s.key for s in wanted])
        for subject, row in zip(wanted, rows, strict=True):
            here = row is not None and band_of(row.version) == subject.band
            found[subject] = row if here else None
    return found


def covered_of(row: Row | None) -> Covered:
    """What a row says; of none: pushed, always."""
    return Covered() if row is None else coverage.decode(row.value)


def read_stamps(tables: Tables, partitions: Iterable[int]) -> dict[int, Stamps]:
    """All stamps of some partitions."""
    return {p: Stamps(dict(_stamps(tables, p))) for p in partitions}


def write_stamps(tables: Tables, stamps: Mapping[int, Sequence[tuple[int, int]]]) -> None:
    """Write stamps (switch, at) by partition. They are in the owners' rows, so this may be
    repeated."""
    rows = [
        Row(keys.stamp_key(p, switch), STAMP_VERSION, keys.place_bytes(at))
        for p, some in stamps.items()
        for switch, at in some
    ]
    tables.put(keys.CELL, rows)


def _stamps(tables: Tables, partition: int) -> Iterable[tuple[int, int]]:
    start, stop = keys.stamp_key(partition, 0), keys.stamp_key(partition + 1, 0)
    while True:
        rows = tables.scan(keys.CELL, start, stop, CHUNK)
        for row in rows:
            yield keys.parse_stamp(row.key)[1], keys.place_of(row.value)
        if len(rows) < CHUNK:
            return
        start = rows[-1].key + b"\0"


def _of_readers(readers: Sequence[int], homes: Homes) -> list[Subject]:
    places = [spread(reader) for reader in readers]
    return [
        Subject(keys.COVERAGE, keys.pair_key(place, coverage.EVERYBODY), band)
        for place in places
        if (band := homes.band(place))
    ]


def _rewritten(
    tables: Tables,
    subjects: Sequence[Subject],
    switch: int,
    change: Callable[[Covered], Covered],
) -> dict[Subject, Covered]:
    now: dict[Subject, Covered] = {}
    changed: dict[str, list[Row]] = {}
    for subject, row in rows_of(tables, subjects).items():
        before = covered_of(row)
        done = row is not None and at_of(row.version) > switch
        now[subject] = before if done else change(before)
        if now[subject] != before:
            version = version_of(subject.band, switch + 1)
            rows = changed.setdefault(subject.table, [])
            rows.append(Row(subject.key, version, coverage.encode(now[subject])))
    for table, rows in changed.items():
        tables.put(table, rows)
    return now
