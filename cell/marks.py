"""Marks: up to where a reader has read each lane, shared by all devices, never going back."""

from cell import keys
from cell.tables import Tables
from firehose.event import Lane


def marks_of(tables: Tables, place: int) -> dict[Lane, int]:
    """The newest read event id of each lane of the reader at `place`; a lane without: not there."""
    lanes = tuple(Lane)
    rows = tables.get(keys.MARKS, [keys.mark_key(place, lane) for lane in lanes])
    return {lane: row.version for lane, row in zip(lanes, rows, strict=True) if row is not None}
