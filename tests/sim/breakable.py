"""Tables that break at a chosen row: the writer crashes there, or stalls until it is let go."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cell.tables import FixedRows, Row, Tables


class Crash(Exception):
    """The worker is gone; nothing handles this, as nothing handles a kill -9."""


@dataclass
class Breakable:
    """The tables seam over `inner`. After `crash_after(n)` the first n rows of what is written
    next are kept, and the writer is gone; `stall` makes the next writer wait before its write."""

    inner: Tables
    crashed: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rows_left: int | None = None
    _stall: threading.Event | None = None
    _stalled: threading.Event = field(default_factory=threading.Event)

    def crash_after(self, rows: int) -> None:
        """Crash the writer that writes more than `rows` rows from now on."""
        with self._lock:
            self._rows_left = rows

    def stall(self) -> tuple[threading.Event, threading.Event]:
        """The next writer waits before it writes: is it waiting, and let it go."""
        with self._lock:
            self._stall = threading.Event()
            self._stalled = threading.Event()
            return self._stalled, self._stall

    def create(self, names: Sequence[str], splits: int = 8) -> None:
        self.inner.create(names, splits)

    def put(self, table: str, rows: Sequence[Row]) -> None:
        kept = self._allowed(len(rows))
        self.inner.put(table, rows[:kept])
        self._crash_unless(kept == len(rows))

    def put_fanout(self, table: str, rows: FixedRows) -> None:
        keys, versions, values = rows
        kept = self._allowed(len(keys))
        self.inner.put_fanout(table, FixedRows(keys[:kept], versions[:kept], values[:kept]))
        self._crash_unless(kept == len(keys))

    def put_if(self, table: str, row: Row, expected: bytes | None) -> bool:
        self._crash_unless(self._allowed(1) == 1)
        return self.inner.put_if(table, row, expected)

    def get(self, table: str, keys: Sequence[bytes], floor: int = 0) -> list[Row | None]:
        return self.inner.get(table, keys, floor)

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
        return self.inner.scan(table, start, stop, limit, floor=floor, reverse=reverse, skip=skip)

    def scan_fixed(
        self, table: str, start: bytes, stop: bytes, limit: int, *, floor: int = 0
    ) -> FixedRows:
        return self.inner.scan_fixed(table, start, stop, limit, floor=floor)

    def sweep(self, table: str, rows: Sequence[tuple[bytes, int]]) -> None:
        self.inner.sweep(table, rows)

    def close(self) -> None:
        self.inner.close()

    def _allowed(self, rows: int) -> int:
        """How many of `rows` are still written."""
        with self._lock:
            stall, self._stall = self._stall, None
            left = self._rows_left
            if left is not None:
                self._rows_left = left - rows if left >= rows else None
        if stall is not None:
            self._stalled.set()
            stall.wait()
        return rows if left is None else min(rows, left)

    def _crash_unless(self, whole: bool) -> None:
        if not whole:
            self.crashed()
            raise Crash
