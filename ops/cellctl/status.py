"""`cellctl status`: what runs, and how far the cells are."""

import click
from rich.table import Table
from rich.text import Text

from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Seat, at_platform, watch_options
from ops.cellctl.terminal import console, harmless
from ops.platform_port import CellStatus, GroupStatus, ProcessStatus, Status

STYLES = {"ready": "green", "active": "green", "starting": "yellow", "draining": "yellow"}


@click.command("status")
@click.option("--positions", is_flag=True, help="Also every partition's offsets.")
@watch_options
@at_platform
def command(seat: Seat, positions: bool, every_s: float | None) -> None:
    """Show servers, services, positions and lag.

    The exit code is 8 where something is not ready, so that scripts can wait for it.

    \b
    Examples:
      cellctl status
      cellctl status --watch --every 5
      cellctl status --json
    """
    healthy = True

    def look() -> None:
        nonlocal healthy
        status = seat.platform.status()
        healthy = status.healthy
        document = {"healthy": status.healthy, "status": status}
        seat.answer(document, lambda: _draw(status, positions), one_line=every_s is not None)

    seat.repeat(every_s, look)
    if not healthy and every_s is None:
        raise Ended(Exit.PARTIAL, "not everything is ready; the list says what, its log says why")


def _draw(status: Status, positions: bool) -> None:
    out = console()
    where = status.folder or status.registry
    out.print(Text(f"{status.profile} platform, {where}", style="bold"))
    if status.servers:
        out.print(_processes("servers", status.servers))
    if status.services:
        out.print(_processes("services", status.services, admin=True))
    out.print(_cells(status.cells))
    if status.groups:
        out.print(_groups(status.groups))
    if positions:
        for cell in status.cells:
            out.print(_positions(cell))


def _processes(title: str, processes: tuple[ProcessStatus, ...], *, admin: bool = False) -> Table:
    where = ("address", "admin") if admin else ("address",)
    table = _table(title, "name", "state", *where, "pid", "restarts", "detail")
    for each in processes:
        pid = str(each.pid) if each.pid is not None else ""
        detail = harmless(each.detail).strip()
        state = Text(each.state, style=STYLES.get(each.state, "red"))
        beside = [f"{name} {address}" for name, address in each.beside.items()]
        address = ", ".join([each.address, *beside])
        at = (address, each.admin) if admin else (address,)
        table.add_row(each.name, state, *at, pid, str(each.restarts), Text(detail))
    return table


def _cells(cells: tuple[CellStatus, ...]) -> Table:
    table = _table("cells", "name", "state", "applied", "of", "lag", "dead letters")
    for cell in cells:
        applied = sum(each.low for each in cell.positions)
        end = sum(each.end for each in cell.positions)
        lag = "unknown" if cell.lag_s is None else f"{cell.lag_s:.1f} s"
        state = Text(cell.state, style=STYLES.get(cell.state, "red"))
        table.add_row(cell.name, state, str(applied), str(end), lag, str(cell.dead_letters))
    return table


def _groups(groups: tuple[GroupStatus, ...]) -> Table:
    table = _table("cell groups", "name", "cells", "relays", "events to bring", "lag")
    for group in groups:
        relays = Text(str(group.relays), style="green" if group.relays else "red")
        events = "unknown" if group.events is None else f"{group.events:,}"
        lag = "unknown" if group.lag_s is None else f"{group.lag_s:.1f} s"
        table.add_row(group.name, ", ".join(group.cells), relays, events, lag)
    return table


def _positions(cell: CellStatus) -> Table:
    table = _table(f"positions of {cell.name}", "partition", "low", "high", "end", "behind")
    for each in cell.positions:
        numbers = (each.partition, each.low, each.high, each.end, each.end - each.low)
        table.add_row(*(str(number) for number in numbers))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table
