"""Whether the two tables of edges say the same: every row of `following` is one of `followers`
with the users exchanged, at the same version and with the same value, and the other way round.

One event writes both, but two reads see them at two moments: what differs is a suspect, and is read
again after the cell has applied an end of the log. A row that an event below that end has written
is settled, so a difference in it is real.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cell import keys
from cell.residents import Homes
from cell.slice_rows import Leg, exchanged, in_band, read_range, taken
from cell.tables import FixedRows, Row, Tables
from cell.versions import at_of, at_of_offset, band_of, bands_of
from idgen.ids import partition_of, spread, spread_array

CHUNK = 5_000


class ComparedEdges(NamedTuple):
    """How many rows were compared with those of the other table, and the keys, as `following` has
    them, of those that are not the same."""

    rows: int
    suspects: tuple[bytes, ...]


class EdgeDifference(NamedTuple):
    """An edge that the two tables do not hold alike; None: there is no row."""

    follower: int
    author: int
    following: Row | None
    followers: Row | None


def edges_of_follower(tables: Tables, homes: Homes, follower: int) -> ComparedEdges:
    """All rows of `following` of one who is homed here, beside those of `followers`."""
    place = spread(follower)
    leg = Leg(keys.FOLLOWING, place, place, homes.band(place))
    start, stop = keys.place_bytes(place), keys.after_prefix(place)
    count, suspects = 0, list[bytes]()
    while leg.band:
        found = read_range(tables, leg, start, stop, CHUNK)
        rows = in_band(found, leg)
        count += len(rows.versions)
        suspects += (rows.keys[i].tobytes() for i in _unlike(tables, rows, keys.FOLLOWERS))
        if len(found.versions) < CHUNK:
            break
        start = found.keys[-1].tobytes() + b"\0"
    return ComparedEdges(count, tuple(suspects))


def edges_of_authors(
    tables: Tables, homes: Homes, start: int, last: int, limit: int
) -> ComparedEdges:
    """The first up to `limit` rows of `followers` of the authors at places start..last, beside
    those of `following`; rows of readers who are not homed here any more do not count."""
    stop = keys.after_prefix(last)
    rows = tables.scan_fixed(keys.FOLLOWERS, keys.place_bytes(start), stop, limit)
    if len(rows.versions):
        bands = homes.bands(spread_array(keys.key_numbers(rows.keys)[:, 1]))
        rows = taken(rows, (bands > 0) & (bands == bands_of(rows.versions)))
    return ComparedEdges(
        len(rows.versions),
        tuple(
            keys.exchanged_pair(rows.keys[i].tobytes())
            for i in _unlike(tables, rows, keys.FOLLOWING)
        ),
    )


def settle_edges(
    tables: Tables, homes: Homes, suspects: Sequence[bytes], ends: Sequence[int], log_base: int
) -> tuple[list[EdgeDifference], list[bytes]]:
    """What of the suspects differs for good, and which cannot be told yet.

    `ends`: offsets by partition that the cell had applied before this was called, and that were
    read after the suspects were.
    """
    mirrored = [keys.exchanged_pair(key) for key in suspects]
    pairs = zip(
        suspects,
        tables.get(keys.FOLLOWING, suspects),
        tables.get(keys.FOLLOWERS, mirrored),
        strict=True,
    )
    real: list[EdgeDifference] = []
    unsettled: list[bytes] = []
    for key, following, followers in pairs:
        place, author = keys.parse_pair(key)
        band = homes.band(place)
        ours, theirs = (
            row if row is not None and band and band_of(row.version) == band else None
            for row in (following, followers)
        )
        if _same(ours, theirs):
            continue
        settled_at = at_of_offset(log_base, ends[partition_of(author, len(ends))]) - 1
        if all(row is None or at_of(row.version) <= settled_at for row in (ours, theirs)):
            follower = keys.parse_pair(keys.exchanged_pair(key))[1]
            real.append(EdgeDifference(follower, author, ours, theirs))
        else:
            unsettled.append(key)
    return real, unsettled


def _unlike(tables: Tables, rows: FixedRows, table: str) -> list[int]:
    """The indexes of rows that `table` does not hold with users exchanged."""
    if not len(rows.versions):
        return []
    wanted = exchanged(rows)
    found = tables.get(table, [key.tobytes() for key in wanted.keys])
    pairs = zip(wanted.versions.tolist(), wanted.values, found, strict=True)
    unlike = [
        row is None or (row.version, row.value) != (version, value.tobytes())
        for version, value, row in pairs
    ]
    return [int(i) for i in np.flatnonzero(unlike)]


def _same(ours: Row | None, theirs: Row | None) -> bool:
    """Gone edges may have been swept in one of the tables."""
    if ours is None or theirs is None:
        row = ours or theirs
        return row is None or not keys.parse_flagged(row.value).live
    return (ours.version, ours.value) == (theirs.version, theirs.value)
