"""Checks of what cells hold, as `cellctl` asks for them."""

from cell.reader_sample import Range, Sample
from idgen.errors import BadRequest
from ops.cell_check import CellChecker
from ops.cells_diff import CellsComparison
from ops.platform_port import CellCheck, CellsDiff, Steps
from ops.wiring.seams import Seams
from router.cells import read_cell
from router.routes import read_routes


class CheckDesk:
    """`ops.platform_port.Checks` over the seams of a platform."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams

    def verify_cell(self, cell: str, sample: Sample, seed: int, moved_on: Steps) -> CellCheck:
        """A sample of the readers whom the routes name the cell for. Raises NotFound,
        Unavailable."""
        read_cell(self._seams.registry, cell)
        slices = read_routes(self._seams.registry).slices
        homed = [(s.start, slices.end(i) - 1) for i, s in enumerate(slices) if s.cell == cell]
        checker = CellChecker(self._seams.cell(cell), self._seams.clock.now_ms())
        return checker.check(homed, sample, seed, moved_on)

    def diff_cells(self, a: str, b: str, within: Range, moved_on: Steps) -> CellsDiff:
        """The posts of two cells side by side. Raises NotFound, BadRequest(cells), Unavailable."""
        for name in (a, b):
            read_cell(self._seams.registry, name)
        if a == b:
            raise BadRequest("cells", f"{a} and {b} are one cell: name two")
        comparison = CellsComparison(self._seams.cell(a), self._seams.cell(b))
        return comparison.compare(within, moved_on)
