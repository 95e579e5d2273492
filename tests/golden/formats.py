"""Bytes of every format as of v0.1.0: events, values of rows and keys, registry values, tokens.

Logs, tables and the registry outlive programs, so each format is written down here as hex and
checked both ways, by today's program and by that of v0.1.0: this module uses nothing that v0.1.0
has not. `python -m tests.golden.formats` prints what differs. The hex is in v0.1.0.txt: a change of
it is a change of what is stored already, so it is never changed, and a format of a later version
gets a file of that version (`tests.golden.later`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cell import commands, cursor, keys
from cell.residents import Resident
from cell.state import CellState, PartitionState
from cell.tables import Row
from cell.versions import at_of, band_of, version_of
from firehose import codec
from firehose.dead_letters import DeadLetters, Outcome
from firehose.event import (
    Draft,
    Followed,
    Lane,
    Liked,
    MarkedRead,
    NoticeKind,
    PostCreated,
    PostKind,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from firehose.log import Record, Span
from firehose.position import Need, Position, parse_token
from router import routes
from router.cells import CellInfo
from router.cells import CellState as LifeOfACell
from router.cluster import ClusterValues
from router.slices import Slice, from_bytes, to_bytes

try:
    from router.services import ServiceInfo
except ImportError:  # in v0.1.0
    from router.cells import ServiceInfo  # type: ignore[no-redef, attr-defined]

VERSION = "v0.1.0"
MAX_ID = (1 << 63) - 1
USER = 88
PLACE = 0x842DE5DDD9DFEF82
"""The spread of USER."""


@dataclass(frozen=True)
class Golden:
    """A value of a format, and how it is read and written; `write` None: this program writes it
    otherwise by now, and reads it for good."""

    name: str
    value: Any
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes] | None

    def differences(self, data: bytes) -> list[str]:
        """What this program makes of the bytes, or of the value, otherwise."""
        found = []
        if (read := self.read(data)) != self.value:
            found.append(f"{self.name}: read as {read!r}, want {self.value!r}")
        if self.write is not None and (made := self.write(self.value)) != data:
            found.append(f"{self.name}: written as {made.hex()}, want {data.hex()}")
        if (newer := with_a_new_field(data)) and (read := self.read(newer)) != self.value:
            found.append(f"{self.name}: with a new field read as {read!r}, want {self.value!r}")
        return found


def with_a_new_field(data: bytes) -> bytes:
    """The same bytes as a later program may write them: with a field that nobody knows yet. Empty
    where a format has no fields to add to."""
    if data.startswith(b"{"):
        return data[:-1] + b',"of_a_later_version":[{"a":1}]}'
    if data.startswith(codec.MAGIC):
        kind, payload = codec.open_envelope(data)
        field = bytes.fromhex("0b7ffe00000003") + b"new"  # a string, of the field id 32,766
        return codec.seal(kind, payload[:-1] + field + b"\0")
    return b""


def written_down(version: str) -> dict[str, bytes]:
    """The bytes of a version's formats, by name."""
    lines = Path(__file__).with_name(f"{version}.txt").read_text().splitlines()
    pairs = (line.split(" = ") for line in lines)
    return {name: bytes.fromhex(data) for name, data in pairs}


def differences(version: str, formats: Sequence[Golden]) -> list[str]:
    """What this program reads or writes otherwise than written down; and what is not checked."""
    data = written_down(version)
    names = [each.name for each in formats]
    found = [f"{name}: not checked" for name in data if name not in names]
    return found + [text for each in formats for text in each.differences(data[each.name])]


def as_json(name: str, value: Any, *, written: bool = True) -> Golden:
    """A record of JSON, read by its type."""
    kind = type(value)
    write = msgspec.json.encode if written else None
    return Golden(name, value, lambda data: msgspec.json.decode(data, type=kind), write)


class OneLog:
    """A log of one partition in memory, with the records that it was made with."""

    partitions = 1
    identity = "golden"

    def __init__(self, values: Sequence[bytes] = ()) -> None:
        self.values = list(values)

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        self.values += [value for _, value in records]

    def spans(self) -> tuple[Span, ...]:
        return (Span(0, len(self.values)),)

    def read(self, _partition: int, offset: int, limit: int, _ms: int = 0) -> list[Record]:
        found = list(enumerate(self.values))[offset : offset + limit]
        return [Record(0, at, 0, value) for at, value in found]


Letter = tuple[int, int, int, str, bytes]


def _letter_of(data: bytes) -> Letter:
    (found,) = DeadLetters(OneLog([data])).list()
    return found.partition, found.offset, found.at_ms, found.reason, found.value


def _letter(letter: Letter) -> bytes:
    log = OneLog()
    DeadLetters(log).add(*letter)
    return log.values[0]


def _settled_of(data: bytes) -> Outcome | None:
    return DeadLetters(OneLog([_letter(LETTER), data])).show("7-9").outcome


def _settled(outcome: Outcome) -> bytes:
    log = OneLog([_letter(LETTER)])
    DeadLetters(log).settle("7-9", outcome)
    return log.values[1]


class _CellRows:
    """The rows of a cell table that has one partition: the owner's and the position's."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = {row.key: row for row in rows}

    def get(self, _table: str, names: Sequence[bytes], _floor: int = 0) -> list[Row | None]:
        return [self.rows.get(name) for name in names]

    def put(self, _table: str, rows: Sequence[Row]) -> None:
        self.rows |= {row.key: row for row in rows}

    def put_if(self, table: str, row: Row, _expected: bytes | None) -> bool:
        self.put(table, [row])
        return True


def _state_rows(state: PartitionState) -> bytes:
    """Both rows of a state, as `keys.position_key` and `partition_key` name them: key, version and
    value, with the lengths ahead of key and value."""
    tables = _CellRows(())
    owner = msgspec.structs.replace(state, revision=state.revision - 1)
    CellState(tables, 1).change(0, owner, state)
    CellState(tables, 1).advance({0: msgspec.structs.replace(state, step=state.step - 1)})
    return b"".join(packed(row) for _, row in sorted(tables.rows.items()))


def _state_told(state: PartitionState) -> tuple[object, ...]:
    return state.owner, state.high, state.open, state.step


def _head_of(data: bytes) -> tuple[tuple[str, ...], int]:
    head = routes._head(data)
    return head.pieces, head.next


def _of_v0_1_0(info: CellInfo) -> tuple[object, ...]:
    return info.name, info.state, info.hbase_thrift1, info.hbase_thrift2, info.redis


def packed(row: Row) -> bytes:
    """A row as bytes: version 8, length of the key 2, key, length of the value 2, value."""
    head, middle = len(row.key).to_bytes(2, "big"), len(row.value).to_bytes(2, "big")
    return row.version.to_bytes(8, "big") + head + row.key + middle + row.value


def unpacked(data: bytes) -> list[Row]:
    """The rows in bytes that `packed` made."""
    rows, at = [], 0
    while at < len(data):
        version, at = int.from_bytes(data[at : at + 8], "big"), at + 8
        parts = []
        for _ in range(2):
            length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
            parts.append(data[at : at + length])
            at += length
        rows.append(Row(parts[0], version, parts[1]))
    return rows


LETTER: Letter = (7, 9, 1_700_000_000_000, "Followed: backfill: 10001", b"\xdc\x0e\x01\x03")
DRAFT = Draft(
    PostKind.CHAT,
    "t\u00eftle",
    "b\U0001f600dy",
    ("tag", "\u65e5\u672c"),
    (1, MAX_ID),
    PostRef(4, 8),
    PostRef(15, 16),
    1_341_100_972_000,
)
CELL_A = CellInfo("a", LifeOfACell.DRAINING, ("h:1",), ("h:2",), "r:3")
STATE = PartitionState(
    revision=4,
    generation=3,
    high=12,
    open=(9, 10),
    commands=2,
    again=5,
    residents=(Resident(0, (1 << 64) - 1, 1, 0, 7), Resident(1 << 63, 1 << 63, 2, 7)),
    step=6,
)


def _event(name: str, value: Any) -> Golden:
    return Golden(name, value, codec.decode, codec.encode)


EVENTS = [
    _event("event: post", PostCreated(77, 5, Draft(body="hello"))),
    _event("event: post, all of it", PostCreated(MAX_ID, MAX_ID, DRAFT, brought=True)),
    _event("event: removed", PostRemoved(78, 5, 77)),
    _event("event: followed", Followed(79, 6, 5, 100)),
    _event("event: unfollowed", Unfollowed(80, 6, 5)),
    _event("event: liked", Liked(81, 6, 5, 77)),
    _event("event: unliked", Unliked(82, 6, 5, 77)),
    _event("event: marked", MarkedRead(83, 6, Lane.NOTICES, 81)),
]
ENVELOPES = [
    Golden(
        "posts: gone",
        codec.Gone(123, (3, MAX_ID)),
        codec.decode_stored,
        lambda gone: codec.encode_gone(gone.created_version, gone.notified),
    ),
    Golden("dead letter", LETTER, _letter_of, _letter),
    Golden("dead letter, settled", Outcome.DISCARDED, _settled_of, _settled),
]
KEYS = [
    Golden("key: place", USER, lambda _: USER, keys.prefix),
    Golden(
        "key: post",
        (USER, 77),
        lambda data: (USER, keys.post_id_of(data)),
        lambda value: keys.post_key(*value),
    ),
    Golden(
        "key: inbox, notices",
        (PLACE, 77, 5),
        lambda data: (PLACE, *keys.parse_entry(data)),
        lambda value: keys.entry_key(*value),
    ),
    Golden(
        "key: following, followers, fans",
        (PLACE, 5),
        keys.parse_pair,
        lambda value: keys.pair_key(*value),
    ),
    Golden("key: like", (USER, 77, 5), lambda _: (USER, 77, 5), lambda v: keys.like_key(*v)),
    Golden(
        "key: mark", (PLACE, 2), lambda _: (PLACE, 2), lambda v: keys.mark_key(v[0], Lane(v[1]))
    ),
    Golden("key: owner", 300, lambda _: 300, keys.partition_key),
    Golden("key: position", 300, lambda _: 300, keys.position_key),
    Golden("key: era", b"era", lambda data: data, lambda _: keys.ERA_KEY),
]
VALUES = [
    Golden(
        "value: live edge, like or fan",
        (True, 77),
        keys.parse_flagged,
        lambda value: keys.pack_flagged(*value),
    ),
    Golden(
        "value: gone edge, like or fan",
        (False, 77),
        keys.parse_flagged,
        lambda value: keys.pack_flagged(*value),
    ),
    Golden(
        "value: notice",
        (NoticeKind.MENTION, PostRef(5, 77)),
        keys.parse_notice,
        lambda value: keys.pack_notice(*value),
    ),
    Golden("value: gone notice", b"", lambda _: b"", lambda _: keys.GONE_NOTICE),
    Golden("value: gone entry", b"", lambda _: b"", lambda _: keys.GONE),
    Golden(
        "version",
        (3, 9),
        lambda data: (
            band_of(int.from_bytes(data, "big")),
            at_of(int.from_bytes(data, "big")),
        ),
        lambda value: version_of(*value).to_bytes(8, "big"),
    ),
    Golden(
        "rows of the cell table",
        _state_told(STATE),
        lambda data: _state_told(CellState(_CellRows(unpacked(data)), 1).read()[0]),
        lambda _: _state_rows(STATE),
    ),
]
COMMANDS = [
    Golden(
        "command: arrived",
        commands.SliceArrived(0, (1 << 64) - 1, 2, (3, 4)),
        commands.decode,
        commands.encode,
    ),
    Golden("command: left", commands.SliceLeft(5, 6, 2), commands.decode, commands.encode),
    Golden("command: retried", commands.LetterRetried(7, 9), commands.decode, commands.encode),
]
REGISTRY = [
    as_json("cell", CELL_A, written="cordoned" not in CellInfo.__struct_fields__),
    Golden(
        "head of routes",
        (("0", "4"), 5),
        _head_of,
        None if hasattr(routes._Head, "after") else lambda v: msgspec.json.encode(routes._Head(*v)),
    ),
    as_json("cluster", ClusterValues(64, 12345)),
    as_json("service", ServiceInfo("dashboard", "h-1", "h:1", "h:2", "a", 7, "0.1.0")),
    Golden(
        "piece of routes",
        [Slice(0, "a", 1, 3), Slice(1 << 63, "b", 2, 2)],
        from_bytes,
        to_bytes,
    ),
]
CLIENTS = [
    Golden(
        "token",
        Position(12345, {3: Need(7, frozenset((9, 12)))}),
        lambda data: parse_token(data, 64),
        lambda position: position.token(),
    ),
    Golden(
        "cursor",
        cursor.Place(77, 1, 5),
        lambda data: cursor.decode("before", data, cursor.DASHBOARD, USER),
        lambda place: cursor.encode(cursor.DASHBOARD, USER, place),
    ),
]
FORMATS = [*EVENTS, *ENVELOPES, *KEYS, *VALUES, *COMMANDS, *REGISTRY, *CLIENTS]
GROWN = [
    Golden(
        "cell",
        ("a", LifeOfACell.ACTIVE, ("h:1",), ("h:2",), "r:3"),
        lambda data: _of_v0_1_0(msgspec.json.decode(data, type=CellInfo)),
        None,
    ),
    Golden("head of routes", (("0", "4"), 5), _head_of, None),
]
"""What v0.1.0 has to see in the later form (moves.txt) of what it knows."""


def all_differences() -> list[str]:
    """What the program that runs this makes of v0.1.0's formats, and of those that have grown."""
    later = written_down("moves")
    grown = [text for each in GROWN for text in each.differences(later[each.name])]
    return differences(VERSION, FORMATS) + grown


if __name__ == "__main__":
    print("\n".join(all_differences()))
