"""Two cells, their workers and movers in one thread, on the embedded platform's own files.

Time is the test's, and nothing happens by itself: workers apply a batch, movers do a stage, and
routers read their routes when they are told to. So every interleaving comes from a seed.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cell.commands import Command, encode
from cell.dashboard import Build, Context, Page, PageQuery
from cell.handler import CellHandler
from cell.ingest import IngestSettings, IngestWorker, group_of
from cell.stores import CellStores
from firehose.checkpoint import Member
from firehose.position import parse_token
from idgen.errors import Conflict, Unavailable
from idgen.ids import spread
from ops.cell_clients import LocalCells
from ops.config import Config
from ops.config_settings import Platform
from ops.creation import create_platform
from ops.new_cells import begin_new_cell
from ops.platform_port import NewCell
from ops.wiring.embedded import EmbeddedSeams
from router import bootstrap_carrier
from router.bootstrap_carrier import BootstrapCarrier
from router.bootstraps import is_due as is_due_cell
from router.carrier import Carrier, MoverSettings, Reach, When, unharmed
from router.cells import APPLYING, BootstrapStage, CellInfo, Versioned, read_cell
from router.handler import Router
from router.homes import Homes
from router.move_records import Found, Wanted, create_move, open_moves, read_move
from router.moves import Move, Stage, is_due
from router.routes import RouteTable
from tests.oracle.model import Model
from tests.oracle.operations import Operation
from tests.unit.firehose_world import IdsInARow, ManualClock

CELLS = ("a", "b")
STOPPED = threading.Event()
STOPPED.set()
TICK_MS = 501
"""Workers look for commands, and dashboards at their table, after so long."""
STEPS_MAX = 2_000
SESSION_MS = 3_600_000


class Killed(BaseException):
    """The mover died."""


@dataclass(frozen=True)
class Done:
    """An acknowledged operation, and where in the log it is."""

    operation: Operation
    partition: int
    offset: int


class _RereadHomes(Homes):
    """A cell's knowledge of the routes, read anew each time it is asked."""

    def homed(self, reader: int):  # type: ignore[no-untyped-def]  # as in the base
        self.renew()
        return super().homed(reader)


class WorkedCell:
    """A cell, with a worker that does a batch when it is told to."""

    def __init__(
        self, stores: CellStores, join: Callable[[], Member], worker: IngestWorker
    ) -> None:
        self.stores = stores
        self.worker = worker
        self.member = join()

    def work(self) -> None:
        """Apply a batch, if there is one."""
        try:
            self.worker.step(self.member)
        except (Unavailable, Conflict) as error:
            self.worker._recover(error, STOPPED)

    @property
    def settled(self) -> bool:
        """Whether all that is told to it is applied."""
        stores = self.stores
        states = stores.state().read()
        told = stores.commands.spans()[0].end
        return not stores.behind(stores.ends()) and all(s.commands >= told for s in states.values())


class MoveWorld:
    """The platform; `close` it."""

    def __init__(
        self, folder: Path, ingest: IngestSettings, partitions: int = 1, log_base: int = 0
    ) -> None:
        self.clock = ManualClock()
        self.ingest = ingest
        platform = Platform(data=str(folder), cells=2, partitions=partitions, log_base=log_base)
        self.seams = EmbeddedSeams(Config(platform=platform), self.clock)
        create_platform(self.seams, CELLS, lambda _: None, log_base)
        self.registry = self.seams.registry
        self.handlers: dict[str, CellHandler] = {}
        local = LocalCells(self.handlers)
        self.ids = IdsInARow()
        self.cells: dict[str, WorkedCell] = {}
        self._folder, self._local = folder, local
        for name in CELLS:
            self._run_cell(name)
        self.routes = RouteTable(self.registry, self.clock, folder / "router.copy")
        self.routes.refresh()
        self.router = Router(
            self.routes, local, self.seams.firehose(), self.ids, self.clock, Build("", "router")
        )
        self.done: list[Done] = []
        self.carriers: dict[int, Carrier] = {}
        self.reach: Reach = unharmed
        self.bringers: dict[str, BootstrapCarrier] = {}
        self.reach_bootstrap: bootstrap_carrier.Reach = bootstrap_carrier.unharmed

    def _run_cell(self, name: str) -> None:
        stores = self.seams.cell(name)
        self.begin_work(name)
        routes = RouteTable(self.registry, self.clock, self._folder / f"{name}.copy")
        routes.refresh()
        self.handlers[name] = CellHandler(
            stores, self.ids, self.clock, _RereadHomes(routes, self._local), Build("", "", name)
        )

    def begin_work(self, name: str) -> None:
        """Have a new worker of a cell, with an empty memory."""
        stores = self.seams.cell(name)
        worker = IngestWorker(stores, self.seams.checkpoints(), name, self.clock, self.ingest)
        self.cells[name] = WorkedCell(stores, self._join(name), worker)

    def _join(self, cell: str) -> Callable[[], Member]:
        return lambda: self.seams.checkpoints().join(group_of(cell), cell, SESSION_MS, SESSION_MS)

    def close(self) -> None:
        """Close the files."""
        self.seams.close()

    # What happens.

    def acknowledged(self, operation: Operation, token: bytes) -> None:
        """Remember a write."""
        position = parse_token(token, self.seams.firehose().partitions)
        ((partition, need),) = position.needs.items()
        (offset,) = need.offsets
        self.done.append(Done(operation, partition, offset))

    def tell(self, cell: str, command: Command) -> None:
        """Tell the workers of a cell something."""
        self.cells[cell].stores.commands.append([(0, encode(command))])

    def tick(self) -> None:
        """Let time pass: workers look for commands again, dashboards at their cell's table."""
        self.clock.ms += TICK_MS

    def begin(self, wanted: Wanted) -> Move:
        """Create a move. Raises Refused."""
        return create_move(self.registry, wanted, "test", self.clock.now_ms())

    def found(self, move_id: int) -> Found:
        """A move as it is recorded."""
        return read_move(self.registry, move_id)

    def carry(self, found: Found) -> None:
        """Have the move's mover do one stage of what it has read. It may die."""
        carrier = self.carriers.get(found.move.id)
        if carrier is None:
            carrier = self.carriers[found.move.id] = Carrier(
                self.registry,
                self.seams.cell,
                self.clock,
                "mover",
                MoverSettings(sweep_after_ms=0, work_ms=0, piece_rows=2),
                self.reached,
            )
        try:
            carrier.step(found)
        except (Conflict, Unavailable):
            pass  # somebody else has changed the move, or a cell has to apply something first
        except Killed:
            del self.carriers[found.move.id]

    def add_cell(self, name: str, donor: str, sample: float) -> None:
        """Begin to add a cell."""
        new = NewCell(name, donor, sample)
        begin_new_cell(self.registry, new, "test", self.clock.now_ms())

    def bring_up(self, name: str) -> CellInfo:
        """Have a new cell's mover do one stage, if there is one to do; it may die. The cell as it
        is then; its workers run from when they may."""
        found = read_cell(self.registry, name)
        if is_due_cell(found.info, self.clock.now_ms()):
            self._bring_up(found)
        info = read_cell(self.registry, name).info
        if info.state in APPLYING and name not in self.cells:
            self._run_cell(name)
        return info

    def _bring_up(self, found: Versioned) -> None:
        name = found.info.name
        carrier = self.bringers.get(name)
        if carrier is None:
            settings = MoverSettings(sweep_after_ms=0, work_ms=0, piece_rows=2)
            carrier = self.bringers[name] = BootstrapCarrier(
                self.registry,
                self.seams.cell,
                self.seams.checkpoints,
                self.clock,
                "mover",
                settings,
                self.reached_bootstrap,
            )
        try:
            carrier.step(found)
        except (Conflict, Unavailable):
            pass  # a cell has to apply something first, or somebody has changed the record
        except Killed:
            del self.bringers[name]

    def reached_bootstrap(self, stage: BootstrapStage, when: When) -> None:
        """The same, of movers that bring a cell up."""
        self.reach_bootstrap(stage, when)

    def reached(self, stage: Stage, when: object) -> None:
        """What is said by movers, to be killed at."""
        self.reach(stage, when)  # type: ignore[arg-type]  # a When

    def due(self) -> list[Found]:
        """The moves that a mover would take up."""
        found = [self.found(i) for i in open_moves(self.registry)]
        return [f for f in found if is_due(f.move, self.clock.now_ms())]

    def settle(self) -> None:
        """Let both cells apply all there is."""
        for cell in self.cells.values():
            for _ in range(STEPS_MAX):
                if cell.settled:
                    break
                self.tick()
                cell.work()
            else:
                raise AssertionError(f"cell {cell.stores.name} does not catch up")

    def finish(self) -> None:
        """Let all moves that are due come to where nobody has anything to do."""
        for _ in range(STEPS_MAX):
            due = self.due()
            if not due:
                return
            for found in due:
                self.carry(found)
            self.settle()
        raise AssertionError(f"moves do not end: {[f.move for f in self.due()]}")

    # What is seen.

    def page(self, query: PageQuery) -> Page:
        """A page by the router, whatever its routes are. Raises Unavailable."""
        return self.router.page(Context(50), query)

    def as_of(self, cell: str) -> Model:
        """The model of what a cell has applied: what its pages have to show."""
        states = self.cells[cell].stores.state().read()
        model = Model()
        for each in self.done:
            if states[each.partition].applied.done(each.offset):
                model.apply(each.operation)
        return model

    def in_progress(self, cell: str) -> bool:
        """Whether an event is half done there, so that pages may show a part of it."""
        return any(s.open for s in self.cells[cell].stores.state().read().values())

    def lows(self, cell: str) -> tuple[int, ...]:
        """How far a cell has applied each partition."""
        states = self.cells[cell].stores.state().read()
        return tuple(states[p].applied.low for p in sorted(states))

    def rows_left(self, cell: str, user: int, table: str) -> int:
        """How many rows of a user a table has, of any band."""
        place = spread(user)
        start = place.to_bytes(8, "big")
        return len(self.cells[cell].stores.tables.scan(table, start, start + b"\xff" * 17, 1_000))
