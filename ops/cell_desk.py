"""Cells as `cellctl` asks for them: listed, described, cordoned."""

from collections.abc import Callable

import msgspec

from idgen.errors import Conflict
from ops.platform_port import CellStatus, CellView
from ops.wiring.seams import Seams
from router.cells import CellInfo, change_cell, read_cell, read_cells
from router.move_records import open_moves, read_move
from router.routes import read_routes
from router.slices import PLACES

_TRIES = 8


class CellDesk:
    """`ops.platform_port.Cells` over the seams of a platform."""

    def __init__(self, seams: Seams, status_of: Callable[[CellInfo], CellStatus]) -> None:
        self._seams = seams
        self._status_of = status_of

    def list(self) -> list[CellView]:
        """All cells by name."""
        return [self._view(info) for info in read_cells(self._seams.registry)]

    def describe(self, name: str) -> CellView:
        """One cell. Raises NotFound."""
        return self._view(read_cell(self._seams.registry, name).info)

    def cordon(self, name: str, *, cordoned: bool) -> CellView:
        """Have moves and rebalancing leave a cell alone as their target, or not any more.

        Raises NotFound.
        """
        for attempt in range(_TRIES):
            found = read_cell(self._seams.registry, name)
            changed = msgspec.structs.replace(found.info, cordoned=cordoned)
            try:
                change_cell(self._seams.registry, changed, found.version)
            except Conflict:
                if attempt == _TRIES - 1:
                    raise
            else:
                return self._view(changed)
        raise AssertionError("the last attempt returns or raises")

    def _view(self, info: CellInfo) -> CellView:
        registry = self._seams.registry
        slices = read_routes(registry).slices
        moves = [read_move(registry, i).move for i in open_moves(registry)]
        return CellView(
            status=self._status_of(info),
            info=info,
            slices=sum(s.cell == info.name for s in slices),
            share=slices.width(info.name) / PLACES,
            leaving=tuple(m.id for m in moves if m.source == info.name),
            arriving=tuple(m.id for m in moves if m.target == info.name),
        )
