"""Routes as the answers of the dashboard API."""

from cell.dashboard import Home, SliceHome, Topology
from router.handler import CellClients
from router.routes import RouteTable


class Homes:
    """Where readers are homed, as last known here."""

    def __init__(self, routes: RouteTable, cells: CellClients) -> None:
        self._routes = routes
        self._cells = cells

    def of(self, reader: int) -> Home:
        """A reader's home."""
        home = self._routes.home(reader)
        return Home(home.cell, home.epoch, self._cells.addresses(home.cell))

    def topology(self) -> Topology:
        """All slices, and the cells that are home to somebody."""
        slices = self._routes.slices()
        return Topology(
            tuple(SliceHome(s.start, s.cell, s.epoch) for s in slices),
            {cell: self._cells.addresses(cell) for cell in slices.cells()},
        )
