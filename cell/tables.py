"""The tables seam: rows that are exact last-writer-wins registers.

A row is a key, a version and a value. Of two writes to a key the one with the higher version
stays, whichever arrives first; an equal version overwrites (and by rule carries the same value).
There is no write without a version and no read with an upper version bound. Removing is a write of
a value that means gone (cell.keys): a store's own delete would hide later writes.

Adapters: HBase and SQLite, one contract suite. A write is durable and visible when the verb
returns; a call is atomic per row only: after an error any part of it may have been applied, so it
is repeated whole. Every verb raises `Unavailable` when the store does not answer in time, and
BadRequest(table|keys|versions|values|limit) for what can never work: an unknown table, an empty
key or one over KEY_BYTES_MAX, a version outside 1..VERSION_MAX, a limit below 1, a value over
VALUE_BYTES_MAX. Nothing is applied then.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

VERSION_MAX = (1 << 63) - 2
"""HBase takes 2^63 - 1 for "now"."""
KEY_BYTES_MAX = 256
VALUE_BYTES_MAX = 1_000_000

Bytes2D = npt.NDArray[np.uint8]
Versions = npt.NDArray[np.uint64]


class Row(NamedTuple):
    """One row: key, version (1..VERSION_MAX) and value (may be empty)."""

    key: bytes
    version: int
    value: bytes


class FixedRows(NamedTuple):
    """Many rows of equal key and value widths, as arrays: keys (n, w), versions (n,), values
    (n, m)."""

    keys: Bytes2D
    versions: Versions
    values: Bytes2D


class Tables(Protocol):
    """The tables of one cell. All verbs may be called by many threads at once."""

    def create(self, names: Sequence[str], splits: int = 8) -> None:
        """Make the tables that do not exist yet, pre-split evenly by the first 8 key bytes."""
        ...

    def put(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows, each at its own version; an empty list does nothing."""
        ...

    def put_fanout(self, table: str, rows: FixedRows) -> None:
        """Write many rows of one shape; the fast form of `put`, for a fan-out. n may be 0."""
        ...

    def put_if(self, table: str, row: Row, expected: bytes | None) -> bool:
        """Write `row` iff the key's value is `expected` now (None: iff there is no row).

        Atomic. The version must be above the stored one to be seen. Returns whether it was written.
        """
        ...

    def get(self, table: str, keys: Sequence[bytes], floor: int = 0) -> list[Row | None]:
        """The rows of `keys`, in their order; None where there is none at or above `floor`."""
        ...

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
        """Up to `limit` rows with start <= key < stop in key order (`reverse`: downwards).

        An empty `stop` is the end of the table. Rows of a version below `floor`, and rows whose
        value begins with a non-empty `skip`, do not count and are not returned. Fewer than
        `limit` rows: there are no more in the range.
        """
        ...

    def scan_fixed(
        self, table: str, start: bytes, stop: bytes, limit: int, *, floor: int = 0
    ) -> FixedRows:
        """`scan` forwards, as arrays; the fast form for rows of equal widths.

        Raises Corrupt when rows of different key or value widths lie in the range. No rows: all
        arrays have n = 0 (their widths are then 0).
        """
        ...

    def sweep(self, table: str, rows: Sequence[tuple[bytes, int]]) -> None:
        """Forget (key, version) for good: the row if its version is <= the given one.

        Housekeeping, for rows that can never be written again: until the store compacts, a later
        write at or below that version may be hidden.
        """
        ...

    def close(self) -> None:
        """Let go of connections; calls of other threads fail with Unavailable."""
        ...
