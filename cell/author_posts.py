"""The posts of an author as rows: what a backfill takes and what an unfollow takes back.

An event reads as of its own offset: posts created before it and not gone at it. A removed post
keeps its creation version in its value for that.
"""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from cell import keys
from cell.side_by_side import SideBySide
from cell.tables import Row, Tables
from cell.unacknowledged import Unacknowledged
from firehose.codec import Gone, decode_stored, is_gone
from idgen.ids import U64

CHUNK = 500
KINDS_MAX = 20_000
NEAR = 4
"""So many authors in one call make it cheaper than a call for each of them."""


class AuthorPost(NamedTuple):
    """A post row: `gone_at` 0 for a live one. Versions are of band 0. `kind` 0 for a gone one."""

    id: int
    created_at: int
    gone_at: int
    kind: int


def author_post(row: Row) -> AuthorPost:
    """What a row of posts says."""
    post_id = keys.post_id_of(row.key)
    if is_gone(row.value):
        gone = decode_stored(row.value)
        assert isinstance(gone, Gone)
        return AuthorPost(post_id, gone.created_version, row.version, 0)
    return AuthorPost(post_id, row.version, 0, _kind_of(row.value))


@lru_cache(KINDS_MAX)
def _kind_of(value: bytes) -> int:
    """The kind of a live post; remembered, since all who follow an author take the same posts."""
    created = decode_stored(value)
    assert not isinstance(created, Gone)
    return created.draft.kind


class Runs:
    """The first rows of authors, read ahead of a batch: of each author up to `limit`.

    While wanted authors lie close to each other in the table, one call from the first of them on
    serves many (all of them where there are few posts or none). Where they lie apart, each has a
    call of its own, side by side.
    """

    def __init__(self, tables: Tables, side_by_side: SideBySide, limit: int) -> None:
        self._tables = tables
        self._side_by_side = side_by_side
        self._limit = limit

    def read(self, places: Iterable[int]) -> dict[int, list[Row]]:
        """The runs of the authors at these places."""
        runs: dict[int, list[Row]] = {}
        left = sorted(set(places))
        while left:
            known, by_place = self._over_many(left[0])
            served = bisect.bisect_right(left, known)
            # One that fills the call by itself is not served by it whole, but as far as asked for.
            served = max(served, 1)
            runs.update((place, by_place.get(place, [])) for place in left[:served])
            left = left[served:]
            if served < NEAR:
                self._each(left, runs)
                return runs
        return runs

    def _over_many(self, place: int) -> tuple[int, dict[int, list[Row]]]:
        """A call from `place` on: the last place that is known whole, and the rows by place."""
        rows = self._tables.scan(keys.POSTS, keys.place_bytes(place), b"", self._limit)
        by_place: dict[int, list[Row]] = {}
        for row in rows:
            by_place.setdefault(keys.parse_pair(row.key)[0], []).append(row)
        known = U64 if len(rows) < self._limit else keys.parse_pair(rows[-1].key)[0] - 1
        return known, by_place

    def _each(self, places: Sequence[int], runs: dict[int, list[Row]]) -> None:
        def read(place: int) -> None:
            start, stop = keys.place_bytes(place), keys.after_prefix(place)
            runs[place] = self._tables.scan(keys.POSTS, start, stop, self._limit)

        self._side_by_side.run([partial(read, place) for place in places])


def newest(
    tables: Tables,
    unacknowledged: Unacknowledged,
    place: int,
    *,
    floor: int = 0,
    run: list[Row] | None = None,
    run_limit: int = CHUNK,
) -> Iterator[AuthorPost]:
    """The author's post rows of versions from `floor` up, newest first, read as they are used.

    `run` is what was read already of the first `run_limit` rows.
    """
    start = keys.place_bytes(place)
    stop = keys.after_prefix(place)
    if run is None:
        run, run_limit = tables.scan(keys.POSTS, start, stop, CHUNK, floor=floor), CHUNK
    while True:
        more = len(run) == run_limit
        until = run[-1].key if more else None
        for row in unacknowledged.over(keys.POSTS, keys.place_bytes(place), run, start, until):
            if row.version >= floor:
                yield author_post(row)
        if until is None:
            return
        start = until + b"\x00"
        run, run_limit = tables.scan(keys.POSTS, start, stop, CHUNK, floor=floor), CHUNK
