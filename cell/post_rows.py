"""Rows of posts in pieces that are bounded by bytes: a post has from a hundred bytes to 64 KiB."""

from typing import NamedTuple

from cell import keys
from cell.tables import Row, Tables

CALL_ROWS = 100
"""Rows asked for in one call: with bodies as long as they may be such a call brings some 7 MiB."""
PIECE_BYTES = 4 * 1024 * 1024
"""A piece ends with the call that brings so much."""


class PostRows(NamedTuple):
    """Rows, their size in bytes (keys and values), and where to go on; empty: the range is done."""

    rows: list[Row]
    size: int
    next_key: bytes


def read_posts(tables: Tables, start: bytes, stop: bytes, limit: int) -> PostRows:
    """The next posts of start <= key < stop: at most `limit`, and about PIECE_BYTES. An empty
    `stop` is the end of the table."""
    rows: list[Row] = []
    size = 0
    while len(rows) < limit and size < PIECE_BYTES:
        wanted = min(CALL_ROWS, limit - len(rows))
        more = tables.scan(keys.POSTS, start, stop, wanted)
        rows += more
        size += bytes_of(more)
        if len(more) < wanted:
            return PostRows(rows, size, b"")
        start = more[-1].key + b"\0"
    return PostRows(rows, size, start)


def bytes_of(rows: list[Row]) -> int:
    """Bytes of their keys and values."""
    return sum(len(row.key) + len(row.value) for row in rows)
