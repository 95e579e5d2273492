"""Which cell becomes home to what. Pure: routes and cells in, a decision out."""

from collections.abc import Sequence

from idgen.errors import BadRequest
from router.cells import CellInfo, CellState
from router.slices import Slices, even


def first_routes(cells: Sequence[CellInfo]) -> Slices:
    """The routes of a new platform: equal parts for its active cells, by name, at epoch 1.

    Raises BadRequest(cells) when none is active.
    """
    return even(sorted(cell.name for cell in cells if cell.state is CellState.ACTIVE))


def roomiest(cells: Sequence[CellInfo], slices: Slices) -> str:
    """The active cell that is home to the smallest part of the key space; ties by name.

    Raises BadRequest(cells) when none is active.
    """
    active = sorted(cell.name for cell in cells if cell.state is CellState.ACTIVE)
    if not active:
        raise BadRequest("cells", "no cell is active")
    return min(active, key=slices.width)
