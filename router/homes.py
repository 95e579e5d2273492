"""Routes as the answers of the dashboard API, at the router and at every cell alike."""

from typing import Protocol

from cell.dashboard import Home, Homed, SliceHome, Topology
from router.routes import RouteTable


class Endpoints(Protocol):
    """Where the cells' dashboards answer; joined in `ops`."""

    def addresses(self, cell: str) -> tuple[str, ...]:
        """Where the cell's dashboard endpoints answer, for clients that call them directly."""
        ...


class Homes:
    """Where readers are homed, as last known here; `cell.dashboard.Homes`."""

    def __init__(self, routes: RouteTable, endpoints: Endpoints) -> None:
        self._routes = routes
        self._endpoints = endpoints

    def homed(self, reader: int) -> Homed:
        """Where the routes have a reader."""
        found = self._routes.home(reader)
        return Homed(found.cell, found.epoch, found.after)

    def renew(self) -> None:
        """Read the routes now. Raises Unavailable."""
        self._routes.refresh()

    def of(self, reader: int) -> Home:
        """A reader's home."""
        home = self._routes.home(reader)
        return Home(home.cell, home.epoch, self._endpoints.addresses(home.cell))

    def topology(self) -> Topology:
        """All slices, and the cells that are home to somebody."""
        slices = self._routes.slices()
        return Topology(
            tuple(SliceHome(s.start, s.cell, s.epoch) for s in slices),
            {cell: self._endpoints.addresses(cell) for cell in slices.cells()},
        )
