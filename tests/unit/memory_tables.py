"""The tables seam in memory: quick enough for thousands of lives of a cell, and easy to break.

It keeps the contract (tests/contract/test_tables_memory.py). `before` is called ahead of every verb
that writes, with the verb's table and rows; what it returns is written, and it may raise.
"""

import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np

from cell.tables import KEY_BYTES_MAX, VALUE_BYTES_MAX, VERSION_MAX, FixedRows, Row
from idgen.errors import BadRequest, Corrupt, Unavailable


class Table:
    """One table: rows by key, and the keys in order."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self._order: list[bytes] | None = []

    def put(self, row: Row) -> None:
        have = self.rows.get(row.key)
        if have is None:
            self._order = None
        elif have.version > row.version:
            return
        self.rows[row.key] = row

    def drop(self, key: bytes) -> None:
        del self.rows[key]
        self._order = None

    @property
    def order(self) -> list[bytes]:
        if self._order is None:
            self._order = sorted(self.rows)
        return self._order


class Store:
    """What several clients share."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.lock = threading.RLock()

    def dump(self) -> dict[tuple[str, bytes], tuple[int, bytes]]:
        """All rows with their versions, but for the cell's own state."""
        return {
            (name, row.key): (row.version, row.value)
            for name, table in self.tables.items()
            if name != "cell"
            for row in table.rows.values()
        }


class MemoryTables:
    """`cell.tables.Tables` over a `Store`."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or Store()
        self.closed = False
        self.scans = 0

    def create(self, names: Sequence[str], splits: int = 8) -> None:
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
                raise BadRequest("table", f"{name!r} is no table name")
        with self.store.lock:
            for name in names:
                self.store.tables.setdefault(name, Table())

    def put(self, table: str, rows: Sequence[Row]) -> None:
        _check(rows)
        with self._table(table) as found:
            for row in rows:
                found.put(Row(*row))

    def put_fanout(self, table: str, rows: FixedRows) -> None:
        n = len(rows.versions)
        if rows.keys.ndim != 2 or rows.values.ndim != 2 or len(rows.keys) != n:
            raise BadRequest("keys", "must have as many rows as versions")
        if len(rows.values) != n:
            raise BadRequest("values", "must have as many rows as versions")
        self.put(table, loose(rows))

    def put_if(self, table: str, row: Row, expected: bytes | None) -> bool:
        _check([row])
        with self._table(table) as found:
            now = found.rows.get(row.key)
            if (None if now is None else now.value) != expected:
                return False
            if now is not None and now.version > row.version:
                return False
            found.put(Row(*row))
            return True

    def get(self, table: str, keys: Sequence[bytes], floor: int = 0) -> list[Row | None]:
        for key in keys:
            _check_key(key)
        with self._table(table) as found:
            rows = [found.rows.get(key) for key in keys]
            return [None if r is None or r.version < floor else r for r in rows]

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
        if limit < 1:
            raise BadRequest("limit", f"is {limit}; ask for at least 1 row")
        self.scans += 1
        with self._table(table) as found:
            order = found.order
            first = bisect_left(order, start)
            last = bisect_left(order, stop) if stop else len(order)
            places = range(last - 1, first - 1, -1) if reverse else range(first, last)
            rows: list[Row] = []
            for i in places:
                row = found.rows[order[i]]
                if row.version < floor or (skip and row.value.startswith(skip)):
                    continue
                rows.append(row)
                if len(rows) == limit:
                    break
            return rows

    def scan_fixed(
        self, table: str, start: bytes, stop: bytes, limit: int, *, floor: int = 0
    ) -> FixedRows:
        rows = self.scan(table, start, stop, limit, floor=floor)
        if not rows:
            none = np.zeros((0, 0), dtype=np.uint8)
            return FixedRows(none, np.zeros(0, dtype=np.uint64), none)
        if len({(len(r.key), len(r.value)) for r in rows}) > 1:
            raise Corrupt("rows of different widths")
        n = len(rows)
        return FixedRows(
            np.frombuffer(b"".join(r.key for r in rows), dtype=np.uint8).reshape(n, -1),
            np.array([r.version for r in rows], dtype=np.uint64),
            np.frombuffer(b"".join(r.value for r in rows), dtype=np.uint8).reshape(
                n, len(rows[0].value)
            ),
        )

    def sweep(self, table: str, rows: Sequence[tuple[bytes, int]]) -> None:
        _check([Row(key, version, b"") for key, version in rows])
        with self._table(table) as found:
            for key, version in rows:
                if key in found.rows and found.rows[key].version <= version:
                    found.drop(key)

    def close(self) -> None:
        self.closed = True

    def _table(self, name: str) -> "_Locked":
        if self.closed:
            raise Unavailable("closed")
        if name not in self.store.tables:
            raise BadRequest("table", f"there is no table {name!r}")
        return _Locked(self.store.lock, self.store.tables[name])


class _Locked:
    def __init__(self, lock: threading.RLock, table: Table) -> None:  # type: ignore[valid-type]
        self._lock = lock
        self._table = table

    def __enter__(self) -> Table:
        self._lock.acquire()  # type: ignore[attr-defined]
        return self._table

    def __exit__(self, *_: object) -> None:
        self._lock.release()  # type: ignore[attr-defined]


def loose(rows: FixedRows) -> list[Row]:
    """Arrays as rows."""
    columns = (rows.keys, rows.versions.tolist(), rows.values)
    return [Row(k.tobytes(), v, x.tobytes()) for k, v, x in zip(*columns, strict=True)]


Breaker = Callable[[str, list[Row]], list[Row]]


class BreakableTables(MemoryTables):
    """A client whose batches can be torn or kept back: `breaker` sees each write, gives what of it
    is written now, and may raise afterwards by `fail`."""

    def __init__(self, store: Store, breaker: Breaker) -> None:
        super().__init__(store)
        self._breaker = breaker

    def put(self, table: str, rows: Sequence[Row]) -> None:
        super().put(table, self._breaker(table, [Row(*row) for row in rows]))


def _check_key(key: bytes) -> None:
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise BadRequest("keys", f"a key of {len(key)} bytes")


def _check(rows: Sequence[Row]) -> None:
    for key, version, value in rows:
        _check_key(key)
        if not 0 < version <= VERSION_MAX:
            raise BadRequest("versions", f"{version} is outside 1..2^63-2")
        if len(value) > VALUE_BYTES_MAX:
            raise BadRequest("values", f"a value of {len(value)} bytes")
