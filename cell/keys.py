"""Keys and small values of a cell's tables, byte by byte.

Integers are unsigned big-endian; `~x` is bitwise inversion, so that newer sorts first; the first
eight bytes are always `spread(user)`, the user's place in the key space.

| table | key | value |
|---|---|---|
| posts | place(author), ~post_id | the PostCreated envelope, or Gone (firehose.codec) |
| likes | place(author), post_id, actor | live flag, the like's event id |
| fans | place(author), follower | live flag, the follow's event id |
| inbox | place(reader), ~post_id, author | kind |
| notices | place(reader), ~event_id, actor | kind, target author, target id |
| following | place(follower), author | live flag, floor |
| followers | place(author), follower | live flag, floor |
| marks | place(reader), lane | empty; the version is the newest read event id |
| by_time | salt, ~post_id, author | kind (cell.by_time) |
| coverage | place(reader), author or 0 for all of them | MessagePack (cell.coverage) |
| cell | "p" partition, "a" partition, or a word below | JSON or a name (cell.state) |
| cell | "h" place(author) | MessagePack (cell.coverage): an author who is or was pulled by all |
| cell | "i" band, first place, last place, place(author) | the same of a slice that arrived here |
| cell | "s" partition, switch | from which event on a switch holds there |
| cell | "m" process, 0, part | a part of what a process has counted and measured (cell.activity) |

Every value that means gone, outside of posts, begins with a zero byte.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cell.tables import Bytes2D
from firehose.event import Lane, NoticeKind, PostRef
from idgen.ids import U64, U64Array, spread, unspread

POSTS = "posts"
LIKES = "likes"
FANS = "fans"
INBOX = "inbox"
NOTICES = "notices"
FOLLOWING = "following"
FOLLOWERS = "followers"
MARKS = "marks"
COVERAGE = "coverage"
BY_TIME = "by_time"
CELL = "cell"
TABLES = (
    POSTS,
    LIKES,
    FANS,
    INBOX,
    NOTICES,
    FOLLOWING,
    FOLLOWERS,
    MARKS,
    COVERAGE,
    BY_TIME,
    CELL,
)
NEWER = (COVERAGE, BY_TIME)
"""The tables that cells of 0.1.0 do not have."""
OF_ANY_WIDTH = (POSTS, COVERAGE, CELL)
"""The tables whose values differ in their widths."""

PREFIX_BYTES = 8
ENTRY_KEY_BYTES = 24
GONE = b"\x00"
"""The gone value of an inbox entry, and the first byte of every gone value outside of posts."""

_U64 = struct.Struct(">Q")
_PAIR = struct.Struct(">QQ")
_TRIPLE = struct.Struct(">QQQ")
_FLAGGED = struct.Struct(">?Q")
_NOTICE = struct.Struct(">BQQ")
GONE_NOTICE = _NOTICE.pack(0, 0, 0)


class Flagged(NamedTuple):
    """The value of an edge, a like or a fan: whether it is live, and its floor or event id."""

    live: bool
    number: int


class NoticeValue(NamedTuple):
    """The value of a live notice; target (0, 0): none."""

    kind: NoticeKind
    target: PostRef


def prefix(user: int) -> bytes:
    """The first eight bytes of every key of a user."""
    return _U64.pack(spread(user))


def place_bytes(place: int) -> bytes:
    """A place of the key space as a key prefix."""
    return _U64.pack(place)


def after_prefix(place: int) -> bytes:
    """The exclusive end of the keys of the user at `place`; empty: the end of the table."""
    return b"" if place == U64 else _U64.pack(place + 1)


def newest_first(event_id: int) -> int:
    """`~event_id`."""
    return U64 - event_id


def pair_key(place: int, number: int) -> bytes:
    """A key of following, followers or fans, or (with `~id`) of posts."""
    return _PAIR.pack(place, number)


def parse_pair(key: bytes) -> tuple[int, int]:
    """The inverse of `pair_key`."""
    place, number = _PAIR.unpack(key)
    return place, number


def exchanged_pair(key: bytes) -> bytes:
    """The key of `followers` that belongs to one of `following`."""
    follower, author = parse_pair(key)
    return pair_key(spread(author), unspread(follower))


def place_of(key: bytes) -> int:
    """The place that any key of a user begins with."""
    return int(_U64.unpack_from(key)[0])


def last_number(key: bytes) -> int:
    """The number that a key of two or three numbers ends with."""
    return int(_U64.unpack_from(key, len(key) - 8)[0])


def post_key(author: int, post_id: int) -> bytes:
    """The key of a post."""
    return _PAIR.pack(spread(author), U64 - post_id)


def post_id_of(key: bytes) -> int:
    """The id of the post with this key of posts."""
    return U64 - int(_PAIR.unpack(key)[1])


def entry_key(place: int, event_id: int, actor: int) -> bytes:
    """A key of inbox or notices."""
    return _TRIPLE.pack(place, U64 - event_id, actor)


def entry_keys_of(prefixes: Sequence[bytes], event_id: int, actor: int) -> bytes:
    """Keys of inbox for readers given by their prefixes, one behind the other: they differ in the
    prefix alone, so that one join makes all of them."""
    rest = _PAIR.pack(U64 - event_id, actor)
    return rest.join(prefixes) + rest if prefixes else b""


def parse_entry(key: bytes) -> tuple[int, int]:
    """The event id and the actor of a key of inbox or notices."""
    _, inverted, actor = _TRIPLE.unpack(key)
    return U64 - inverted, actor


def like_key(author: int, post_id: int, actor: int) -> bytes:
    """A key of likes."""
    return _TRIPLE.pack(spread(author), post_id, actor)


def mark_key(place: int, lane: Lane) -> bytes:
    """A key of marks: a lane is one byte of the key, so that every table has one shape."""
    return _U64.pack(place) + bytes((lane,))


def partition_key(partition: int) -> bytes:
    """The key of a partition's row in the cell table."""
    return b"p" + struct.pack(">H", partition)


def position_key(partition: int) -> bytes:
    """The key of a partition's applied position in the cell table."""
    return b"a" + struct.pack(">H", partition)


def hot_key(place: int) -> bytes:
    """The key of an author's coverage in the cell table."""
    return b"h" + _U64.pack(place)


HOT_KEYS = (b"h", b"i")
"""The range of the keys above."""


def brought_key(band: int, start: int, last: int, place: int) -> bytes:
    """The key of an author's coverage for the slice start..last that arrived in `band`."""
    return b"i" + struct.pack(">HQQQ", band, start, last, place)


BROUGHT_KEYS = (b"i", b"j")
"""The range of the keys above."""


def parse_brought(key: bytes) -> tuple[int, int, int, int]:
    """The band, the first and the last place of the slice, and the author's place of such a key."""
    band, start, last, place = struct.unpack(">HQQQ", key[1:])
    return band, start, last, place


def stamp_key(partition: int, switch: int) -> bytes:
    """The key of a switch's stamp in the cell table."""
    return b"s" + struct.pack(">HQ", partition, switch)


def parse_stamp(key: bytes) -> tuple[int, int]:
    """The partition and the switch of a stamp's key."""
    partition, switch = struct.unpack(">HQ", key[1:])
    return partition, switch


def activity_key(process: str, part: int) -> bytes:
    """The key of a part of what a process has counted, in the cell table."""
    return b"m" + process.encode() + b"\0" + struct.pack(">H", part)


def parse_activity(key: bytes) -> tuple[str, int]:
    """The process and the part of such a key."""
    return key[1:-3].decode(), int(struct.unpack(">H", key[-2:])[0])


ACTIVITY_KEYS = (b"m", b"n")
"""The range of the keys above."""


ERA_KEY = b"era"
RESTORE_KEY = b"restore"
LOG_KEY = b"log"


def pack_flagged(live: bool, number: int) -> bytes:
    """The value of an edge, a like or a fan."""
    return _FLAGGED.pack(live, number)


def parse_flagged(value: bytes) -> Flagged:
    """The inverse of `pack_flagged`."""
    return Flagged(*_FLAGGED.unpack(value))


def pack_notice(kind: NoticeKind, target: PostRef | None) -> bytes:
    """The value of a live notice."""
    return _NOTICE.pack(kind, target.author if target else 0, target.id if target else 0)


def parse_notice(value: bytes) -> NoticeValue:
    """The inverse of `pack_notice`."""
    kind, author, post_id = _NOTICE.unpack(value)
    return NoticeValue(NoticeKind(kind), PostRef(author, post_id))


def entry_keys(places: U64Array, event_id: int, actor: int) -> Bytes2D:
    """Inbox keys of one post for many readers: (n, 24) bytes."""
    keys = np.empty((len(places), 3), dtype=">u8")
    keys[:, 0] = places
    keys[:, 1] = U64 - event_id
    keys[:, 2] = actor
    return keys.view(np.uint8).reshape(len(places), ENTRY_KEY_BYTES)


def key_numbers(keys: Bytes2D) -> U64Array:
    """Fixed keys as native integers: (n, w / 8)."""
    n, width = keys.shape
    return np.ascontiguousarray(keys).view(">u8").reshape(n, width // 8).astype(np.uint64)
