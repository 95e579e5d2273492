"""`cellctl list-id-servers`: who gives ids, under which lease, by which clock."""

from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Seat, at_platform
from ops.cellctl.terminal import console, shown
from ops.platform_port import IdServer

COLUMNS = ("server", "state", "worker", "epoch", "lease left", "clock offset", "ids given")


@click.command("list-id-servers")
@at_platform
def command(seat: Seat) -> None:
    """List the servers of ids: worker id, epoch, lease, clock, ids given.

    The clock's offset is that of the other servers' clocks less its own. The exit code is 8 where
    one does not answer or holds no worker id.

    \b
    Examples:
      cellctl list-id-servers
      cellctl list-id-servers --registry zk-1:2181 --json
    """
    servers = seat.platform.id_servers()
    seat.answer([_document(server) for server in servers], lambda: _draw(servers))
    unable = [s.address for s in servers if s.status is None or s.status.state != "holding"]
    if unable:
        raise Ended(Exit.PARTIAL, f"no ids from {', '.join(unable)}: docs/ids.md says what to do")


def _document(server: IdServer) -> dict[str, Any]:
    told = server.status._asdict() if server.status is not None else {"state": "unknown"}
    said = server.trouble or told.get("trouble", "")
    return {"name": server.name, "address": server.address, **told, "trouble": said}


def _draw(servers: Sequence[IdServer]) -> None:
    table = Table(*COLUMNS, box=None, header_style="bold")
    for server in servers:
        table.add_row(server.address, *_cells(server))
    console().print(table)
    for server in servers:
        said = server.trouble or (server.status.trouble if server.status else "")
        if said:
            console().print(shown(f"{server.address}: {said}"))


def _cells(server: IdServer) -> tuple[str, ...]:
    status = server.status
    if status is None:
        return ("unknown", *("-" for _ in COLUMNS[2:]))
    offset_ms = status.clock_offset_ms
    return (
        status.state,
        str(status.worker) if status.worker >= 0 else "-",
        str(status.epoch),
        f"{status.lease_left_ms / 1000:.0f} s",
        f"{offset_ms} ms of {status.clock_peers}" if offset_ms is not None else "-",
        f"{status.ids_given:,}",
    )
