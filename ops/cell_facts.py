"""What is known of a cell before something is done with it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from cell.state import homes_now
from ops.platform_port import CellStatus
from ops.wiring.seams import Seams
from router.cells import CellInfo
from router.preflight import CellFacts
from router.routes import read_routes

FRESH_MS = 2_000
"""One command may begin hundreds of moves: so long what was found of a cell is good for others."""


class Facts:
    """Asks cells and disks; `folder` is the platform's, where it is on this machine."""

    def __init__(
        self, seams: Seams, status_of: Callable[[CellInfo], CellStatus], folder: Path | None
    ) -> None:
        self._seams = seams
        self._status_of = status_of
        self._folder = folder
        self._found: dict[CellInfo, tuple[int, CellFacts]] = {}

    def of(self, info: CellInfo) -> CellFacts:
        """The facts of one cell, as of now or a moment ago."""
        now_ms = self._seams.clock.monotonic_ms()
        at_ms, found = self._found.get(info, (0, None))
        if found is None or now_ms - at_ms > FRESH_MS:
            found = self._ask(info)
            self._found[info] = (now_ms, found)
        return found

    def _ask(self, info: CellInfo) -> CellFacts:
        status = self._status_of(info)
        fragments, lost = 0, False
        if status.lag_s is not None:
            states = self._seams.cell(info.name).state().read()
            fragments = max(len(state.residents) for state in states.values())
            routed = info.name in read_routes(self._seams.registry).slices.cells()
            lost = routed and not homes_now(states.values()).ranges
        used = self.disk_used()
        return CellFacts(info, status.lag_s, status.dead_letters, fragments, used, lost)

    def disk_used(self) -> float | None:
        """The share of the disk of the platform's folder that is used; None: it is elsewhere."""
        if self._folder is None:
            return None
        usage = shutil.disk_usage(self._folder)
        return usage.used / usage.total
