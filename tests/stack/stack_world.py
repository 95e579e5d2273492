"""The stack profile as the proofs see it: real servers, and our services, which are killed."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from redis import Redis

from cell.dashboard import Dashboard
from cell.ingest import group_of
from firehose.places import Earliest
from idgen.errors import Conflict, DeadlineExceeded, Unavailable
from ops import addresses
from ops.config import Config
from ops.config_settings import Platform as PlatformSection
from ops.platform_port import Moves
from ops.running_stack import RunningStack
from ops.stack.errors import (
    JarsUnavailable,
    JavaMissing,
    JavaUnsuitable,
    MavenMissing,
    RedisMissing,
)
from ops.table_hash import table_hash
from ops.wiring.stack import StackSeams
from router.cells import read_cell
from tests.contract.patience import until
from tests.higgs import of_seams
from tests.higgs.platform import Fault

MISSING = (JarsUnavailable, JavaMissing, JavaUnsuitable, MavenMissing, RedisMissing)
CELLS = 2
READY_S = 120.0


class StackWorld:
    """`tests.higgs.platform.Platform` over `cellctl up`'s own machinery; a context manager.

    One thread makes the faults.
    """

    def __init__(self, folder: Path, partitions: int = 0) -> None:
        """`partitions` of the firehose; 0: as many as by default."""
        section = PlatformSection(
            data=str(folder), profile="stack", cells=CELLS, partitions=partitions
        )
        self._config = Config(platform=section)
        self._folder = folder

    def __enter__(self) -> Self:
        try:
            self._running = self._made()
        except MISSING as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"REAL SERVERS MISSING, NOT TESTED: {error}")
        self._zookeeper = addresses.read(self._folder).registry
        self._seams = StackSeams(self._config, self._zookeeper)
        self._checkpoints = self._seams.checkpoints()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._seams.close()
        self._running.platform.close()
        self._running.stop()

    def _made(self) -> RunningStack:
        return RunningStack(self._config, print)

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells' names."""
        return self._config.platform.cell_names

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All of them."""
        return tuple(Fault)

    def client(self) -> Dashboard:
        """A client of the router, over the wire."""
        return self._running.platform.dashboard()

    def inject(self, fault: Fault, cell: str) -> None:
        """Make a fault; returns when what was hit is ready again."""
        match fault:
            case Fault.KILL_INGEST:
                self._kill(f"ingest-{cell}")
            case Fault.KILL_GATEWAY:
                self._kill(f"hbase-{cell}-thrift2")
            case Fault.KILL_REGION_SERVER:
                self._kill(f"hbase-{cell}-regionserver")
            case Fault.KILL_MOVER:
                self._kill("mover")
            case Fault.FLUSH_CACHE:
                host, _, port = read_cell(self._seams.registry, cell).info.redis.rpartition(":")
                with Redis(host=host, port=int(port), socket_timeout=5) as redis:
                    redis.flushall()
            case Fault.RESTART_ROUTER:
                self._running.supervisor.restart("router")
                self._running.supervisor.wait_ready(["router"], READY_S)
            case Fault.STALL_INGEST:
                self._stall(cell)

    def moves(self) -> Moves:
        """By `cellctl`'s own means."""
        return self._running.platform.moves

    def home(self, place: int) -> str:
        """By the routes in the registry, which may be away for a while."""
        return until("the routes are read", lambda: self._home(place), READY_S)

    def _home(self, place: int) -> str:
        try:
            return of_seams.home(self._seams, place)
        except Unavailable:
            return ""

    def reader_after(self, cell: str, place: int) -> int:
        """By the cell's tables."""
        return of_seams.reader_after(self._seams, cell, place)

    def caught_up(self) -> bool:
        """Whether every cell has applied the log and committed it."""
        return all(self.replayed(cell) for cell in self.cells)

    def replayed(self, cell: str) -> bool:
        """Whether the cell's group has committed the end of the log."""
        committed = self._checkpoints.committed(group_of(cell))
        spans = self._seams.firehose().spans()
        return all(committed.get(p, s.start) >= s.end for p, s in enumerate(spans))

    def rewind(self, cell: str) -> None:
        """To the beginning: the first cell's group by `cellctl`'s means while its worker runs, the
        others' by their checkpoints while none does."""
        if cell == self.cells[0]:
            self._rewind_running(cell)
        else:
            self._rewind_stopped(cell)

    def _rewind_running(self, cell: str) -> None:
        groups = self._running.platform.groups
        plan = groups.rewind_plan(group_of(cell), ("--to-earliest", Earliest()), ())
        assert plan.members, plan
        with suppress(DeadlineExceeded):  # told, and it will; it is waited for
            groups.rewind(plan, pause=True)
        until(f"cell {cell} reads again", lambda: not self.replayed(cell), READY_S)

    def _rewind_stopped(self, cell: str) -> None:
        self._running.supervisor.stop_child(f"ingest-{cell}")
        spans = self._seams.firehose().spans()
        starts = {p: s.start for p, s in enumerate(spans)}

        def rewound() -> bool:
            try:
                self._seams.checkpoints().rewind(group_of(cell), starts)
            except Conflict:
                return False  # the group has not noticed yet that its member left
            return True

        until(f"the group of cell {cell} is rewound", rewound, READY_S)
        self._start_ingest(cell)

    def table_hash(self, cell: str) -> str:
        """A hash over the cell's rows, read over its gateway."""
        return table_hash(self._seams.cell(cell).tables)

    def _kill(self, name: str) -> None:
        supervisor = self._running.supervisor
        before = supervisor.restarts(name)
        supervisor.kill(name, signal.SIGKILL)
        until(f"{name} died", lambda: supervisor.restarts(name) > before, READY_S)
        supervisor.wait_ready([name], READY_S)

    def _stall(self, cell: str) -> None:
        """A second worker joins; the first one stops until its session is over and the other has
        all of it; then it goes on with what it had polled, and the second one leaves."""
        first, second = f"ingest-{cell}", f"ingest-{cell}.2"
        supervisor = self._running.supervisor
        self._start_ingest(cell, 2)
        self._wait_members(cell, 2)
        supervisor.kill(first, signal.SIGSTOP)
        try:
            self._wait_members(cell, 1)
        finally:
            supervisor.kill(first, signal.SIGCONT)
        self._wait_members(cell, 2)
        supervisor.stop_child(second)
        supervisor.wait_ready([first], READY_S)

    def _start_ingest(self, cell: str, number: int = 1) -> None:
        spec = self._running.service("ingest", cell, self._zookeeper, number)
        self._running.supervisor.start(spec)
        self._running.supervisor.wait_ready([spec.name], READY_S)

    def _wait_members(self, cell: str, count: int) -> None:
        checkpoints = self._seams.checkpoints()

        def there() -> bool:
            members = checkpoints.members(group_of(cell))
            return len(members) == count and all(m.partitions for m in members)

        until(f"{count} members in the group of cell {cell}", there, READY_S)
