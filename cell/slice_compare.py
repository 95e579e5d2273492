"""Comparing what two cells hold of a slice, while both go on applying events.

Rows are read piece by piece from both. Where they differ, both are read again after both cells have
applied a common end of the log: a row that an event below that end has written is settled in both,
so a difference in it is real; one that a later event has written is not, and is read again later.
Only what is live is compared: gone rows may have been swept in one of the two. And an entry that
was pushed in one cell and is to be pulled in the other is no difference.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cell import keys
from cell.author_posts import author_post
from cell.pulled_rows import Entry, pulled_rows
from cell.slice_copy import lifted
from cell.slice_rows import Leg, Walked, exchanged, in_band, read_piece, read_range
from cell.tables import FixedRows, Row, Tables
from cell.versions import at_of, at_of_offset, band_of
from firehose.event import NoticeKind
from idgen.ids import spread

UNEXPLAINED_CHUNK = 2_000


class Pair(NamedTuple):
    """The tables of two cells, the band that a slice has in the target, and the partitions of the
    log."""

    source: Tables
    target: Tables
    band: int
    partitions: int


class Suspect(NamedTuple):
    """A key whose rows were not the same when they were read.

    `band`: the source's. `mark`: the version that a mark had in the source.
    """

    table: str
    key: bytes
    band: int
    mark: int = 0


class Compared(NamedTuple):
    """What one piece has compared: rows read of the source, what differed, how far it has come."""

    walked: Walked
    rows: int
    suspects: tuple[Suspect, ...]


class Difference(NamedTuple):
    """A row that is not the same in both cells: its value in each; None: not there, or gone."""

    table: str
    key: bytes
    source: bytes | None
    target: bytes | None


class _Seen(NamedTuple):
    """A row as of one read: by which event, and its value; None: gone."""

    at: int
    value: bytes | None


def compare_piece(pair: Pair, legs: tuple[Leg, ...], walked: Walked, limit: int) -> Compared:
    """Compare the next piece of the source's legs with what the target has in its range."""
    leg, ours, following = read_piece(pair.source, legs, walked, limit)
    start = walked.key or keys.place_bytes(leg.start)
    stop = following.key if following.leg == walked.leg else keys.after_prefix(leg.last)
    theirs = _rows_of_target(pair, leg, start, stop, limit)
    suspects = _unexplained(pair, _suspects(pair, leg, ours, theirs))
    return Compared(following, len(ours.versions), suspects)


def settled(
    pair: Pair, suspects: Sequence[Suspect], ends: Sequence[int], log_base: int
) -> tuple[list[Difference], list[Suspect]]:
    """What of the suspects differs for good, and what cannot be told yet.

    `ends`: offsets by partition that both cells had applied before this was called, and that were
    read after the suspects were.
    """
    real: list[Difference] = []
    unsettled: list[Suspect] = []
    for suspect in _unexplained(pair, suspects):
        if suspect.table == keys.MARKS:
            real += _mark_behind(pair, suspect)
            continue
        seen = _seen(pair, suspect)
        live = [None if s is None or s.value is None else s for s in seen]
        if live.count(live[0]) == len(live):
            continue
        if all(s is None or s.at <= _end(suspect, s, ends, log_base) for s in seen):
            first = live[0]
            other = next(s for s in live[1:] if s != first)
            real.append(Difference(suspect.table, suspect.key, _value(first), _value(other)))
        else:
            unsettled.append(suspect)
    return real, unsettled


def _unexplained(pair: Pair, suspects: Sequence[Suspect]) -> tuple[Suspect, ...]:
    """Those without the entries that one cell has by a push and that the other one pulls."""
    entries = [s for s in suspects if s.table == keys.INBOX]
    pulled: set[Suspect] = set()
    for i in range(0, len(entries), UNEXPLAINED_CHUNK):
        pulled |= _pulled(pair, entries[i : i + UNEXPLAINED_CHUNK])
    return tuple(s for s in suspects if s not in pulled)


def _pulled(pair: Pair, suspects: Sequence[Suspect]) -> set[Suspect]:
    names = [s.key for s in suspects]
    source, target = (tables.get(keys.INBOX, names) for tables in (pair.source, pair.target))
    not_there: dict[int, list[tuple[Suspect, Entry]]] = {}
    not_here: dict[int, list[tuple[Suspect, Entry]]] = {}
    for suspect, mine, other in zip(suspects, source, target, strict=True):
        ours, theirs = _of_band(mine, suspect.band), _of_band(other, pair.band)
        if ours is not None and ours.value is not None and theirs is None:
            not_there.setdefault(pair.band, []).append((suspect, Entry(suspect.key, ours.at)))
        elif theirs is not None and theirs.value is not None and ours is None:
            not_here.setdefault(suspect.band, []).append((suspect, Entry(suspect.key, theirs.at)))
    return _explained(pair.source, pair.target, not_there, pair.partitions) | _explained(
        pair.target, pair.source, not_here, pair.partitions
    )


def _explained(
    has: Tables, lacks: Tables, by_band: dict[int, list[tuple[Suspect, Entry]]], partitions: int
) -> set[Suspect]:
    """Of entries that one cell has and the other lacks, in a band: those that a push has written
    (and no backfill, which is written everywhere) and that are pulled in the other."""
    found: set[Suspect] = set()
    for band, entries in by_band.items():
        posts = has.get(keys.POSTS, [_post_key(entry.key) for _, entry in entries])
        pushed = [
            (suspect, entry)
            for (suspect, entry), row in zip(entries, posts, strict=True)
            if row is not None and author_post(row).created_at == entry.at
        ]
        pulled = pulled_rows(lacks, band, [entry for _, entry in pushed], partitions)
        found |= {suspect for (suspect, _), is_so in zip(pushed, pulled, strict=True) if is_so}
    return found


def _post_key(entry: bytes) -> bytes:
    post_id, author = keys.parse_entry(entry)
    return keys.post_key(author, post_id)


def _rows_of_target(pair: Pair, leg: Leg, start: bytes, stop: bytes, limit: int) -> FixedRows:
    here = leg._replace(band=pair.band)
    parts: list[FixedRows] = []
    while True:
        rows = read_range(pair.target, here, start, stop, limit)
        parts.append(in_band(rows, here))
        if len(rows.versions) < limit:
            break
        start = rows.keys[-1].tobytes() + b"\0"
    if len(parts) == 1:
        return parts[0]
    filled = [part for part in parts if len(part.versions)] or parts[:1]
    return FixedRows(*(np.concatenate(columns) for columns in zip(*filled, strict=True)))


def _suspects(pair: Pair, leg: Leg, ours: FixedRows, theirs: FixedRows) -> tuple[Suspect, ...]:
    if leg.table == keys.MARKS:
        reached = {
            k.tobytes(): v for k, v in zip(theirs.keys, theirs.versions.tolist(), strict=True)
        }
        marks = zip(ours.keys, ours.versions.tolist(), strict=True)
        behind = ((k.tobytes(), v) for k, v in marks if reached.get(k.tobytes(), 0) < v)
        return tuple(Suspect(leg.table, key, leg.band, version) for key, version in behind)
    names: set[bytes] = set()
    wanted = lifted(ours, pair.band)
    if not _equal(wanted, theirs):
        mine, other = _live(wanted), _live(theirs)
        names = {name for name in mine.keys() | other.keys() if mine.get(name) != other.get(name)}
    if leg.table == keys.FOLLOWING:
        names |= _without_follower(pair, theirs)
    return tuple(Suspect(leg.table, name, leg.band) for name in sorted(names))


def _equal(ours: FixedRows, theirs: FixedRows) -> bool:
    return (
        np.array_equal(ours.keys, theirs.keys)
        and np.array_equal(ours.versions, theirs.versions)
        and np.array_equal(ours.values, theirs.values)
    )


def _live(rows: FixedRows) -> dict[bytes, tuple[int, bytes]]:
    return {
        key.tobytes(): (int(version), value.tobytes())
        for key, version, value in zip(*rows, strict=True)
        if value[0]
    }


def _without_follower(pair: Pair, following: FixedRows) -> set[bytes]:
    """Keys of the target's `following` whose row of `followers` there is not the same."""
    wanted = exchanged(following)
    found = pair.target.get(keys.FOLLOWERS, [key.tobytes() for key in wanted.keys])
    return {
        name.tobytes()
        for name, version, value, row in zip(
            following.keys, wanted.versions, wanted.values, found, strict=True
        )
        if row is None or (row.version, row.value) != (int(version), value.tobytes())
    }


def _seen(pair: Pair, suspect: Suspect) -> list[_Seen | None]:
    """The rows of a key: in the source, in the target, and of an edge the target's other one."""
    (source,) = pair.source.get(suspect.table, [suspect.key])
    (target,) = pair.target.get(suspect.table, [suspect.key])
    found = [_of_band(source, suspect.band), _of_band(target, pair.band)]
    if suspect.table == keys.FOLLOWING:
        (other,) = pair.target.get(keys.FOLLOWERS, [keys.exchanged_pair(suspect.key)])
        found.append(_of_band(other, pair.band))
    return found


def _of_band(row: Row | None, band: int) -> _Seen | None:
    if row is None or band_of(row.version) != band:
        return None
    return _Seen(at_of(row.version), row.value if row.value[0] else None)


def _mark_behind(pair: Pair, suspect: Suspect) -> list[Difference]:
    """A mark only grows: the target has applied what the source had when it was read."""
    (row,) = pair.target.get(keys.MARKS, [suspect.key])
    reached = row.version if row is not None else 0
    if reached >= suspect.mark:
        return []
    source, target = (b"%d" % version for version in (suspect.mark, reached))
    return [Difference(suspect.table, suspect.key, source, target)]


def _end(suspect: Suspect, seen: _Seen, ends: Sequence[int], log_base: int) -> int:
    """The last event, as in versions, below the end of the partition that writes the row."""
    places = _writers(suspect, seen.value)
    end = min(ends[place % len(ends)] for place in places)
    return at_of_offset(log_base, end) - 1


def _writers(suspect: Suspect, value: bytes | None) -> list[int]:
    """The places of those in whose partition the events are that may have written a row."""
    prefix = keys.place_of(suspect.key)
    actor = spread(keys.last_number(suspect.key))
    if suspect.table == keys.FANS:
        return [prefix]
    if suspect.table == keys.NOTICES:
        if value is None:  # gone, so that it cannot be told what it was
            return [prefix, actor]
        return [prefix if keys.parse_notice(value).kind is NoticeKind.FOLLOW else actor]
    return [actor]


def _value(seen: _Seen | None) -> bytes | None:
    return None if seen is None else seen.value
