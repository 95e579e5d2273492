"""A worker's own writes that its tables do not show yet, so that it reads through them.

A batch is evaluated before any of it is written, and the last rows of an event in progress are
held back until it is done; what is evaluated next must see both.
"""

from collections import defaultdict
from collections.abc import Iterable

from cell.keys import FOLLOWERS, POSTS, PREFIX_BYTES
from cell.tables import Row

_SCANNED = (POSTS, FOLLOWERS)
"""The tables of which a worker reads all rows of one author."""


class Unacknowledged:
    """Rows by table and key, the newest version of each."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[bytes, Row]] = defaultdict(dict)
        self._prefixes: dict[str, dict[bytes, list[bytes]]] = {
            table: defaultdict(list) for table in _SCANNED
        }

    def put(self, table: str, row: Row) -> None:
        """Keep `row` unless a newer one of its key is kept."""
        rows = self._rows[table]
        have = rows.get(row.key)
        if have is None:
            if table in self._prefixes:
                self._prefixes[table][row.key[:PREFIX_BYTES]].append(row.key)
        elif have.version > row.version:
            return
        rows[row.key] = row

    def newest(self, table: str, key: bytes, stored: Row | None) -> Row | None:
        """The newest of `stored` and what is kept of this key."""
        have = self._rows[table].get(key)
        if have is None or (stored is not None and stored.version > have.version):
            return stored
        return have

    def over(
        self,
        table: str,
        prefix: bytes,
        stored: Iterable[Row],
        start: bytes = b"",
        until: bytes | None = None,
    ) -> list[Row]:
        """The rows of `prefix` from key `start` to `until` (None: the end), in key order: the
        `stored` ones, which all lie there, and those kept; the newest of each."""
        kept = self._prefixes[table].get(prefix)
        if not kept:
            return list(stored)
        merged = {row.key: row for row in stored}
        for key in kept:
            if key < start or (until is not None and key > until):
                continue
            row = self._rows[table][key]
            if key not in merged or merged[key].version <= row.version:
                merged[key] = row
        return [merged[key] for key in sorted(merged)]
