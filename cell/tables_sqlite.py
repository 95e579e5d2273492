"""The tables of a cell in an SQLite file.

Each table is an SQL table clustered by key (WITHOUT ROWID), so a range is read in one sweep; the
version rule is part of the write statement.
"""

# ruff: noqa: S608 - names of tables are checked and quoted; all values are bound

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cell.tables import KEY_BYTES_MAX, VALUE_BYTES_MAX, VERSION_MAX, FixedRows, Row
from idgen.errors import BadRequest, Corrupt
from idgen.file_sqlite import Connection, SqliteFile

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PREFIX = "cell:"
_GET_MAX = 512
"""Keys per statement of a `get`."""

Cells = Iterable[tuple[bytes, int, bytes]]


class SqliteTables:
    """The tables seam on one file, for all threads and processes of one machine."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, {})
        self._known: frozenset[str] = frozenset()

    def create(self, names: Sequence[str], splits: int = 8) -> None:
        """Make the tables that do not exist yet; there is nothing to split in one file."""
        del splits
        for name in names:
            if not _NAME.fullmatch(name):
                raise BadRequest("table", f"{name!r} is no table name: use letters, digits, _ . -")

        def job(connection: Connection) -> None:
            for name in names:
                connection.execute(
                    f'CREATE TABLE IF NOT EXISTS "{_PREFIX}{name}" (key BLOB PRIMARY KEY, '
                    "version INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID"
                )

        if not self._known.issuperset(names):
            self._file.write(job)

    def put(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows in one transaction."""
        for key, version, value in rows:
            _check_row(key, version, len(value))
        if rows:
            self._upsert(self._sql_name(table), rows)

    def put_fanout(self, table: str, rows: FixedRows) -> None:
        """Write many rows of one shape in one transaction."""
        n = len(rows.versions)
        if rows.keys.ndim != 2 or rows.values.ndim != 2 or len(rows.keys) != n:
            raise BadRequest("keys", f"must be an array of {n} rows, as versions is")
        if len(rows.values) != n:
            raise BadRequest("values", f"must be an array of {n} rows, as versions is")
        if n == 0:
            return
        for version in (int(rows.versions.min()), int(rows.versions.max())):
            _check_row(rows.keys[0].tobytes(), version, rows.values.shape[1])
        keys, values = _sliced(rows.keys), _sliced(rows.values)
        cells = zip(keys, rows.versions.tolist(), values, strict=True)
        self._upsert(self._sql_name(table), cells)

    def _upsert(self, name: str, rows: Cells) -> None:
        # In key order neighbours meet in one page; the sort is stable, so the last write of an
        # equal version stays the last.
        ordered = sorted(rows, key=_key_of)
        statement = (
            f"INSERT INTO {name} VALUES (?,?,?) ON CONFLICT (key) DO UPDATE "
            "SET version = excluded.version, value = excluded.value "
            "WHERE excluded.version >= version"
        )
        self._file.write(lambda connection: connection.executemany(statement, ordered) and None)

    def put_if(self, table: str, row: Row, expected: bytes | None) -> bool:
        """Write `row` iff the value is `expected` and no higher version is stored."""
        _check_row(row.key, row.version, len(row.value))
        name = self._sql_name(table)

        def job(connection: Connection) -> bool:
            now = connection.execute(
                f"SELECT version, value FROM {name} WHERE key = ?", (row.key,)
            ).fetchone()
            if now is None and expected is None:
                connection.execute(f"INSERT INTO {name} VALUES (?,?,?)", row)
                return True
            if now is None or now[1] != expected or now[0] > row.version:
                return False
            connection.execute(
                f"UPDATE {name} SET version = ?, value = ? WHERE key = ?",
                (row.version, row.value, row.key),
            )
            return True

        return self._file.write(job)

    def get(self, table: str, keys: Sequence[bytes], floor: int = 0) -> list[Row | None]:
        """The rows of `keys` at or above `floor`, in their order."""
        for key in keys:
            _check_key(key)
        name = self._sql_name(table)
        found: dict[bytes, Row] = {}
        if keys and floor <= VERSION_MAX:
            with self._file.reader() as connection:
                for begin in range(0, len(keys), _GET_MAX):
                    chunk = keys[begin : begin + _GET_MAX]
                    # Few different statements, so that they stay prepared: sizes are powers of 2.
                    size = 1 << (len(chunk) - 1).bit_length()
                    asked = [*chunk, *[chunk[-1]] * (size - len(chunk))]
                    marks = ",".join("?" * size)
                    cursor = connection.execute(
                        f"SELECT key, version, value FROM {name} "
                        f"WHERE key IN ({marks}) AND version >= ?",
                        (*asked, floor),
                    )
                    found.update((row[0], Row(*row)) for row in cursor)
        return [found.get(key) for key in keys]

    def scan(
        self,
        table: str,
        start: bytes,
        stop: bytes,
        limit: int,
        *,
        floor: int = 0,
        reverse: bool = False,
        skip: bytes = b"",
    ) -> list[Row]:
        """Up to `limit` rows of the range that are not skipped."""
        rows = self._scan(table, start, stop, limit, floor=floor, reverse=reverse, skip=skip)
        return [Row(*row) for row in rows]

    def scan_fixed(
        self, table: str, start: bytes, stop: bytes, limit: int, *, floor: int = 0
    ) -> FixedRows:
        """Up to `limit` rows of the range as arrays."""
        rows = self._scan(table, start, stop, limit, floor=floor)
        if not rows:
            none = np.zeros((0, 0), dtype=np.uint8)
            return FixedRows(none, np.zeros(0, dtype=np.uint64), none)
        keys, versions, values = zip(*rows, strict=True)
        return FixedRows(
            _stacked(keys, "key", table),
            np.array(versions, dtype=np.uint64),
            _stacked(values, "value", table),
        )

    def _scan(
        self,
        table: str,
        start: bytes,
        stop: bytes,
        limit: int,
        *,
        floor: int,
        reverse: bool = False,
        skip: bytes = b"",
    ) -> list[Any]:
        if limit < 1:
            raise BadRequest("limit", f"is {limit}; ask for at least 1 row")
        name = self._sql_name(table)
        if floor > VERSION_MAX:
            return []
        conditions, values = ["key >= ?", "version >= ?"], [start, floor]
        if stop:
            conditions.append("key < ?")
            values.append(stop)
        if skip:
            # IS NOT, since the substr of an empty blob is NULL.
            conditions.append("substr(value, 1, ?) IS NOT ?")
            values += [len(skip), skip]
        where, order = " AND ".join(conditions), "DESC" if reverse else "ASC"
        return self._file.read(
            f"SELECT key, version, value FROM {name} WHERE {where} ORDER BY key {order} LIMIT ?",
            (*values, min(limit, VERSION_MAX)),
        )

    def sweep(self, table: str, rows: Sequence[tuple[bytes, int]]) -> None:
        """Forget rows up to a version; in this adapter no later write is hidden by it."""
        for key, version in rows:
            _check_row(key, version, 0)
        name = self._sql_name(table)
        if rows:
            statement = f"DELETE FROM {name} WHERE key = ? AND version <= ?"
            self._file.write(lambda connection: connection.executemany(statement, rows) and None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _sql_name(self, table: str) -> str:
        """The quoted SQL name of a table that exists. Raises BadRequest(table)."""
        if table not in self._known:
            rows = self._file.read("SELECT name FROM sqlite_master WHERE type = 'table'")
            names = frozenset(r[len(_PREFIX) :] for (r,) in rows if r.startswith(_PREFIX))
            if table not in names:
                raise BadRequest("table", f"there is no table {table!r}; create it first")
            self._known = names
        self._file.check_open()
        return f'"{_PREFIX}{table}"'


def _key_of(row: tuple[bytes, int, bytes]) -> bytes:
    return row[0]


def _check_key(key: bytes) -> None:
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise BadRequest("keys", f"a key of {len(key)} bytes; it may have 1 to {KEY_BYTES_MAX}")


def _check_row(key: bytes, version: int, value_bytes: int) -> None:
    _check_key(key)
    if not 0 < version <= VERSION_MAX:
        raise BadRequest("versions", f"{version} is outside 1..2^63-1")
    if value_bytes > VALUE_BYTES_MAX:
        raise BadRequest(
            "values", f"a value of {value_bytes} bytes; at most {VALUE_BYTES_MAX} are kept"
        )


def _sliced(rows: np.ndarray[Any, np.dtype[np.uint8]]) -> list[bytes]:
    """The rows of an array of shape (n, w), each as bytes."""
    n, width = rows.shape
    data = rows.tobytes()
    return [data[at : at + width] for at in range(0, n * width, width)] if width else [b""] * n


def _stacked(cells: Sequence[bytes], what: str, table: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Byte strings of one width w as an array of shape (n, w). Raises Corrupt."""
    widths = set(map(len, cells))
    if len(widths) != 1:
        raise Corrupt(
            f"table {table!r} has {what}s of {min(widths)} to {max(widths)} bytes in one range, "
            "where all must be equally wide; find who wrote them"
        )
    flat = np.frombuffer(bytearray().join(cells), dtype=np.uint8)
    return flat.reshape(len(cells), widths.pop())
