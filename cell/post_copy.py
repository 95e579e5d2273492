"""Copying the posts that a cell holds into another cell.

A post's row carries where in the log it came from, so rows may be copied while they change, twice,
and late: what the target's workers write for the same events is the same or newer. Removed posts
are copied like all others, or an older write would bring them back.
"""

from collections.abc import Callable

import msgspec

from cell import keys
from cell.by_time import index_rows
from cell.post_rows import read_posts
from cell.tables import Tables

LANES = 4
"""Ranges that are copied side by side: each waits for scans, then for a put."""


class PostLane(msgspec.Struct, frozen=True):
    """A range of keys on its way: all before `next` is copied; `stop` empty: to the table's end.

    `rows` were copied, of `size` bytes (keys and values).
    """

    next: bytes
    stop: bytes
    rows: int = 0
    size: int = 0
    done: bool = False


def post_lanes(count: int = LANES) -> tuple[PostLane, ...]:
    """The whole table in equal ranges, nothing of it copied yet."""
    bounds = [keys.place_bytes((i << 64) // count) for i in range(count)]
    return tuple(
        PostLane(start, stop) for start, stop in zip(bounds, [*bounds[1:], b""], strict=True)
    )


def copy_posts(
    source: Tables, target: Tables, lane: PostLane, limit: int, go_on: Callable[[], bool]
) -> PostLane:
    """Copy in pieces of at most `limit` rows while `go_on`, at least one; what it has come to is
    acknowledged."""
    while not lane.done:
        rows, size, following = read_posts(source, lane.next, lane.stop, limit)
        target.put(keys.POSTS, rows)
        target.put(keys.BY_TIME, index_rows(rows))
        lane = PostLane(
            following, lane.stop, lane.rows + len(rows), lane.size + size, not following
        )
        if not go_on():
            break
    return lane
