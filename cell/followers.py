"""Follower sets: the edges of a worker's authors, in a bounded memory over the followers table.

Loading reads ahead: a scan from the first author wanted goes on for a chunk of rows, and every
owned author in it is kept, for rows are cheap and calls are not (850,000 rows/s against 3,000
calls/s). Ranges that were read whole are remembered until something is forgotten, so an author
without followers costs no call.
"""

import bisect
from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from cell import keys
from cell.edges import Edge, EdgeSet, edge_set
from cell.keys import FOLLOWERS
from cell.residents import Homes
from cell.tables import FixedRows, Row, Tables
from cell.unacknowledged import Unacknowledged
from cell.versions import bands_of
from idgen.ids import U64, U64Array, spread_array

CHUNK_MIN = 256
CHUNK_MAX = 20_000
CALL_ROWS = 1_000
"""Rows that are cheaper to read over than to skip by another call."""


class FollowerSets:
    """Edge sets by the author's place. Used by one worker thread.

    `owns(places)` tells which authors are the worker's own; only these are kept. `homes(place)`
    tells who is homed here for the next events of an author; when that changes, what is in memory
    no longer holds: `clear`.
    """

    def __init__(
        self,
        tables: Tables,
        owns: Callable[[U64Array], npt.NDArray[np.bool_]],
        homes: Callable[[int], Homes],
        edges_max: int,
    ) -> None:
        self._tables = tables
        self._owns = owns
        self._homes = homes
        self._edges_max = edges_max
        self._sets: OrderedDict[int, EdgeSet] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self._used: set[int] = set()
        self._weight = 0
        self._read: list[tuple[int, int]] = []
        self._last = U64  # the end of the last scan, and its rows per place
        self._density = 1.0

    def __len__(self) -> int:
        """How many edges (and authors) are in memory, as of the last `trim`."""
        return self._weight

    def clear(self) -> None:
        """Forget everything (partitions came or went, or a write failed)."""
        self._sets.clear()
        self._sizes.clear()
        self._used.clear()
        self._weight = 0
        self._read.clear()

    def trim(self) -> None:
        """Forget the least recently used sets beyond the bound. Between batches only."""
        for place in self._used:
            if not self._sets[place] and self._is_read(place):
                # Known to be empty without it: most authors have nobody here who follows them.
                del self._sets[place]
                self._weight -= self._sizes.pop(place, 0)
                continue
            size = len(self._sets[place]) + 1
            self._weight += size - self._sizes.get(place, 0)
            self._sizes[place] = size
        self._used.clear()
        while self._weight > self._edges_max and self._sets:
            place, _ = self._sets.popitem(last=False)
            self._weight -= self._sizes.pop(place, 0)
            self._read.clear()

    def load(self, places: Iterable[int], unacknowledged: Unacknowledged) -> None:
        """Have the sets of these authors in memory."""
        chunk = CHUNK_MIN
        for place in sorted(set(places)):
            if place in self._sets:
                self._sets.move_to_end(place)
                continue
            if self._is_read(place):
                self._keep_set(place, EdgeSet())
                continue
            rows_between = (place - self._last) * self._density
            chunk = min(chunk * 4, CHUNK_MAX) if 0 <= rows_between < CALL_ROWS else CHUNK_MIN
            self._load_from(place, chunk, unacknowledged)
            if place not in self._sets:
                self._keep_set(place, EdgeSet())

    def of(self, place: int) -> EdgeSet:
        """The set of an author that was loaded; whoever asks may change it."""
        self._used.add(place)
        return self._sets[place]

    def size(self, place: int) -> int | None:
        """How many edges the set of an author has, gone ones too; None: it is not in memory."""
        edges = self._sets.get(place)
        return None if edges is None else len(edges)

    def _keep_set(self, place: int, edges: EdgeSet) -> None:
        self._used.add(place)
        self._sets[place] = edges

    def _is_read(self, place: int) -> bool:
        i = bisect.bisect_right(self._read, (place, U64)) - 1
        return i >= 0 and place <= self._read[i][1]

    def _load_from(self, place: int, chunk: int, unacknowledged: Unacknowledged) -> None:
        """Read a chunk of rows from `place` on, or all rows of its author if there are more."""
        start = keys.place_bytes(place)
        rows = self._tables.scan_fixed(FOLLOWERS, start, b"", chunk)
        n = len(rows.versions)
        numbers = key_numbers_or_empty(rows)
        last = U64
        if n == chunk:
            last = int(numbers[-1, 0]) - 1
            if last < place:  # one author fills the chunk: read this author alone, to the end
                self._keep_set(place, self._set_of(self._rest(place, rows), unacknowledged))
                self._remember(place, place)
                return
            keep = numbers[:, 0] <= np.uint64(last)
            rows = FixedRows(rows.keys[keep], rows.versions[keep], rows.values[keep])
            numbers = numbers[keep]
        if len(rows.versions):
            self._keep(rows, numbers[:, 0], unacknowledged)
        self._remember(place, last)
        self._last, self._density = last, n / (last - place + 1)

    def _rest(self, place: int, first: FixedRows) -> FixedRows:
        stop = keys.after_prefix(place)
        parts = [first]
        while len(parts[-1].versions) and not self._reaches_past(parts[-1], place):
            start = parts[-1].keys[-1].tobytes() + b"\x00"
            more = self._tables.scan_fixed(FOLLOWERS, start, stop, CHUNK_MAX)
            if not len(more.versions):
                break
            parts.append(more)
        columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
        whole = FixedRows(*columns)
        own = keys.key_numbers(whole.keys)[:, 0] == np.uint64(place)
        return FixedRows(whole.keys[own], whole.versions[own], whole.values[own])

    @staticmethod
    def _reaches_past(rows: FixedRows, place: int) -> bool:
        return int.from_bytes(rows.keys[-1, :8].tobytes(), "big") > place

    def _keep(
        self, rows: FixedRows, authors: U64Array, unacknowledged: Unacknowledged
    ) -> None:
        bounds = np.flatnonzero(np.diff(authors)) + 1
        starts = [0, *bounds.tolist()]
        stops = [*bounds.tolist(), len(authors)]
        owned = self._owns(authors[starts])
        for start, stop, own in zip(starts, stops, owned.tolist(), strict=True):
            place = int(authors[start])
            if own and place not in self._sets:
                part = FixedRows(
                    rows.keys[start:stop], rows.versions[start:stop], rows.values[start:stop]
                )
                self._keep_set(place, self._set_of(part, unacknowledged))

    def _set_of(self, rows: FixedRows, unacknowledged: Unacknowledged) -> EdgeSet:
        """The set without rows of other bands, and with the worker's own writes."""
        if not len(rows.versions):
            return EdgeSet()
        numbers = keys.key_numbers(rows.keys)
        places = spread_array(numbers[:, 1])
        homes = self._homes(int(numbers[0, 0]))
        present = homes.bands(places) == bands_of(rows.versions)
        kept = FixedRows(rows.keys[present], rows.versions[present], rows.values[present])
        edges = edge_set(kept) if len(kept.versions) else EdgeSet()
        author = rows.keys[0, :8].tobytes()
        for row in unacknowledged.over(FOLLOWERS, author, ()):
            put_row(edges, row)
        return edges

    def _remember(self, first: int, last: int) -> None:
        bisect.insort(self._read, (first, last))
        merged: list[tuple[int, int]] = []
        for start, end in self._read:
            if merged and start <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        self._read = merged


def put_row(edges: EdgeSet, row: Row) -> None:
    """Put a row of `followers` into a set, unless the set has a newer one."""
    _, follower = keys.parse_pair(row.key)
    have = edges.get(follower)
    if have is None or have.version <= row.version:
        live, floor = keys.parse_flagged(row.value)
        edges.set(follower, Edge(row.version, live, floor))


def key_numbers_or_empty(rows: FixedRows) -> U64Array:
    """`keys.key_numbers`, also of no rows."""
    if not len(rows.versions):
        return np.zeros((0, 2), dtype=np.uint64)
    return keys.key_numbers(rows.keys)

