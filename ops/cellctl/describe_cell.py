"""`cellctl describe-cell`: one cell."""

import click

from ops.cellctl.cell_text import document, draw
from ops.cellctl.seat import Seat, at_platform


@click.command("describe-cell")
@click.argument("cell")
@at_platform
def command(seat: Seat, cell: str) -> None:
    """Describe a cell: its state, servers, readers, lag and moves.

    \b
    Examples:
      cellctl describe-cell a
      cellctl describe-cell a --json
    """
    view = seat.platform.cells.describe(cell)
    seat.answer(document(view), lambda: draw(view))
