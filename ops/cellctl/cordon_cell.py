"""`cellctl cordon-cell`: no move may choose a cell as its target."""

import click

from ops.cellctl.cell_text import document, draw
from ops.cellctl.seat import Seat, at_platform


@click.command("cordon-cell")
@click.argument("cell")
@click.option("--undo", is_flag=True, help="Let moves choose it again.")
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@at_platform
def command(seat: Seat, cell: str, undo: bool, execute: bool) -> None:
    """Cordon a cell: no move may choose it as its target.

    Moves under way go on, and who is homed there stays.

    \b
    Examples:
      cellctl cordon-cell b --execute
      cellctl cordon-cell b --undo --execute
    """
    if execute:
        view = seat.platform.cells.cordon(cell, cordoned=not undo)
        seat.answer(document(view), lambda: draw(view))
        return
    view = seat.platform.cells.describe(cell)
    what = "uncordon" if undo else "cordon"
    plan = {"plan": what, "cell": view.info.name, "executed": False}
    text = f"would {what} cell {view.info.name}; do it with --execute"
    seat.answer(plan, lambda: click.echo(text))
