"""The live entries of one reader's lane, in order from any place, read as they are asked for.

Gone rows are skipped and the scan goes on: the first call reads what a page usually needs, later
ones let the store skip gone values itself (20 live rows behind 100,000 gone ones: 79 ms instead of
680, measured). Between calls a walk is told how far it has come, so that a bound on time can end a
page anywhere in a run of gone rows.
"""

from collections.abc import Iterator
from typing import NamedTuple

from cell import keys
from cell.cursor import NEWEST, OLDEST, Place
from cell.dashboard import EntryKind
from cell.tables import Row, Tables
from cell.versions import band_of, floor_of
from firehose.event import Lane, PostKind, PostRef
from idgen.errors import Unavailable
from idgen.ids import MAX_ID, MAX_USER, U64

TABLE_OF = {Lane.POSTS: keys.INBOX, Lane.NOTICES: keys.NOTICES}
CHUNK_MAX = 1_000
PLAIN_ROWS = 10_000
"""Rows of a call that skips nothing, where one that skips does not answer in time; about 0.7 MB."""
LANE_MAX = 255
NOTICE_KINDS = 100
"""Added to a notice's kind to make it a kind of entry (thrift/dashboard.thrift)."""


class LiveEntry(NamedTuple):
    """A live row of a lane. `target` is set for notices that have one."""

    place: Place
    kind: EntryKind
    target: PostRef | None


class Seen(NamedTuple):
    """All of a lane was looked at before this place, in the order of the walk."""

    place: Place


class Reader(NamedTuple):
    """Whose dashboard, by place in the key space, and the band of their rows."""

    user: int
    place: int
    band: int


class Range(NamedTuple):
    """Places strictly between `oldest` and `newest`, walked downwards unless `oldest_first`."""

    newest: Place = NEWEST
    oldest: Place = OLDEST
    oldest_first: bool = False


def live_entries(
    tables: Tables, reader: Reader, lane: Lane, within: Range, first_chunk: int
) -> Iterator[LiveEntry | Seen]:
    """The live entries of a lane within a range, in the order of the range.

    Each call but the last is followed by a `Seen`, where that is a step forward.
    """
    same_id: list[LiveEntry] = []
    for rows, more in _chunks(tables, reader, lane, within, first_chunk):
        for row in rows:
            entry = _entry(lane, row, reader.band)
            if entry is None or not within.oldest < entry.place < within.newest:
                continue
            if same_id and same_id[0].place.id != entry.place.id:
                yield from _in_order(same_id, within)
                same_id = []
            same_id.append(entry)
        if more:
            last_id, _ = keys.parse_entry(rows[-1].key)
            if same_id and same_id[0].place.id != last_id:
                yield from _in_order(same_id, within)
                same_id = []
            yield from _seen(last_id, within)
    yield from _in_order(same_id, within)


def _chunks(
    tables: Tables, reader: Reader, lane: Lane, within: Range, chunk: int
) -> Iterator[tuple[list[Row], bool]]:
    """Rows of a lane call by call, and whether there may be more."""
    start, stop = _bounds(reader, within)
    floor, reverse = floor_of(reader.band), within.oldest_first
    skip = b""
    while start < stop or not stop:
        try:
            rows = tables.scan(
                TABLE_OF[lane], start, stop, chunk, floor=floor, reverse=reverse, skip=skip
            )
        except Unavailable:
            if not skip:
                raise
            # Perhaps the gone rows were too many for one call: look at some of them instead.
            chunk, skip = PLAIN_ROWS, b""
            continue
        more = len(rows) == chunk
        yield rows, more
        if not more:
            return
        if reverse:
            stop = rows[-1].key
        else:
            start = rows[-1].key + b"\x00"
        if chunk != PLAIN_ROWS:
            chunk, skip = min(chunk * 4, CHUNK_MAX), keys.GONE


def _seen(last_id: int, within: Range) -> Iterator[Seen]:
    """That all up to `last_id` was looked at, but for entries of that id itself."""
    place = Place(last_id, 0, 0) if within.oldest_first else Place(last_id, LANE_MAX, MAX_USER)
    if within.oldest < place < within.newest:
        yield Seen(place)


def _in_order(same_id: list[LiveEntry], within: Range) -> list[LiveEntry]:
    """Entries of one event id, which lie in the order of their actors, in the range's order.

    Two authors may have brought the same id.
    """
    return sorted(same_id, key=lambda e: e.place, reverse=not within.oldest_first)


def _entry(lane: Lane, row: Row, band: int) -> LiveEntry | None:
    """The entry in a row; None for a gone one and for one of another band."""
    kind = row.value[0]
    if kind == 0 or band_of(row.version) != band:
        return None
    event_id, actor = keys.parse_entry(row.key)
    place = Place(event_id, lane, actor)
    if lane is Lane.POSTS:
        return LiveEntry(place, EntryKind(PostKind(kind)), None)
    notice = keys.parse_notice(row.value)
    target = notice.target if notice.target.id else None
    return LiveEntry(place, EntryKind(notice.kind + NOTICE_KINDS), target)


def _bounds(reader: Reader, within: Range) -> tuple[bytes, bytes]:
    """Keys that enclose the range; its ends are looked at again, as a cursor of one lane
    bounds the other lane too."""
    prefix = keys.place_bytes(reader.place)
    newest = min(within.newest.id, MAX_ID)
    start = prefix + keys.place_bytes(U64 - newest)
    if within.oldest == OLDEST:
        return start, keys.after_prefix(reader.place)
    return start, prefix + keys.place_bytes(U64 - within.oldest.id) + b"\xff" * 9
