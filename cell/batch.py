"""What a batch of events writes, in the order in which it must be acknowledged.

Post rows; then entries, notices, rows by time and their gone values; then edges, likes, fans,
marks and gone post rows; then the post cache. So a state row at a version proves that all of its
event is done.
"""

import time
from collections import defaultdict
from functools import partial

import numpy as np

from cell import keys
from cell.edges import Few, Receivers
from cell.post_cache import PostCache
from cell.side_by_side import SideBySide
from cell.tables import Bytes2D, FixedRows, Row, Tables, Versions
from cell.versions import AT_BITS


class Entries:
    """Inbox entries of many posts, gathered into one write."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._versions: list[int] = []
        self._values = bytearray()
        self._arrays: list[FixedRows] = []
        self._rows: FixedRows | None = None
        self.count = 0

    def add(self, place: int, band: int, event: tuple[int, int, int], value: int) -> None:
        """One entry; `event` is (post id, author, at), `value` the kind byte or 0 for gone."""
        post_id, author, at = event
        self._keys.append(keys.entry_key(place, post_id, author))
        self._versions.append(band << AT_BITS | at)
        self._values.append(value)
        self.count += 1

    def add_few(self, few: Few, event: tuple[int, int, int], value: int) -> None:
        """One entry for each of a few readers."""
        post_id, author, at = event
        n = len(few.prefixes)
        self._keys.append(keys.entry_keys_of(few.prefixes, post_id, author))
        self._versions += [few.band << AT_BITS | at] * n
        self._values += bytes((value,)) * n
        self.count += n

    def add_rows(self, rows: FixedRows) -> None:
        """Many entries as arrays."""
        self._arrays.append(rows)
        self.count += len(rows.versions)

    def rows(self) -> FixedRows:
        """All of them; asked for when there will be no more."""
        if self._rows is None:
            self._rows = self._joined()
        return self._rows

    def _joined(self) -> FixedRows:
        single = FixedRows(
            np.frombuffer(b"".join(self._keys), dtype=np.uint8).reshape(-1, keys.ENTRY_KEY_BYTES),
            np.array(self._versions, dtype=np.uint64),
            np.frombuffer(bytes(self._values), dtype=np.uint8).reshape(-1, 1),
        )
        if not self._arrays:
            return single
        return FixedRows(*(np.concatenate(c) for c in zip(single, *self._arrays, strict=True)))


ALL = slice(None)


def fanout_rows(
    receivers: Receivers, event: tuple[int, int, int], value: int, part: slice = ALL
) -> FixedRows:
    """The entries of one post (id, author, at) for many readers, or a part of them."""
    post_id, author, at = event
    versions: Versions = (receivers.bands[part] << np.uint64(AT_BITS)) | np.uint64(at)
    values: Bytes2D = np.full((len(versions), 1), value, dtype=np.uint8)
    return FixedRows(keys.entry_keys(receivers.places[part], post_id, author), versions, values)


class Batch:
    """The writes of a batch, by phase."""

    def __init__(self) -> None:
        self.posts: list[Row] = []
        self.entries = Entries()
        self.notices: list[Row] = []
        self.by_time: list[Row] = []
        self.state: dict[str, list[Row]] = defaultdict(list)
        self.looked_up: set[int] = set()
        """Authors whose posts were pushed to nobody."""
        self.unpushed: list[int] = []
        """The author of each post that was not pushed because all pull it."""
        self.left_out = 0
        """Entries that were not written because their readers are pulled."""
        self.entries_s = 0.0
        """How long it took to write the entries."""

    def write(self, tables: Tables, side_by_side: SideBySide) -> None:
        """Write all of it, phase by phase; each is acknowledged before the next begins.

        Raises Unavailable with any part of it written; writing it again is harmless.
        """
        tables.put(keys.POSTS, self.posts)
        side_by_side.run(
            [
                partial(self._write_entries, tables),
                lambda: tables.put(keys.NOTICES, self.notices),
                lambda: tables.put(keys.BY_TIME, self.by_time),
            ]
        )
        side_by_side.run([partial(tables.put, name, rows) for name, rows in self.state.items()])

    def _write_entries(self, tables: Tables) -> None:
        rows = self.entries.rows()
        began_s = time.perf_counter()
        tables.put_fanout(keys.INBOX, rows)
        self.entries_s = time.perf_counter() - began_s

    @property
    def row_count(self) -> int:
        """How many rows `write` writes."""
        state = sum(len(rows) for rows in self.state.values())
        single = len(self.posts) + len(self.notices) + len(self.by_time)
        return single + self.entries.count + state

    @property
    def removes_posts(self) -> bool:
        """Whether any post is gone with this batch."""
        return bool(self.state.get(keys.POSTS))

    def tell_cache(self, cache: PostCache, era: bytes) -> bool:
        """Overwrite removed posts in the cache. False: it is away and may hold the old ones."""
        return cache.set_gone({era + row.key: row.value for row in self.state[keys.POSTS]})
