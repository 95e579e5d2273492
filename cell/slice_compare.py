"""Comparing what two cells hold of a slice, while both go on applying events.

Rows are read piece by piece from both. Where they differ, both are read again after both cells have
applied a common end of the log: a row that an event below that end has written is settled in both,
so a difference in it is real; one that a later event has written is not, and is read again later.
Only what is live is compared: gone rows may have been swept in one of the two.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cell import keys
from cell.slice_copy import lifted
from cell.slice_rows import Leg, Walked, exchanged, in_band, read_piece, read_range
from cell.tables import FixedRows, Row, Tables
from cell.versions import at_of, at_of_offset, band_of
from firehose.event import NoticeKind
from idgen.ids import spread


class Pair(NamedTuple):
    """The tables of two cells, and the band that a slice has in the target."""

    source: Tables
    target: Tables
    band: int


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
    return Compared(following, len(ours.versions), _suspects(pair, leg, ours, theirs))


def settled(
    pair: Pair, suspects: Sequence[Suspect], ends: Sequence[int], log_base: int
) -> tuple[list[Difference], list[Suspect]]:
    """What of the suspects differs for good, and what cannot be told yet.

    `ends`: offsets by partition that both cells had applied before this was called, and that were
    read after the suspects were.
    """
    real: list[Difference] = []
    unsettled: list[Suspect] = []
    for suspect in suspects:
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
