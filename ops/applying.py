"""Ingest of one cell, which applies only while the cell's state lets it.

A cell that is made from a copy has nothing to apply to before the copy is whole: its worker waits
then, wherever it runs and whoever has started it.
"""

import threading
from collections.abc import Callable

from cell.ingest import IngestWorker
from idgen.clock import Clock
from ops.materializing import Materializing
from router.cells import APPLYING, CELLS, read_cell
from router.live import Live
from router.registry import Registry

LOOK_S = 0.05


class ApplyingWorker:
    """A worker of the template's kind; `worker` is the one that applies, or applied last."""

    def __init__(
        self,
        registry: Registry,
        cell: str,
        clock: Clock,
        make_worker: Callable[[], IngestWorker],
        materializing: Materializing | None = None,
    ) -> None:
        """`materializing` runs beside it while anything is applied."""
        self._cell = cell
        self._make_worker = make_worker
        self.materializing = materializing
        self._state = Live(registry, (CELLS,), lambda: read_cell(registry, cell).info.state, clock)
        self._failure: BaseException | None = None
        self.worker = make_worker()

    def run(self, stop: threading.Event) -> None:
        """Apply until `stop`, with pauses. Raises what a worker raises."""
        self._state.start()
        try:
            while not stop.wait(LOOK_S):
                if self._state.value in APPLYING:
                    self._apply_while_it_may(stop)
        finally:
            self._state.close()

    @property
    def trouble(self) -> str:
        """Why nothing is applied; empty when something is, or nothing has to be yet."""
        state = self._state.value
        if state is None:
            return f"the state of cell {self._cell} is not known: {self._state.trouble}"
        if self.worker.ready or state not in APPLYING:
            return ""
        return self.worker.trouble or "no partitions applied yet"

    def _apply_while_it_may(self, stop: threading.Event) -> None:
        self.worker = self._make_worker()
        enough = threading.Event()
        thread = threading.Thread(
            target=self._apply, args=(self.worker, enough), name=f"apply {self._cell}", daemon=True
        )
        thread.start()
        beside = threading.Thread(
            target=self._materialize,
            args=(self.worker, enough),
            name=f"materialize {self._cell}",
            daemon=True,
        )
        beside.start()
        while thread.is_alive() and self._state.value in APPLYING and not stop.wait(LOOK_S):
            pass
        enough.set()
        thread.join()
        beside.join()
        if self._failure is not None:
            raise self._failure

    def _materialize(self, worker: IngestWorker, enough: threading.Event) -> None:
        if self.materializing is not None:
            self.materializing.run(worker.owns, enough)

    def _apply(self, worker: IngestWorker, enough: threading.Event) -> None:
        try:
            worker.run(enough)
        except BaseException as error:  # noqa: BLE001 - raised again where `run` was called
            self._failure = error
