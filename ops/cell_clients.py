"""How a router reaches the cells: over the wire, or within this process."""

import ssl
import threading
from collections.abc import Mapping

from cell.dashboard import Dashboard
from idgen.errors import NotFound, Unavailable
from ops.dashboard_client import RelayedDashboards
from router.services import ServiceTable

RETRY_MS = 500


class WireCells:
    """`router.handler.CellClients` over Thrift: the dashboard services that are registered."""

    def __init__(
        self, services: ServiceTable, tls: ssl.SSLContext | None, connections_max: int
    ) -> None:
        self._services = services
        self._tls = tls
        self._connections_max = connections_max
        self._lock = threading.Lock()
        self._clients: dict[str, tuple[tuple[str, ...], RelayedDashboards]] = {}

    def dashboards(self, cell: str) -> Dashboard:
        """A client of the cell's endpoints as they are registered now."""
        addresses = self._services.addresses(cell)
        with self._lock:
            known = self._clients.get(cell)
            if known is not None and (known[0] == addresses or not addresses):
                return known[1]
            if not addresses:
                raise Unavailable(f"no dashboard service of cell {cell!r} is registered", RETRY_MS)
            if known is not None:
                # Others may be about to call it: it goes on, at the new addresses.
                known[1].point_at(addresses)
                client = known[1]
            else:
                client = RelayedDashboards(
                    addresses, tls=self._tls, connections_max=self._connections_max
                )
            self._clients[cell] = (addresses, client)
        return client

    def addresses(self, cell: str) -> tuple[str, ...]:
        """Where the cell's endpoints answer."""
        return self._services.addresses(cell)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for _, client in self._clients.values():
                client.close()
            self._clients.clear()


class LocalCells:
    """`router.handler.CellClients` of cells that live in this process."""

    def __init__(self, cells: Mapping[str, Dashboard]) -> None:
        self._cells = cells
        self._addresses: dict[str, tuple[str, ...]] = {}

    def dashboards(self, cell: str) -> Dashboard:
        """The cell's handler itself."""
        try:
            return self._cells[cell]
        except KeyError:
            raise NotFound(f"there is no cell {cell!r} in this process") from None

    def addresses(self, cell: str) -> tuple[str, ...]:
        """Where the cell's endpoint answers for clients of other processes."""
        return self._addresses.get(cell, ())

    def listening(self, cell: str, address: str) -> None:
        """Make a cell's endpoint known."""
        self._addresses[cell] = (address,)
