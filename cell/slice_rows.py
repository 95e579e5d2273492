"""The rows of a slice of readers: which tables they lie in, and a walk over them in bounded pieces.

What a cell holds of a slice is read leg by leg: one table, one range of places, one band. State
rows come first (edges, likes, fans), then entries, notices and marks: a state row proves that all
of its event is done, so whoever copies in this order never has a state row whose entries it lacks.
"""

from typing import NamedTuple

import msgspec
import numpy as np

from cell import keys
from cell.residents import Ranges
from cell.tables import FixedRows, Tables
from cell.versions import bands_of, floor_of
from idgen.ids import spread_array, unspread_array

STATE_TABLES = (keys.FOLLOWING, keys.LIKES, keys.FANS)
LANE_TABLES = (keys.INBOX, keys.NOTICES)
SLICE_TABLES = (*STATE_TABLES, *LANE_TABLES, keys.MARKS)
"""Keyed by the place of a reader (of likes and fans: of the author who is homed in the slice).
`followers` is keyed by others: its rows are those of `following` with their users exchanged."""


class Leg(NamedTuple):
    """One table's rows of the readers at start..last (both included), in one band."""

    table: str
    start: int
    last: int
    band: int


class Walked(msgspec.Struct, frozen=True):
    """How far a walk has come: the rows before `key` of leg number `leg` are done."""

    leg: int = 0
    key: bytes = b""


class Piece(NamedTuple):
    """Rows of one leg, and how far the walk has come with them."""

    leg: Leg
    rows: FixedRows
    walked: Walked


def legs_of(ranges: Ranges) -> tuple[Leg, ...]:
    """The legs of a slice that a cell holds in these ranges, in the order of copying."""
    return tuple(Leg(table, *within) for table in SLICE_TABLES for within in ranges)


def moved_legs(ranges: Ranges) -> tuple[Leg, ...]:
    """The same with who is pulled in front, whose rows are not of one width: what was not pushed is
    looked at before the entries, for it may be written behind it at any time."""
    return (*(Leg(keys.COVERAGE, *within) for within in ranges), *legs_of(ranges))


def read_piece(tables: Tables, legs: tuple[Leg, ...], walked: Walked, limit: int) -> Piece:
    """The next rows of a walk that is not over: the table is asked for at most `limit`."""
    leg = legs[walked.leg]
    start = walked.key or keys.place_bytes(leg.start)
    rows = read_range(tables, leg, start, keys.after_prefix(leg.last), limit)
    if len(rows.versions) < limit:
        following = Walked(walked.leg + 1)
    else:
        following = Walked(walked.leg, rows.keys[-1].tobytes() + b"\0")
    return Piece(leg, in_band(rows, leg), following)


def read_range(tables: Tables, leg: Leg, start: bytes, stop: bytes, limit: int) -> FixedRows:
    """Up to `limit` rows of a part of a leg, of its band and of those above; of marks, which have
    no band, all."""
    floor = 0 if leg.table == keys.MARKS else floor_of(leg.band)
    return tables.scan_fixed(leg.table, start, stop, limit, floor=floor)


def in_band(rows: FixedRows, leg: Leg) -> FixedRows:
    """Those of the rows that the leg's band has."""
    if leg.table == keys.MARKS:
        return rows
    return taken(rows, bands_of(rows.versions) == np.uint64(leg.band))


def taken(rows: FixedRows, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> FixedRows:
    """Those of the rows that `mask` says."""
    if mask.all():
        return rows
    return FixedRows(rows.keys[mask], rows.versions[mask], rows.values[mask])


def exchanged(following: FixedRows) -> FixedRows:
    """The rows of `followers` that belong to rows of `following`: one event writes both, at one
    version and with one value."""
    if len(following.versions) == 0:
        return following
    numbers = keys.key_numbers(following.keys)
    pairs = np.empty_like(numbers, dtype=">u8")
    pairs[:, 0] = spread_array(numbers[:, 1])
    pairs[:, 1] = unspread_array(numbers[:, 0])
    return FixedRows(pairs.view(np.uint8), following.versions, following.values)
