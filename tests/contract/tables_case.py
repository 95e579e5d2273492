"""What the parts of the tables contract share: the store that they ask, and keys of their own."""

import os
import uuid
from collections.abc import Callable

import numpy as np
import pytest

from cell.tables import FixedRows, Row, Tables

OpenTables = Callable[[], Tables]
SHARED = f"contract_{os.getpid()}"
"""Most tests share this table, each under a key prefix of its own: HBase makes tables slowly."""


def fixed(rows: list[Row]) -> FixedRows:
    """Rows of equal widths as arrays."""
    n = len(rows)
    keys = np.frombuffer(b"".join(r.key for r in rows), dtype=np.uint8).reshape(n, -1)
    width = len(rows[0].value)
    values = np.frombuffer(b"".join(r.value for r in rows), dtype=np.uint8).reshape(n, width)
    return FixedRows(keys, np.array([r.version for r in rows], dtype=np.uint64), values)


def loose(rows: FixedRows) -> list[Row]:
    """Arrays as rows."""
    return [
        Row(rows.keys[i].tobytes(), int(rows.versions[i]), rows.values[i].tobytes())
        for i in range(len(rows.versions))
    ]


def after(prefix: bytes) -> bytes:
    """The end of the range of keys that begin with `prefix` (which does not end in ff)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


class TablesCase:
    """A test of a tables adapter."""

    @pytest.fixture
    def open_tables(self) -> OpenTables:
        """Override: a callable that opens one more client of one store, closed by the fixture.

        The store may be shared by all tests and kept between them.
        """
        raise AssertionError("the subclass gives the fixture open_tables")

    @pytest.fixture
    def tables(self, open_tables: OpenTables) -> Tables:
        tables = open_tables()
        tables.create([SHARED], splits=2)
        return tables

    @pytest.fixture
    def at(self) -> bytes:
        """A key prefix of 9 bytes that no other test has."""
        return uuid.uuid4().bytes[:8] + b"/"
