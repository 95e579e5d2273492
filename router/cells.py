"""Cells in the registry: what there is, in which state, and where its servers answer.

`/cells/<name>` is written by operators' commands and by movers, and stays.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from cell.post_copy import PostLane
from idgen.errors import NotFound
from router.history import Happened
from router.records import decoded, read_all
from router.registry import Registry
from router.slices import check_cell_name

CELLS = "/cells"
HISTORY_MAX = 100


class CellState(StrEnum):
    """The life of a cell; only active (and draining) ones serve readers."""

    PROVISIONING = "provisioning"
    BOOTSTRAPPING = "bootstrapping"
    DARK = "dark"
    ACTIVE = "active"
    DRAINING = "draining"
    RESTORING = "restoring"
    RETIRED = "retired"


TRANSITIONS: dict[CellState, dict[str, CellState]] = {
    CellState.PROVISIONING: {"provisioned": CellState.BOOTSTRAPPING, "retire": CellState.RETIRED},
    CellState.BOOTSTRAPPING: {"bootstrapped": CellState.DARK, "retire": CellState.RETIRED},
    CellState.DARK: {"activate": CellState.ACTIVE, "retire": CellState.RETIRED},
    CellState.ACTIVE: {"drain": CellState.DRAINING, "restore": CellState.RESTORING},
    CellState.DRAINING: {
        "activate": CellState.ACTIVE,
        "restore": CellState.RESTORING,
        "retire": CellState.RETIRED,
    },
    CellState.RESTORING: {"restored": CellState.ACTIVE},
    CellState.RETIRED: {},
}
"""What may happen to a cell in each state, and the state it is in then."""
RUNNING = frozenset(set(CellState) - {CellState.PROVISIONING, CellState.RETIRED})
"""The states in which a cell's services run."""
APPLYING = frozenset({CellState.DARK, CellState.ACTIVE, CellState.DRAINING})
"""The states in which a cell's workers apply the firehose: before, what it begins with is still
being written; afterwards it is nobody's."""


class BootstrapStage(StrEnum):
    """What a mover does next with a cell that is being added (`router.bootstraps`)."""

    PROVISION = "provision"
    BEGIN = "begin"
    COPY = "copy"
    POSITION = "position"
    CATCH_UP = "catch-up"
    COMPARE = "compare"
    SAMPLE = "sample"
    AGREE = "agree"
    VERIFIED = "verified"
    RELEASE = "release"
    FINISHED = "finished"


class Bootstrap(msgspec.Struct, frozen=True, kw_only=True):
    """How a cell that is being added comes to hold what all cells hold.

    `donor`: the cell its posts are copied from. `sample`: share of the key space (above 0, at most
    1) whose readers arrive for a comparison. `since`: offsets by partition from which the new cell
    applies the firehose. `lanes`: how far the copying has come. `ends`: offsets that the present
    stage waits for. `rehearsals`: the moves of the sample. `waits_for`: what keeps it just now.
    `trouble`: why it cannot go on by itself.
    """

    donor: str
    sample: float
    stage: BootstrapStage = BootstrapStage.PROVISION
    since: tuple[int, ...] = ()
    lanes: tuple[PostLane, ...] = ()
    ends: tuple[int, ...] = ()
    rehearsals: tuple[int, ...] = ()
    verified_ms: int = 0
    waits_for: str = ""
    trouble: str = ""

    @property
    def rows(self) -> int:
        """Posts copied so far."""
        return sum(lane.rows for lane in self.lanes)

    @property
    def size(self) -> int:
        """Their bytes, keys and values."""
        return sum(lane.size for lane in self.lanes)

    @property
    def copied(self) -> float:
        """About which share of the posts is copied: authors lie evenly in the key space."""
        left = sum(_width(lane.next, lane.stop) for lane in self.lanes if not lane.done)
        return 1 - left / (1 << 64) if self.lanes else 0.0


class CellInfo(msgspec.Struct, frozen=True):
    """A cell: its state, and the addresses ("host:port") of its HBase gateways and its Redis;
    none in the embedded profile. `cordoned`: no move may choose it. `bootstrap`: None for a cell
    that was there from the beginning. `history`: its last states. `group`: the cells that read
    what one relay brings them; empty: it reads the firehose itself.
    """

    name: str
    state: CellState = CellState.ACTIVE
    hbase_thrift1: tuple[str, ...] = ()
    hbase_thrift2: tuple[str, ...] = ()
    redis: str = ""
    cordoned: bool = False
    bootstrap: Bootstrap | None = None
    history: tuple[Happened, ...] = ()
    group: str = ""


def become(
    info: CellInfo, what: str, by: str, now_ms: int, note: str = "", **changes: object
) -> CellInfo:
    """The cell after something of TRANSITIONS has happened to it. Raises KeyError when it
    cannot."""
    state = TRANSITIONS[info.state][what]
    history = (*info.history, Happened(now_ms, state, by, note))[-HISTORY_MAX:]
    return msgspec.structs.replace(info, state=state, history=history, **changes)


class Versioned(NamedTuple):
    """A cell and the version of its node."""

    info: CellInfo
    version: int


def add_cell(registry: Registry, info: CellInfo) -> None:
    """Make a cell known. Raises Conflict when there is one of this name,
    BadRequest(cell|group)."""
    check_cell_name("cell", info.name)
    if info.group:
        check_cell_name("group", info.group)
    registry.create(cell_path(info.name), msgspec.json.encode(info))


def read_cell(registry: Registry, name: str) -> Versioned:
    """One cell. Raises NotFound."""
    check_cell_name("cell", name)
    path = cell_path(name)
    try:
        node = registry.get(path)
    except NotFound:
        raise NotFound(f"no cell {name!r}: `cellctl status` has those that there are") from None
    return Versioned(decoded(path, node.value, CellInfo), node.version)


def cell_path(name: str) -> str:
    """Where a cell lies in the registry."""
    return f"{CELLS}/{name}"


def change_cell(registry: Registry, info: CellInfo, version: int) -> int:
    """Write a cell that is still of `version`; returns the new one. Raises Conflict, NotFound."""
    return registry.set(cell_path(info.name), msgspec.json.encode(info), version)


def read_cells(registry: Registry) -> list[CellInfo]:
    """All cells by name."""
    return read_all(registry, CELLS, CellInfo)


def groups_of(infos: Iterable[CellInfo]) -> dict[str, list[str]]:
    """The groups that need a relay, each with its cells: those that are not retired."""
    found: dict[str, list[str]] = {}
    for info in infos:
        if info.group and info.state is not CellState.RETIRED:
            found.setdefault(info.group, []).append(info.name)
    return found


def _width(start: bytes, stop: bytes) -> int:
    """About how many places lie between two keys; `stop` empty: the end of the key space."""
    ends = int.from_bytes(stop[:8], "big") if stop else 1 << 64
    return max(0, ends - int.from_bytes(start[:8], "big"))
