"""Loading a backup's rows into a cell's tables.

Rows keep where in the log they came from and are lifted into the bands in which their readers are
homed now, as those of an arriving slice; so loading may be repeated, and what is not homed here any
more is left out.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from cell import coverage, keys
from cell.backup_files import (
    HOT_AUTHORS,
    LETTERS,
    Content,
    DamagedBackup,
    Manifest,
    read_chunk,
)
from cell.brought import repartitioned
from cell.brought_authors import Arrival, put_authors
from cell.by_time import index_rows
from cell.coverage import EVERYBODY
from cell.residents import Homes
from cell.slice_rows import exchanged, taken
from cell.stores import CellStores
from cell.tables import FixedRows, Row
from cell.versions import AT_BITS, ats_of, floor_of
from firehose.dead_letters import DeadLetters
from idgen.ids import spread

_SHIFT = np.uint64(AT_BITS)
_VERSION = 1
"""As that of the first switch, which a restored cell has behind it (router.restore)."""


def holds_anything(stores: CellStores) -> str:
    """The first of the cell's tables that has a row; empty: none has. Raises BadRequest(table)
    where there are no such tables."""
    for table in keys.TABLES:
        if table != keys.CELL and stores.tables.scan(table, b"", b"", 1):
            return table
    return ""


def load(
    stores: CellStores,
    folder: Path,
    manifest: Manifest,
    homes: Homes,
    tell: Callable[[int, int], None] = lambda _rows, _bytes: None,
) -> None:
    """Write the rows of all files for the readers in `homes`; `tell` gets the rows and bytes of
    each. Raises DamagedBackup, Unavailable."""
    for file in manifest.files:
        content = read_chunk(folder, file)
        if file.table == HOT_AUTHORS:
            _write_authors(stores, content, None if manifest.whole else homes)
        else:
            _write(stores, file.table, content, homes)
        tell(file.rows, file.bytes)


def _write(stores: CellStores, table: str, content: Content, homes: Homes) -> None:
    if isinstance(content, FixedRows):
        rows = _homed(table, content, homes)
        stores.tables.put_fanout(table, rows)
        if table == keys.FOLLOWING:
            stores.tables.put_fanout(keys.FOLLOWERS, exchanged(rows))
    elif table == LETTERS:
        _add(stores.dead_letters, content)
    elif table == keys.COVERAGE:
        rows_of = _pulled(content, homes, stores.firehose.partitions)
        stores.tables.put(table, rows_of)
    elif table == keys.POSTS:
        stores.tables.put(table, content)
        stores.tables.put(keys.BY_TIME, index_rows(content))
    else:
        raise DamagedBackup(f"a backup has no rows of {table}")


def _pulled(content: list[Row], homes: Homes, partitions: int) -> list[Row]:
    """Who was pulled, of those who are homed here, below all switches of this cell; by partitions
    of this log, which may have others."""
    found: list[Row] = []
    for row in content:
        place, author = keys.parse_pair(row.key)
        band = homes.band(place)
        if band:
            only = None if author == EVERYBODY else spread(author) % partitions
            told = repartitioned(coverage.decode(row.value), partitions, only)
            found.append(Row(row.key, floor_of(band), coverage.encode(told)))
    return found


def _write_authors(stores: CellStores, content: Content, homes: Homes | None) -> None:
    """Who was pulled by all: of the readers at these homes; None: of the whole cell, whoever comes
    to it later."""
    assert isinstance(content, list)
    partitions = stores.firehose.partitions
    places = ((keys.place_of(row.key[1:]), row) for row in content)
    told = {
        place: repartitioned(coverage.decode(row.value), partitions, place % partitions)
        for place, row in places
    }
    for start, last, band in () if homes is None else homes.ranges:
        put_authors(stores.tables, Arrival(start, last, band), told)
    if homes is None:
        rows = [Row(keys.hot_key(p), _VERSION, coverage.encode(c)) for p, c in told.items()]
        stores.tables.put(keys.CELL, rows)


def _homed(table: str, rows: FixedRows, homes: Homes) -> FixedRows:
    """The rows of readers who are homed here, in their bands; marks have none."""
    places = np.ascontiguousarray(rows.keys[:, : keys.PREFIX_BYTES]).view(">u8")[:, 0]
    bands = homes.bands(places.astype(np.uint64))
    if table != keys.MARKS:
        rows = rows._replace(versions=bands << _SHIFT | ats_of(rows.versions))
    return taken(rows, bands > 0)


def _add(letters: DeadLetters, rows: list[Row]) -> None:
    for row in rows:
        partition, offset = row.key.decode().split("-")
        reason, value = msgspec.msgpack.decode(row.value, type=tuple[str, bytes])
        letters.add(int(partition), int(offset), row.version, reason, value)
