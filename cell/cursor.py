"""Cursors: a client's place in a list, opaque, and good for that list alone.

A place is (event id, lane, actor), in which pages are ordered. A cursor also carries a checksum
over the owner of the list, so that one of another reader, or one that was changed, is refused.
"""

import struct
from typing import NamedTuple

from crc32c import crc32c

from idgen.errors import BadRequest
from idgen.ids import MAX_ID, MAX_USER

_PLACE = struct.Struct(">QBQ")
_OWNER = struct.Struct(">BQ")
_CHECK = struct.Struct(">I")
_VERSION = b"\x01"
CURSOR_BYTES = 1 + _PLACE.size + _CHECK.size

DASHBOARD = 1
TIMELINE = 2


class Place(NamedTuple):
    """Where an entry stands; compares like the entries of a page, oldest first."""

    id: int
    lane: int
    actor: int


NEWEST = Place(MAX_ID + 1, 255, MAX_USER)
OLDEST = Place(0, 0, 0)


def encode(kind: int, owner: int, place: Place) -> bytes:
    """The cursor of a place in the dashboard, or the timeline, of `owner`."""
    packed = _PLACE.pack(*place)
    check = crc32c(_OWNER.pack(kind, owner) + packed)
    return _VERSION + packed + _CHECK.pack(check)


def decode(field: str, cursor: bytes, kind: int, owner: int) -> Place:
    """The place of a cursor. Raises BadRequest(field) for any other bytes."""
    if len(cursor) != CURSOR_BYTES or cursor[:1] != _VERSION:
        raise BadRequest(field, "not a cursor of this platform; pass cursors on unchanged")
    packed = cursor[1:-4]
    (check,) = _CHECK.unpack(cursor[-4:])
    if check != crc32c(_OWNER.pack(kind, owner) + packed):
        raise BadRequest(field, "a cursor of another list; start again without a cursor")
    return Place(*_PLACE.unpack(packed))
