"""Comparing the posts of two cells, which every cell holds alike, while both go on applying events.

A range is read piece by piece from both. What of it each cell holds comes down to a digest that can
be added up over pieces, so that a sub-range of any size is the same in both iff its digests are;
within a piece whose digests differ the rows are compared. Rows that differ are suspects: they are
read again after both cells have applied a common end of the log. A row that an event below that end
has written is settled, so a difference in it is real.

A gone row of which the other cell holds nothing is no difference: gone rows are swept.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cell import keys
from cell.post_rows import CALL_ROWS, bytes_of, read_posts
from cell.tables import Row, Tables
from cell.versions import at_of, at_of_offset
from firehose.codec import is_gone
from idgen.ids import unspread

_DIGEST_BYTES = 8
_DIGEST_MASK = (1 << 8 * _DIGEST_BYTES) - 1


class Digest(NamedTuple):
    """What a cell holds of a range: how many rows, and the sum of the rows' hashes, 64 bits.

    Digests of neighbouring ranges are added up to that of both.
    """

    rows: int = 0
    total: int = 0

    def plus(self, other: "Digest") -> "Digest":
        """The digest of two ranges that do not overlap."""
        return Digest(self.rows + other.rows, (self.total + other.total) & _DIGEST_MASK)


class ComparedPosts(NamedTuple):
    """What one piece has compared.

    `next_key`: where to go on; empty: the range is done. `suspects`: keys whose rows were not the
    same. `source`, `target`: the digests of the piece in each cell. `rows`, `bytes`: of the source,
    keys and values.
    """

    next_key: bytes
    suspects: tuple[bytes, ...]
    source: Digest
    target: Digest
    rows: int
    bytes: int


class PostRow(NamedTuple):
    """A row of posts as far as a difference tells it: `hash` is of key, version and value."""

    version: int
    gone: bool
    hash: int


class PostDifference(NamedTuple):
    """A post that is not the same in both cells; None: the cell has no row of it."""

    key: bytes
    source: PostRow | None
    target: PostRow | None

    @property
    def author(self) -> int:
        """Who wrote it."""
        return unspread(keys.place_of(self.key))

    @property
    def post_id(self) -> int:
        """Its id."""
        return keys.post_id_of(self.key)


def compare_posts(
    source: Tables, target: Tables, start: bytes, stop: bytes, limit: int
) -> ComparedPosts:
    """Compare the next piece of start <= key < stop; an empty `stop` is the end of the table.

    Of each cell at most `limit` rows are read, and about PIECE_BYTES.
    """
    ours, _, reach = read_posts(source, start, stop, limit)
    theirs, _, their_reach = read_posts(target, start, stop, limit)
    # One cell may have many rows where the other has few: what both have been read up to counts.
    until = min(reach, their_reach, key=lambda key: (not key, key))
    ours, theirs = (_below(rows, until) for rows in (ours, theirs))
    mine, other = digest(ours), digest(theirs)
    suspects = _suspects(ours, theirs) if mine != other else ()
    return ComparedPosts(until, suspects, mine, other, len(ours), bytes_of(ours))


def settle_posts(
    source: Tables,
    target: Tables,
    suspects: Sequence[bytes],
    ends: Sequence[int],
    log_base: int,
) -> tuple[list[PostDifference], list[bytes]]:
    """What of the suspects differs for good, and which cannot be told yet.

    `ends`: offsets by partition that both cells had applied before this was called, and that were
    read after the suspects were.
    """
    real: list[PostDifference] = []
    unsettled: list[bytes] = []
    for begin in range(0, len(suspects), CALL_ROWS):
        some = list(suspects[begin : begin + CALL_ROWS])
        pairs = zip(source.get(keys.POSTS, some), target.get(keys.POSTS, some), strict=True)
        for key, (mine, other) in zip(some, pairs, strict=True):
            if _same(mine, other):
                continue
            end = ends[keys.place_of(key) % len(ends)]  # posts are their author's partition's
            settled_at = at_of_offset(log_base, end) - 1
            if all(row is None or at_of(row.version) <= settled_at for row in (mine, other)):
                real.append(PostDifference(key, _told(mine), _told(other)))
            else:
                unsettled.append(key)
    return real, unsettled


def digest(rows: Iterable[Row]) -> Digest:
    """The digest of rows, in any order."""
    hashes = [_hash(row) for row in rows]
    return Digest(len(hashes), sum(hashes) & _DIGEST_MASK)


def _below(rows: list[Row], until: bytes) -> list[Row]:
    return [row for row in rows if not until or row.key < until]


def _suspects(ours: list[Row], theirs: list[Row]) -> tuple[bytes, ...]:
    mine, other = ({row.key: row for row in rows} for rows in (ours, theirs))
    names = sorted(mine.keys() | other.keys())
    return tuple(name for name in names if not _same(mine.get(name), other.get(name)))


def _same(mine: Row | None, other: Row | None) -> bool:
    if mine is None or other is None:
        row = mine or other
        return row is None or is_gone(row.value)
    return mine == other


def _told(row: Row | None) -> PostRow | None:
    return None if row is None else PostRow(row.version, is_gone(row.value), _hash(row))


def _hash(row: Row) -> int:
    head = b"%d %d " % (row.version, len(row.key))
    hashed = hashlib.blake2b(head + row.key + row.value, digest_size=_DIGEST_BYTES)
    return int.from_bytes(hashed.digest(), "big")

