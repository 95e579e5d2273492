"""Checks of what cells hold, as `cellctl` asks for them."""

from cell.reader_sample import Range, Sample
from idgen.clock import Clock
from idgen.errors import BadRequest
from ops.audit import Auditor
from ops.cell_check import CellChecker
from ops.cells_diff import CellsComparison
from ops.checks_port import Audit, AuditSettings, CellCheck, CellsDiff, Steps
from ops.wiring.seams import Seams
from router.cells import APPLYING, CellInfo, read_cell
from router.moves import Refused
from router.registry import Registry
from router.routes import read_routes
from router.slices import Slices

ROUTES_MS = 1_000
"""Routes are read again after so long while an audit goes on."""


class CheckDesk:
    """`ops.platform_port.Checks` over the seams of a platform."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams

    def verify_cell(self, cell: str, sample: Sample, seed: int, moved_on: Steps) -> CellCheck:
        """A sample of the readers whom the routes name the cell for. Raises NotFound,
        Unavailable."""
        _check_applies(read_cell(self._seams.registry, cell).info)
        slices = read_routes(self._seams.registry).slices
        homed = [(s.start, slices.end(i) - 1) for i, s in enumerate(slices) if s.cell == cell]
        checker = CellChecker(self._seams.cell(cell), self._seams.clock.now_ms())
        return checker.check(homed, sample, seed, moved_on)

    def diff_cells(self, a: str, b: str, within: Range, moved_on: Steps) -> CellsDiff:
        """The posts of two cells side by side. Raises NotFound, BadRequest(cells), Unavailable."""
        for name in (a, b):
            _check_applies(read_cell(self._seams.registry, name).info)
        if a == b:
            raise BadRequest("cells", f"{a} and {b} are one cell: name two")
        comparison = CellsComparison(self._seams.cell(a), self._seams.cell(b))
        return comparison.compare(within, moved_on)

    def audit(self, settings: AuditSettings, moved_on: Steps) -> Audit:
        """Reach in all cells that are home to somebody. Raises Unavailable."""
        homes = _Homes(self._seams.registry, self._seams.clock)
        cells = {name: self._seams.cell(name) for name in homes.slices().cells()}
        auditor = Auditor(cells, homes.cell, self._seams.clock, settings)
        return auditor.run(moved_on)


class _Homes:
    """Who is homed where by the routes, at most ROUTES_MS ago."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._slices = read_routes(registry).slices
        self._read_ms = clock.monotonic_ms()

    def slices(self) -> Slices:
        """All slices."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._read_ms >= ROUTES_MS:
            self._slices, self._read_ms = read_routes(self._registry).slices, now_ms
        return self._slices

    def cell(self, place: int) -> str:
        """The cell that a place is homed in."""
        return self.slices().at(place).cell


def _check_applies(info: CellInfo) -> None:
    """Raises Refused for a cell that applies nothing: it has nothing to be held against."""
    if info.state not in APPLYING:
        why = f"cell {info.name} is {info.state} and applies nothing: there is nothing to check"
        raise Refused(info.state.value, f"{why}; `cellctl list-cells` has the others")
