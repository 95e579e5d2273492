"""One number for all rows and versions of a cell's tables: equal before and after a replay."""

import hashlib
import struct
from collections.abc import Iterable

from cell import keys
from cell.tables import Tables

CHUNK_ROWS = 5_000
COMPARED = tuple(name for name in keys.TABLES if name != keys.CELL)
"""The cell's own state (owners, stamps) changes with every restart; positions never fall."""

_HEAD = struct.Struct(">QII")


def table_hash(tables: Tables, names: Iterable[str] = COMPARED) -> str:
    """SHA-256 over every key, version and value of the tables, in key order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode() + b"\x00")
        start = b""
        while True:
            rows = tables.scan(name, start, b"", CHUNK_ROWS)
            for row in rows:
                digest.update(_HEAD.pack(row.version, len(row.key), len(row.value)))
                digest.update(row.key)
                digest.update(row.value)
            if len(rows) < CHUNK_ROWS:
                break
            start = rows[-1].key + b"\x00"
    return digest.hexdigest()
