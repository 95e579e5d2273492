"""The index of all posts by time, for readers who follow so many that their authors cannot be asked
one by one.

A row for each post: a salt, so that what is newest is no hot spot, then `~post_id` and the author;
the kind, or gone; at the version of the post's creation or removal. It follows from the post's row
alone, so whoever copies posts into a cell makes these rows of them.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cell import keys
from cell.author_posts import author_post
from cell.cursor import OLDEST
from cell.lane_scan import Range
from cell.side_by_side import SideBySide
from cell.tables import FixedRows, Row, Tables
from idgen.ids import MAX_ID, U64, U64Array, spread, unspread

SALT_BITS: Final = 4
SALTS: Final = 1 << SALT_BITS
ROWS_FIRST: Final = 64
ROWS_MAX: Final = 4_096
"""Of one salt in one call."""
_KEY = struct.Struct(">BQQ")
_GONE = b"\x00"
_NUMBERS: Final = slice(1, 17)


class Posts(NamedTuple):
    """Live posts as columns, in the order of a page: ids, authors, the `at` of each and kinds."""

    ids: U64Array
    authors: U64Array
    ats: U64Array
    kinds: npt.NDArray[np.uint8]


class Part(NamedTuple):
    """The next posts of a walk, after how many `rows` that were read, and the id up to which (not
    included) that is all; None: to the end."""

    posts: Posts
    rows: int
    upto: int | None


def index_row(author: int, post_id: int, at: int, kind: int) -> Row:
    """The row of a post that was created, or with kind 0 removed, by the event `at`."""
    key = _KEY.pack(_salt(spread(author)), keys.newest_first(post_id), author)
    return Row(key, at, bytes((kind,)))


def index_rows(posts: Sequence[Row]) -> list[Row]:
    """The rows that belong to rows of `posts`."""
    found = []
    for row in posts:
        post = author_post(row)
        author = unspread(keys.place_of(row.key))
        found.append(index_row(author, post.id, row.version, post.kind))
    return found


def posts_by_time(
    tables: Tables, side_by_side: SideBySide, within: Range, floor: int
) -> Iterator[Part]:
    """All live posts of a range of versions from `floor` up, in its order, in parts that grow."""
    lanes = [_Lane(salt, *_bounds(salt, within)) for salt in range(SALTS)]
    limit = ROWS_FIRST
    rows = 0
    left = _NO_POSTS
    while True:
        waiting = [lane for lane in lanes if lane.more and not lane.ahead]
        side_by_side.run([partial(lane.read, tables, limit, floor, within) for lane in waiting])
        rows += sum(lane.rows for lane in waiting)
        left = _joined([left, *(lane.taken() for lane in waiting)], within)
        limit = min(limit * 4, ROWS_MAX)
        open_ = [lane.last for lane in lanes if lane.more]
        if not open_:
            yield Part(left, rows, None)
            return
        # What is beyond the nearest end of any salt may have others of that salt before it.
        nearest = min(open_) if within.oldest_first else max(open_)
        limit_id = np.uint64(nearest)
        ready = left.ids < limit_id if within.oldest_first else left.ids > limit_id
        yield Part(_taken(left, ready), rows, nearest)
        left = _taken(left, ~ready)
        for lane in lanes:
            lane.ahead = lane.last != nearest


class _Lane:
    """The posts of one salt on their way: read up to `last`; `ahead`: further than others are."""

    def __init__(self, salt: int, start: bytes, stop: bytes) -> None:
        self._start = start
        self._stop = stop
        self._salt = salt
        self._rows: FixedRows | None = None
        self.last = 0
        self.rows = 0
        self.more = start < stop
        self.ahead = False

    def read(self, tables: Tables, limit: int, floor: int, within: Range) -> None:
        """Read the next rows."""
        if within.oldest_first:
            rows = _columns(
                tables.scan(
                    keys.BY_TIME, self._start, self._stop, limit, floor=floor, reverse=True
                )
            )
        else:
            rows = tables.scan_fixed(keys.BY_TIME, self._start, self._stop, limit, floor=floor)
        self._rows = rows
        self.rows = len(rows.versions)
        self.more = len(rows.versions) == limit
        if self.more:
            key = rows.keys[-1].tobytes()
            self.last = keys.newest_first(_KEY.unpack(key)[1])
            if within.oldest_first:
                self._stop = key
            else:
                self._start = key + b"\0"

    def taken(self) -> Posts:
        """What was read last, once."""
        rows, self._rows = self._rows, None
        if rows is None or not len(rows.versions):
            return _NO_POSTS
        live = rows.values[:, 0] != 0
        numbers = keys.key_numbers(np.ascontiguousarray(rows.keys[live][:, _NUMBERS]))
        ids = np.uint64(U64) - numbers[:, 0]
        return Posts(ids, numbers[:, 1], rows.versions[live], rows.values[live, 0])


_NO_POSTS: Final = Posts(
    np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint8)
)


def _salt(place: int) -> int:
    return place >> (64 - SALT_BITS) << (8 - SALT_BITS)


def _bounds(salt: int, within: Range) -> tuple[bytes, bytes]:
    """Keys that enclose a range in one salt; its ends are looked at again."""
    first = salt << (8 - SALT_BITS)
    start = _KEY.pack(first, U64 - min(within.newest.id, MAX_ID), 0)
    oldest = 0 if within.oldest == OLDEST else within.oldest.id
    return start, _KEY.pack(first, U64 - oldest, U64) + b"\0"


def _columns(rows: Sequence[Row]) -> FixedRows:
    width = _KEY.size
    return FixedRows(
        np.frombuffer(b"".join(r.key for r in rows), dtype=np.uint8).reshape(-1, width),
        np.array([r.version for r in rows], dtype=np.uint64),
        np.frombuffer(b"".join(r.value for r in rows), dtype=np.uint8).reshape(-1, 1),
    )


def _joined(parts: Sequence[Posts], within: Range) -> Posts:
    """All of them in the order of a page: by id, then by author."""
    columns = Posts(*(np.concatenate(c) for c in zip(*parts, strict=True)))
    order = np.lexsort((columns.authors, columns.ids))
    return _taken(columns, order if within.oldest_first else order[::-1])


def _taken(posts: Posts, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Posts:
    return Posts(posts.ids[which], posts.authors[which], posts.ats[which], posts.kinds[which])
