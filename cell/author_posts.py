"""The posts of an author as rows: what a backfill takes and what an unfollow takes back.

An event reads as of its own offset: posts created before it and not gone at it. A removed post
keeps its creation version in its value for that.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cell import keys
from cell.tables import Row, Tables
from cell.unacknowledged import Unacknowledged
from firehose.codec import Gone, decode_stored, is_gone
from idgen.ids import U64

CHUNK = 500


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
    created = decode_stored(row.value)
    assert not isinstance(created, Gone)
    return AuthorPost(post_id, row.version, 0, created.draft.kind)


def first_runs(tables: Tables, places: Iterable[int], limit: int) -> dict[int, list[Row]]:
    """The first `limit` rows of each author, by place; one call serves neighbours without many."""
    runs: dict[int, list[Row]] = {}
    wanted = sorted(set(places))
    i = 0
    while i < len(wanted):
        rows = tables.scan(keys.POSTS, keys.place_bytes(wanted[i]), b"", limit)
        by_place: dict[int, list[Row]] = {}
        for row in rows:
            by_place.setdefault(keys.parse_pair(row.key)[0], []).append(row)
        runs[wanted[i]] = by_place.get(wanted[i], [])
        # What lies before the last author of the run is known whole; all of it, if it was short.
        known = U64 if len(rows) < limit else keys.parse_pair(rows[-1].key)[0] - 1
        i += 1
        while i < len(wanted) and wanted[i] <= known:
            runs[wanted[i]] = by_place.get(wanted[i], [])
            i += 1
    return runs


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
