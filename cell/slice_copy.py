"""Copying what a cell holds of a slice into another cell, in the band of its arrival there.

Rows keep where in the log they came from, so they may be copied while they change, twice, and
late: what the target's workers write for the same events is the same or newer. Gone values are
copied like all others, or an older write would bring back what they hide.

One thing may not be late: the reading of a state row. It says that all of its event is done, and
its event's entries and notices are copied after it; one that is read after them says so of what
nobody copies. So who copies confirms, between reading and writing, that it is still their turn.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cell import keys
from cell.slice_rows import Leg, Walked, exchanged, read_piece
from cell.tables import FixedRows, Tables
from cell.versions import ats_of, floor_of


class Copied(NamedTuple):
    """What one piece has copied, and how far the copying has come."""

    walked: Walked
    rows: int
    edges: int


def copy_piece(
    source: Tables,
    target: Tables,
    legs: tuple[Leg, ...],
    band: int,
    walked: Walked,
    limit: int,
    confirm: Callable[[], None],
) -> Copied:
    """Copy the next piece of the source's legs, lifted into `band`; all of it is acknowledged.

    `confirm` raises when somebody else has gone on since `walked` was recorded.
    """
    leg, rows, following = read_piece(source, legs, walked, limit)
    confirm()
    count = len(rows.versions)
    if leg.table != keys.MARKS:
        rows = lifted(rows, band)
    target.put_fanout(leg.table, rows)
    if leg.table != keys.FOLLOWING:
        return Copied(following, count, 0)
    target.put_fanout(keys.FOLLOWERS, exchanged(rows))
    return Copied(following, 2 * count, count)


def lifted(rows: FixedRows, band: int) -> FixedRows:
    """The same rows as of the same events, in another band."""
    versions = np.uint64(floor_of(band)) | ats_of(rows.versions)
    return rows._replace(versions=versions)
