"""Doing what the cells in the registry ask for, as they are added, change and are retired."""

import threading
from collections.abc import Callable, Sequence

from idgen.errors import DashcellError
from router.cells import CELLS, CellInfo, read_cells
from router.registry import Registry

LOOK_S = 5.0
LOOKS_APART_S = 0.2
"""A cell that is copied into tells how far it is twice a second."""


class FollowedCells:
    """Calls `follow` with all cells, again and again: soon after one of them was changed. `report`
    is told what goes wrong, in a sentence; it is tried again."""

    def __init__(
        self,
        registry: Registry,
        follow: Callable[[Sequence[CellInfo]], None],
        report: Callable[[str], object],
    ) -> None:
        self._registry = registry
        self._follow = follow
        self._report = report
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow cells", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """No further call begins after this returns."""
        self._stop.set()
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        watch = None
        while not self._stop.is_set():
            self._changed.clear()
            try:
                watch = watch or self._registry.watch(CELLS, self._changed.set)
                self._follow(read_cells(self._registry))
            except DashcellError as error:
                self._report(f"cells cannot be followed: {error}")
            self._changed.wait(LOOK_S)
            self._stop.wait(LOOKS_APART_S)
        if watch is not None:
            watch.cancel()
