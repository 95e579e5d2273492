"""Sweeping what a cell still has of a slice whose band has ended there.

Nobody reads rows of an ended band, so this is housekeeping: it may be late, partial or repeated.
Marks stay: they have no band, and only grow.
"""

import numpy as np

from cell import keys
from cell.slice_rows import Leg, Walked, exchanged, taken
from cell.tables import VERSION_MAX, Bytes2D, Tables
from cell.versions import band_of, bands_of, floor_of


def sweep_piece(tables: Tables, legs: tuple[Leg, ...], walked: Walked, limit: int) -> Walked:
    """Sweep the next rows of the legs' bands, and of all bands before; how far that has come."""
    leg = legs[walked.leg]
    if leg.table == keys.MARKS:
        return Walked(walked.leg + 1)
    start = walked.key or keys.place_bytes(leg.start)
    if leg.table == keys.COVERAGE:
        return _sweep_coverage(tables, leg, walked, start, limit)
    rows = tables.scan_fixed(leg.table, start, keys.after_prefix(leg.last), limit)
    over = taken(rows, bands_of(rows.versions) <= np.uint64(leg.band))
    if leg.table == keys.FOLLOWING:  # first, for without these rows nobody finds those
        _sweep(tables, keys.FOLLOWERS, exchanged(over).keys, leg.band)
    _sweep(tables, leg.table, over.keys, leg.band)
    if len(rows.versions) < limit:
        return Walked(walked.leg + 1)
    return Walked(walked.leg, rows.keys[-1].tobytes() + b"\0")


def _sweep_coverage(tables: Tables, leg: Leg, walked: Walked, start: bytes, limit: int) -> Walked:
    rows = tables.scan(leg.table, start, keys.after_prefix(leg.last), limit)
    over = [(row.key, row.version) for row in rows if band_of(row.version) <= leg.band]
    tables.sweep(leg.table, over)
    if len(rows) < limit:
        return Walked(walked.leg + 1)
    return Walked(walked.leg, rows[-1].key + b"\0")


def _sweep(tables: Tables, table: str, names: Bytes2D, band: int) -> None:
    """All of them up to the highest version of the band: HBase is told once for each version."""
    ceiling = min(floor_of(band + 1) - 1, VERSION_MAX)
    tables.sweep(table, [(name.tobytes(), ceiling) for name in names])
