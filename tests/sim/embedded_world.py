"""The embedded platform as the machine and the proofs see it, with workers that crash and stall."""

import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from cell.commands import Command, encode
from cell.dashboard import Dashboard
from cell.filling import Filling
from cell.ingest import IngestSettings, IngestWorker, group_of
from cell.stores import CellStores
from ops.applying import ApplyingWorker
from ops.embedded import Embedded, EmbeddedCell
from ops.move_desk import MoveDesk
from ops.platform_port import CellStatus, Moves
from ops.wiring.seams import holder_name
from tests.contract.patience import until
from tests.higgs import of_seams
from tests.higgs.platform import Fault
from tests.sim.breakable import Breakable

CELLS = 2
WAIT_S = 60.0
CRASH_ROWS = (0, 1, 2, 3, 5, 8, 40)


class EmbeddedWorld:
    """A platform in a folder; a context manager. One thread makes the faults."""

    def __init__(self, folder: Path, ingest: IngestSettings | None = None) -> None:
        self._folder = folder
        self._ingest = ingest
        self._lock = threading.RLock()
        self._tables: dict[str, Breakable] = {}
        self._crashed: queue.Queue[str | None] = queue.Queue()
        self._platform = self._made()
        self._crashes = 0
        self.restarts = 0
        self._restarter = threading.Thread(target=self._restart_crashed, name="restarter")
        self._failures: list[Exception] = []

    def __enter__(self) -> Self:
        self._platform.start()
        self._restarter.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._crashed.put(None)
        self._restarter.join(WAIT_S)
        self._platform.stop()
        assert not self._failures, self._failures

    @property
    def dashboard(self) -> Dashboard:
        """The router's, of the present life of the platform."""
        return self._platform.dashboard

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells' names."""
        return tuple(self._platform.cells)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What one process can show of the faults."""
        return (Fault.KILL_INGEST, Fault.FLUSH_CACHE, Fault.STALL_INGEST)

    def client(self) -> Dashboard:
        """The router in this process: any number of threads."""
        return self._platform.dashboard

    # --- the machine's accidents -----------------------------------------------------------------

    def restart(self) -> None:
        """Stop it all, and start it again on its folder."""
        with self._lock:
            self._platform.stop()
            self._platform = self._made()
            self._platform.start()

    def crash_ingest(self, cell: str) -> None:
        """The cell's worker crashes in the middle of what it writes next; another is started."""
        self._crashes += 1
        self._tables[cell].crash_after(CRASH_ROWS[self._crashes % len(CRASH_ROWS)])

    def rewind(self, cell: str, back: int | None = None) -> None:
        """The cell's group reads the last `back` events of each partition again (None: all)."""
        with self._lock:
            spans = self._platform.seams.firehose().spans()
            starts = (s.start if back is None else max(s.start, s.end - back) for s in spans)
            self._platform.rewind(cell, dict(enumerate(starts)))

    def tell(self, cell: str, command: Command) -> None:
        """By the cell's command log."""
        with self._lock:
            self._platform.cells[cell].stores.commands.append([(0, encode(command))])

    def fill(self, cell: str) -> None:
        """One round over all who wait for it."""
        with self._lock:
            Filling(self._platform.cells[cell].stores).fill_all(lambda _: True)

    # --- the proofs' faults ----------------------------------------------------------------------

    def inject(self, fault: Fault, cell: str) -> None:
        """Make a fault; returns when a worker applies again."""
        if fault is Fault.KILL_INGEST:
            before = self.restarts
            self.crash_ingest(cell)
            until("a worker crashed", lambda: self.restarts > before, WAIT_S)
        elif fault is Fault.FLUSH_CACHE:
            self._platform.cells[cell].stores.cache.flush()
        elif fault is Fault.STALL_INGEST:
            self._stall(cell)
        else:
            raise AssertionError(f"one process cannot {fault.value}")

    def moves(self) -> Moves:
        """By `cellctl`'s own means."""
        seams = self._platform.seams
        return MoveDesk(seams, lambda info: CellStatus(info.name, "active", 0.0), self._folder)

    def home(self, place: int) -> str:
        """By the routes in the registry."""
        return of_seams.home(self._platform.seams, place)

    def reader_after(self, cell: str, place: int) -> int:
        """By the cell's tables."""
        return of_seams.reader_after(self._platform.seams, cell, place)

    def caught_up(self) -> bool:
        """Whether every cell has applied the log."""
        return all(self.replayed(cell) for cell in self.cells)

    def replayed(self, cell: str) -> bool:
        """Whether the cell's group has committed the end of the log."""
        with self._lock:
            seams = self._platform.seams
            committed = seams.checkpoints().committed(group_of(cell))
            spans = seams.firehose().spans()
            return all(committed.get(p, s.start) >= s.end for p, s in enumerate(spans))

    def table_hash(self, cell: str) -> str:
        """A hash over the cell's rows."""
        return self._platform.table_hash(cell)

    def _members(self, cell: str) -> int:
        return len(self._platform.seams.checkpoints().members(group_of(cell)))

    def _made(self) -> Embedded:
        return _Tuned(self._folder, self._ingest, self._breakable)

    def _breakable(self, stores: CellStores) -> CellStores:
        tables = Breakable(stores.tables, lambda: self._crashed.put(stores.name))
        self._tables[stores.name] = tables
        return replace(stores, tables=tables)

    def _restart_crashed(self) -> None:
        while (cell := self._crashed.get()) is not None:
            try:
                with self._lock:
                    self._platform.restart_ingest(cell)
                    self.restarts += 1
            except Exception as error:  # noqa: BLE001 - told when the world ends
                self._failures.append(error)

    def _stall(self, cell: str) -> None:
        """A worker hangs before a write, beyond its session; another takes over and goes on; then
        the first one writes what it had."""
        found = self._platform.cells[cell]
        waiting, go_on = self._tables[cell].stall()
        try:
            until("the worker writes", waiting.is_set, WAIT_S)
            stop = threading.Event()
            other = found.applying._make_worker()
            thread = threading.Thread(target=other.run, args=(stop,), name="takes over")
            thread.start()
            try:
                until("another has all of it", lambda: self._members(cell) == 1, WAIT_S)
                until("another goes on", lambda: other.ready, WAIT_S)
            finally:
                go_on.set()
                stop.set()
                thread.join(WAIT_S)
        finally:
            go_on.set()


class _Tuned(Embedded):
    """The platform with workers of other settings than a configuration allows: tiny batches and
    chunks, so that short lives see the middle of things; and with tables of cells that break."""

    def __init__(
        self,
        folder: Path,
        ingest: IngestSettings | None,
        breakable: Callable[[CellStores], CellStores],
    ) -> None:
        super().__init__(folder, cells=CELLS)
        self._tuned = ingest
        self._breakable = breakable

    def _cell(self, name: str) -> EmbeddedCell:
        whole: Callable[[str], CellStores] = self.seams.cell
        self.seams.cell = lambda of: self._breakable(whole(of))  # type: ignore[method-assign]
        try:
            found = super()._cell(name)
        finally:
            self.seams.cell = whole  # type: ignore[method-assign]
        if self._tuned is not None:
            found._make_applying = lambda: self._applying(found.stores)
            found.applying = found._make_applying()
        return found

    def _applying(self, stores: CellStores) -> ApplyingWorker:
        seams = self.seams

        def worker() -> IngestWorker:
            checkpoints = seams.checkpoints()
            return IngestWorker(stores, checkpoints, holder_name(), seams.clock, self._tuned)

        return ApplyingWorker(seams.registry, stores.name, seams.clock, worker)
