"""What `cellctl` asks of a platform: one that runs, and the means to start and find it.

`ops.platform` implements `Doors` as a module; tests stand in for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from cell.backup import Taken, Wish
from cell.backup_files import Manifest
from cell.dashboard import Dashboard
from cell.explain import Explanation
from firehose.event import PostRef
from firehose.reading import Reading
from firehose.receipts import Context, EventReceipt, NewEvent
from firehose.writes import Where
from idgen.snowflake import SnowflakeStatus
from ops.checks_port import Checks
from ops.config_settings import Config
from ops.groups_port import Groups
from ops.pins_port import Pins
from ops.tokens_port import Tokens
from router.cells import CellInfo
from router.move_records import Wanted
from router.moves import Move
from router.placement import Transfer
from router.preflight import Blocker
from router.restore import Loaded

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A server (ZooKeeper, Kafka, HBase, Redis) or a service of ours.

    `state` is one of: ready, starting, draining, down, unknown. `admin` is where a service of ours
    has its admin port, empty where it has none; `beside` are its other listeners' by name.
    """

    name: str
    state: str
    address: str = ""
    cell: str = ""
    pid: int | None = None
    restarts: int = 0
    detail: str = ""
    admin: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """How far a cell has applied one partition: offsets, `end` being the log's."""

    partition: int
    low: int
    high: int
    end: int


@dataclass(frozen=True, slots=True)
class CellStatus:
    """One cell. `lag_s`: age of the oldest event not applied yet, 0 when all are; None: unknown."""

    name: str
    state: str
    lag_s: float | None
    positions: tuple[PartitionStatus, ...] = ()
    dead_letters: int = 0


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """A group of cells: how many relays run for it, and how far behind the firehose what they have
    brought is, in events and seconds; None: unknown."""

    name: str
    cells: tuple[str, ...]
    relays: int
    events: int | None = None
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A platform at one moment."""

    profile: str
    folder: str
    registry: str
    servers: tuple[ProcessStatus, ...] = ()
    services: tuple[ProcessStatus, ...] = ()
    cells: tuple[CellStatus, ...] = ()
    groups: tuple[GroupStatus, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether everything that is known of is ready, and each group has a relay."""
        ready = all(each.state == "ready" for each in (*self.servers, *self.services))
        return ready and all(group.relays for group in self.groups)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag: on for `value` of 10,000 users, the same ones every time."""

    name: str
    value: int
    default: int = 0


@dataclass(frozen=True, slots=True)
class IdServer:
    """A server of ids; `status` None: it did not answer, and `trouble` says why."""

    name: str
    address: str
    status: SnowflakeStatus | None
    trouble: str = ""


class Flags(Protocol):
    """The platform's flags, followed live by every process."""

    def list(self) -> Sequence[Flag]:
        """All flags that were set, by name."""
        ...

    def set(self, name: str, value: int) -> Flag:
        """Set a flag, also a new one; the flag as it was before.

        Raises BadRequest(name|value), and Conflict when somebody else sets it at the same time.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a cell could not apply; `id` is `<partition>-<offset>`."""

    id: str
    partition: int
    offset: int
    at_ms: int
    reason: str
    event: str = ""
    """What of it can be shown."""


class DeadLetters(Protocol):
    """The events that one cell put aside."""

    def list(self, limit: int) -> Sequence[DeadLetter]:
        """The oldest open ones; at most 1,000."""
        ...

    def retry(self, ids: Sequence[str]) -> int:
        """Apply them again at their original versions; how many. Raises NotFound, Conflict."""
        ...

    def discard(self, ids: Sequence[str]) -> int:
        """Give them up for good; how many. Raises NotFound, Conflict."""
        ...


@dataclass(frozen=True, slots=True)
class ReaderCheck:
    """A reader's inbox and pages beside what they have to hold: how many authors are followed, how
    many entries expected and how many of these pulled, which are missing, and which should not be
    there."""

    reader: int
    cell: str
    authors: int
    entries: int
    pulled: int = 0
    missing: tuple[PostRef, ...] = ()
    extra: tuple[PostRef, ...] = ()


@dataclass(frozen=True, slots=True)
class CellView:
    """A cell: how it is, its record, how many ranges of readers and which share of the key space
    are homed there, and the moves under way from it and to it."""

    status: CellStatus
    info: CellInfo
    slices: int
    share: float
    leaving: tuple[int, ...] = ()
    arriving: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NewCell:
    """A cell that somebody asks for. `donor`: whose posts are copied; empty: any active cell's.
    `sample`: the share of the key space (above 0, at most 1) whose readers are compared before it
    may be active. The addresses ("host:port") are of servers that run already; empty: `cellctl up`
    starts them, or the embedded profile keeps the cell in a file. `group`: of cells behind one
    relay; empty: it reads the firehose itself."""

    name: str
    donor: str = ""
    sample: float = 0.01
    hbase_thrift1: str = ""
    hbase_thrift2: str = ""
    redis: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class NewCellPlan:
    """What adding a cell would do: what stands in its way, about how many posts and bytes are
    copied, and in how many seconds it can be activated. `beside`: the cells of its group."""

    new: NewCell
    blockers: tuple[Blocker, ...] = ()
    posts: int = 0
    size: int = 0
    seconds: float = 0.0
    beside: tuple[str, ...] = ()


class Cells(Protocol):
    """The cells of a platform."""

    def add_plan(self, new: NewCell) -> NewCellPlan:
        """What adding a cell would do. Raises BadRequest, and NotFound for an unknown donor."""
        ...

    def add(self, new: NewCell) -> CellView:
        """Begin to add it; a mover brings it up. Raises Refused with the first blocker."""
        ...

    def list(self) -> Sequence[CellView]:
        """All cells by name."""
        ...

    def describe(self, name: str) -> CellView:
        """One cell. Raises NotFound."""
        ...

    def cordon(self, name: str, *, cordoned: bool) -> CellView:
        """Have no move choose it as its target, or let them again. Raises NotFound."""
        ...

    def drain_plan(self, name: str) -> Sequence[Transfer]:
        """Where all goes that it is home to, but for what is on its way. Raises NotFound,
        BadRequest."""
        ...

    def rebalance_plan(self) -> Sequence[Transfer]:
        """What has to move so that the cells have about the same load."""
        ...

    def change(self, name: str, what: str, *, execute: bool = True) -> CellView:
        """Activate, drain or retire it: its state alone; without `execute` it is only seen whether
        that can be. Raises NotFound, Refused."""
        ...


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What a move would do: from where, what stands in its way, about how many rows and seconds."""

    wanted: Wanted
    source: str
    blockers: tuple[Blocker, ...] = ()
    rows: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class MoveView:
    """A move, who carries it now, and what an operator may do to it: verbs of `cellctl X-move`."""

    move: Move
    mover: str
    next_steps: tuple[str, ...]


class Moves(Protocol):
    """Moves of readers from cell to cell."""

    def plan(self, wanted: Wanted) -> MovePlan:
        """What a move would do. Raises NotFound for an unknown cell."""
        ...

    def begin(self, wanted: Wanted) -> MoveView:
        """Begin it; a mover carries it. Raises Refused with the first blocker."""
        ...

    def list(self) -> Sequence[MoveView]:
        """All moves that are remembered, oldest first."""
        ...

    def show(self, move_id: int) -> MoveView:
        """One move. Raises NotFound."""
        ...

    def act(self, move_id: int, what: str) -> MoveView:
        """Switch, verify, reverse, complete or cancel it. Raises Refused, Conflict, NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class RestoreView:
    """What restoring a backup does: into which cell, how many events are applied after its rows.
    `new_log`: into a platform with another log. `restored`: that was done already."""

    manifest: Manifest
    cell: str
    events: int
    new_log: bool = False
    restored: bool = False


class Backups(Protocol):
    """Backups of cells, in folders of the machine that asks."""

    def take(self, cell: str, folder: Path, wish: Wish, tell: Callable[[Taken], None]) -> Manifest:
        """Back up a cell, or a slice of it, into an empty folder. Raises NotFound, Refused,
        cell.backup_files.NotEmpty, OSError."""
        ...

    def plan(self, folder: Path, tell: Callable[[Loaded], None]) -> RestoreView:
        """Read all of a backup, and say what restoring it does. Raises Refused,
        cell.backup_files.DamagedBackup, NotFound."""
        ...

    def restore(
        self, folder: Path, tell: Callable[[Loaded], None], pause: Callable[[], bool]
    ) -> tuple[RestoreView, bool]:
        """Restore it, and wait until its readers are answered; False when `pause` said before that
        it is enough. May be done again whatever has cut it off. Raises what `plan` raises."""
        ...


class AskedReading(NamedTuple):
    """What somebody wants to read of the firehose; texts as of `firehose.places` and
    `firehose.selection`. `until` empty: on and on."""

    start: str
    until: str = ""
    kinds: str = ""
    authors: str = ""
    partitions: str = ""


class Firehose(Protocol):
    """The ordered log of all events."""

    def read(self, asked: AskedReading) -> Reading:
        """A pass over what is asked for; who has it closes it.

        Raises BadRequest(from|until|kinds|authors|partitions), CursorTooOld, Unavailable.
        """
        ...

    def append(
        self, ctx: Context, news: Sequence[NewEvent], where: Where
    ) -> Sequence[EventReceipt]:
        """Append events in their order, all or, where that fails, perhaps some; brought ids may be
        of any age. Raises BadRequest before anything is written, Unavailable."""
        ...


class Platform(Protocol):
    """A platform that runs, found by its folder or its registry."""

    @property
    def folder(self) -> Path | None:
        """Its folder, where it is on this machine."""
        ...

    @property
    def flags(self) -> Flags:
        """Its flags."""
        ...

    @property
    def pins(self) -> Pins:
        """Its pins."""
        ...

    def dashboard(self, cell: str | None = None) -> Dashboard:
        """The dashboard API at the router, or at one cell. Raises NotFound."""
        ...

    def take_ids(self, count: int) -> list[int]:
        """New ids, increasing, to be brought along by writes."""
        ...

    def id_servers(self) -> Sequence[IdServer]:
        """The servers of ids, by name, each as it answers now. Raises Unavailable."""
        ...

    def status(self) -> Status:
        """What runs, and how far the cells are."""
        ...

    def dead_letters(self, cell: str) -> DeadLetters:
        """What the cell could not apply. Raises NotFound."""
        ...

    @property
    def cells(self) -> Cells:
        """Its cells."""
        ...

    @property
    def moves(self) -> Moves:
        """Its moves."""
        ...

    @property
    def checks(self) -> Checks:
        """Checks of what its cells hold."""
        ...

    @property
    def backups(self) -> Backups:
        """Backups of its cells."""
        ...

    @property
    def firehose(self) -> Firehose:
        """Its firehose."""
        ...

    @property
    def groups(self) -> Groups:
        """The consumer groups of its firehose."""
        ...

    @property
    def tokens(self) -> Tokens:
        """The clients of its firehose."""
        ...

    def verify_reader(self, reader: int) -> ReaderCheck:
        """A reader's inbox beside what edges and posts say. Raises Unavailable."""
        ...

    def explain(self, reader: int, author: int | None, post_id: int) -> Explanation:
        """The facts about one entry, from the reader's home cell."""
        ...

    def close(self) -> None:
        """Let go of connections; the platform goes on."""
        ...


class Running(Protocol):
    """A platform that this process started."""

    @property
    def platform(self) -> Platform:
        """How to talk to it."""
        ...

    def wait(self) -> None:
        """Return when it was stopped, by a signal or by `cellctl down`; raises what made it die."""
        ...

    def stop(self) -> None:
        """Stop all of it; idempotent."""
        ...


class Doors(Protocol):
    """The ways in: the functions of `ops.platform`.

    All take a whole configuration; the platform's folder is `config.platform.data`.
    """

    def start(self, config: Config, progress: Progress) -> Running:
        """Start a platform in this process; returns when all of it is ready.

        Raises Conflict for a folder that a platform runs in already, and StackError.
        """
        ...

    def stop(self, folder: Path, progress: Progress) -> list[str]:
        """Stop the platform of a folder, whatever is left of it; what was still running."""
        ...

    def serve(self, role: str, cell: str | None, config: Config, group: str | None = None) -> None:
        """Run one service in the foreground until it is told to stop."""
        ...

    def discover(self, config: Config, registry: str | None) -> Platform:
        """A running platform, by its folder or by its registry's address.

        Raises Unavailable when there is none.
        """
        ...
