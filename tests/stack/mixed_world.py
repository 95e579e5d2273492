"""A stack whose cells are of different programs: what a platform is while it is upgraded."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from cell.dashboard import Dashboard
from cell.state import PartitionState
from firehose.log import Appended
from ops import addresses
from ops.config import Config
from ops.creation import Progress
from ops.roles import ROLES_OF_A_CELL
from ops.running_stack import RunningStack, _cell_info
from ops.stack.child import ChildSpec
from ops.stack.servers import Addresses
from router.registry import Registry
from tests.golden import released
from tests.stack.stack_world import READY_S, StackWorld

CELLCTL = "ops.cellctl.main"
TOMORROW = "tests.golden.tomorrow"


class Program(NamedTuple):
    """Where the packages are, and which module is the command line."""

    root: Path
    module: str = CELLCTL


TODAY = Program(released.ROOT)
LATER = Program(released.ROOT, TOMORROW)


class MixedStack(RunningStack):
    """The services of each cell are of its program (or of one named for the service itself), the
    others of today's; the platform was created by `creator`."""

    def __init__(
        self,
        config: Config,
        progress: Progress,
        creator: Program,
        programs: Mapping[str, Program],
    ) -> None:
        self._creator = creator
        self.programs = dict(programs)
        super().__init__(config, progress)

    def _start_servers(self) -> Addresses:
        found = super()._start_servers()
        infos = [_cell_info(name, cell) for name, cell in found.cells.items()]
        told = msgspec.json.encode(infos).decode()
        released.run(
            self._creator.root,
            "tests.golden.creation",
            str(self._folder),
            found.zookeeper,
            found.kafka,
            told,
        )
        return found

    def service(self, role: str, cell: str, zookeeper: str, number: int = 1) -> ChildSpec:
        """The service, by the program of its cell."""
        spec = super().service(role, cell, zookeeper, number)
        program = self.programs.get(spec.name) or self.programs.get(cell, TODAY)
        argv = tuple(program.module if word == CELLCTL else word for word in spec.argv)
        added = {"PYTHONPATH": str(program.root), "PYTHONSAFEPATH": "1"}
        return replace(spec, argv=argv, env={**(spec.env or {}), **added})


class MixedWorld(StackWorld):
    """Two cells of different programs, on a platform that the first one's has created."""

    def __init__(self, folder: Path, programs: Mapping[str, Program]) -> None:
        super().__init__(folder)
        self._programs = programs

    def _made(self) -> RunningStack:
        creator = self._programs[self.cells[0]]
        self._mixed = MixedStack(self._config, print, creator, self._programs)
        return self._mixed

    def client_of(self, cell: str) -> Dashboard:
        """A client of a cell's own endpoint."""
        return self._running.platform.dashboard(cell)

    @property
    def registry(self) -> Registry:
        """The registry that all programs share."""
        return self._seams.registry

    def append(self, partition: int, value: bytes) -> Appended:
        """Append a record to the firehose, whatever it is."""
        (appended,) = self._seams.firehose().append([(partition, value)])
        return appended

    def states(self, cell: str) -> dict[int, PartitionState]:
        """How far a cell is."""
        return self._seams.cell(cell).state().read()

    def behind(self, cell: str) -> int:
        """How many events a cell has to apply."""
        stores = self._seams.cell(cell)
        return stores.behind(stores.ends())

    def changes_told(self, cell: str) -> int:
        """How many records the workers of a cell have told its dashboards, which v0.1.0 does
        not."""
        return self._seams.cell(cell).changes.spans()[0].end

    def program_of(self, cell: str) -> Program:
        """The program of a cell as the platform began."""
        return self._programs[cell]

    def restarts(self, service: str) -> int:
        """How often a service died and was started again."""
        return self._running.supervisor.restarts(service)

    def log_of(self, service: str) -> str:
        """What a service has said."""
        return self._running.supervisor.log(service).read_text()

    def is_ready(self, service: str) -> bool:
        """Whether a service is ready now."""
        return self._running.supervisor.is_ready(service)

    def install(self, cell: str, program: Program, roles: Sequence[str] = ROLES_OF_A_CELL) -> None:
        """Stop services of a cell and start those of a program; returns when they are ready."""
        supervisor, zookeeper = self._running.supervisor, addresses.read(self._folder).registry
        for role in roles:
            self._mixed.programs[f"{role}-{cell}"] = program
            supervisor.stop_child(f"{role}-{cell}")
        for role in roles:
            supervisor.start(self._mixed.service(role, cell, zookeeper))
        supervisor.wait_ready([f"{role}-{cell}" for role in roles], READY_S)
