"""Bytes of the formats that came after v0.1.0, with moves, groups and tokens; in moves.txt as
`formats` says.

Records of which v0.1.0 knew an older form are read by it too, their new fields being ignored.
"""

import msgspec
import numpy as np

from cell import changes, commands, coverage
from cell.commands import Filled, GroupRewound, Switched
from cell.coverage import Brought, Covered, Span
from cell.materialization import Why
from cell.post_copy import PostLane
from cell.slice_rows import Walked
from firehose.log import Record
from firehose.relayed import beginning_value, open_relayed, relayed_value
from ops.wiring.seams import Servers
from router import move_records, routes
from router.cells import Bootstrap, BootstrapStage, CellInfo, CellState
from router.history import Happened
from router.moves import Move, MoveState, Stage
from router.services import ServiceInfo
from router.tokens import Bucket, Token
from tests.golden.formats import Golden, as_json

VERSION = "moves"

MOVE = Move(
    id=3,
    start=1 << 63,
    last=(1 << 64) - 1,
    source="a",
    target="b",
    epoch=4,
    state=MoveState.SWITCHED,
    stage=Stage.KEEP,
    reader=88,
    keep_ms=60_000,
    stop_before_switch=True,
    rehearsal=True,
    ranges=((1 << 63, (1 << 64) - 1, 2),),
    since=(5, 6),
    told=7,
    ends=(8, 9),
    walked=Walked(2, b"\x00key\xff"),
    rows=10,
    edges=11,
    verified_ms=1_700_000_000_000,
    switched_ms=1_700_000_000_001,
    sweep_ms=1_700_000_000_002,
    waits_for="cell b",
    trouble="none",
    history=(Happened(1_700_000_000_000, MoveState.CREATED, "me@here", "note"),),
)
CHANGE = changes.Change(
    {3: changes.Reached(2, 9, 12, (10, 11), 5)},
    changes.Changed(np.array([1, 0xFFFFFFFF], np.uint32), np.array([7], np.uint32)),
)

SWITCHED = Switched(True, Why.HOT, (1, 2), (3,), ((4, 5),))
COVERED = Covered(
    Why.AWAY, 1_700_000_000_000, (Span(3, 9), Span(12)), (Brought((0, 7), (1 << 40, 9)),)
)

ROOT = 0xDA5CE11
TOKENS = Bucket(
    {
        "shop": Token(
            name="shop",
            roles=("read", "append"),
            streams_max=7,
            events_per_s=70,
            created_ms=1_700_000_000_000,
            secret="0a" * 32,
            previous="f1" * 32,
            rotated_ms=1_700_000_000_001,
        )
    }
)


def _as_plain(change: changes.Change) -> object:
    return change.reached, [names.tolist() for names in change.changed]


CELL = CellInfo(
    "a",
    CellState.ACTIVE,
    ("h:1",),
    ("h:2",),
    "r:3",
    cordoned=True,
    bootstrap=Bootstrap(
        donor="b",
        sample=0.5,
        stage=BootstrapStage.AGREE,
        since=(5, 6),
        lanes=(PostLane(b"\x00key\xff", b"\xff", 7, 8), PostLane(b"", b"", 9, 10, True)),
        ends=(11, 12),
        rehearsals=(13, 14),
        verified_ms=1_700_000_000_000,
        waits_for="cell b",
        trouble="none",
    ),
    history=(Happened(1_700_000_000_000, CellState.PROVISIONING, "me@here", "note"),),
    group="east",
)
RELAY = ServiceInfo("relay", "h-1", "", "h:2", "", 7, "0.2.0", {"http": "h:3"}, "east")
FORMATS = [
    Golden("command: rewound", GroupRewound({0: 5, 3: 9}), commands.decode, commands.encode),
    Golden("command: switched", SWITCHED, commands.decode, commands.encode),
    Golden("command: filled", Filled(7, (2, 3), 9), commands.decode, commands.encode),
    Golden("coverage", COVERED, coverage.decode, coverage.encode),
    as_json("cell", CELL),
    as_json("service", RELAY),
    as_json("servers", Servers("h:1", {"east": "h:2"})),
    as_json("head of routes", routes._Head(("0", "4"), 5, {"8000000000000000": (7, 8)})),
    as_json("move", MOVE),
    as_json("tokens", TOKENS),
    as_json("head of moves", move_records._Head(4, {3: (1 << 63, (1 << 64) - 1)})),
    Golden(
        "change",
        _as_plain(CHANGE),
        lambda data: _as_plain(changes.decode(data)),
        lambda _: changes.encode(CHANGE),
    ),
    Golden(
        "change of a later version",
        _as_plain(CHANGE),
        lambda data: _as_plain(changes.decode(data)),
        lambda _: _longer(changes.encode(CHANGE)),
    ),
    Golden(
        "relayed: record",
        (7, 1_700_000_000_000, b"value"),
        lambda data: tuple(open_relayed(ROOT, Record(3, 9, 0, data))),
        lambda value: relayed_value(ROOT, Record(3, *value)),
    ),
    Golden(
        "relayed: beginning",
        (7, 0, None),
        lambda data: tuple(open_relayed(ROOT, Record(3, 9, 0, data))),
        lambda value: beginning_value(ROOT, value[0]),
    ),
]


def _longer(change: bytes) -> bytes:
    """The record with one element more than this program knows."""
    return msgspec.msgpack.encode([*msgspec.msgpack.decode(change), "of_a_later_version"])
