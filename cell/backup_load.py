"""Loading a backup's rows into a cell's tables.

Rows keep where in the log they came from and are lifted into the bands in which their readers are
homed now, as those of an arriving slice; so loading may be repeated, and what is not homed here any
more is left out.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from cell import keys
from cell.backup_files import LETTERS, Content, DamagedBackup, Manifest, read_chunk
from cell.by_time import index_rows
from cell.residents import Homes
from cell.slice_rows import exchanged, taken
from cell.stores import CellStores
from cell.tables import FixedRows, Row
from cell.versions import AT_BITS, ats_of
from firehose.dead_letters import DeadLetters

_SHIFT = np.uint64(AT_BITS)


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
        _write(stores, file.table, read_chunk(folder, file), homes)
        tell(file.rows, file.bytes)


def _write(stores: CellStores, table: str, content: Content, homes: Homes) -> None:
    if isinstance(content, FixedRows):
        rows = _homed(table, content, homes)
        stores.tables.put_fanout(table, rows)
        if table == keys.FOLLOWING:
            stores.tables.put_fanout(keys.FOLLOWERS, exchanged(rows))
    elif table == LETTERS:
        _add(stores.dead_letters, content)
    elif table == keys.POSTS:
        stores.tables.put(table, content)
        stores.tables.put(keys.BY_TIME, index_rows(content))
    else:
        raise DamagedBackup(f"a backup has no rows of {table}")


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
