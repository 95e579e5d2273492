"""`cellctl drain-cell`: all readers of a cell to the others."""

import click

from ops.cellctl.rehoming import keep_option, rehome
from ops.cellctl.seat import Seat, at_platform
from router.move_records import Wanted


@click.command("drain-cell")
@click.argument("cell")
@keep_option("0")
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@click.option("--wait", is_flag=True, help="Follow it; Ctrl-C stops watching, not the moves.")
@at_platform
def command(seat: Seat, cell: str, keep_ms: int, execute: bool, wait: bool) -> None:
    """Drain a cell: move all its readers to the other cells.

    The cell takes nobody in from then on, and can be retired once it is empty. What was cut off
    goes on when this is done again; `cellctl activate-cell` takes it back.

    \b
    Examples:
      cellctl drain-cell b
      cellctl drain-cell b --execute --wait
    """
    cells = seat.platform.cells
    view = cells.describe(cell)
    wanted = [Wanted(t.start, t.last, t.target, 0, keep_ms) for t in cells.drain_plan(cell)]

    if view.leaving:
        moves = ", ".join(map(str, view.leaving))
        click.echo(
            f"cellctl: left out is what moves {moves} carry; do this again when they are over "
            "(`cellctl complete-move`)",
            err=True,
        )

    def begin() -> None:
        if view.info.state.value != "draining":
            cells.change(cell, "drain")

    rehome(seat, wanted, execute=execute, wait=wait, before=begin)
