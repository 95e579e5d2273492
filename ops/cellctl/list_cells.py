"""`cellctl list-cells`: the cells, how they are and what they are home to."""

import click

from ops.cellctl.cell_text import document, draw_list
from ops.cellctl.seat import Seat, at_platform


@click.command("list-cells")
@at_platform
def command(seat: Seat) -> None:
    """List cells, their lag, and their share of the readers.

    \b
    Examples:
      cellctl list-cells
      cellctl list-cells --json
    """
    views = seat.platform.cells.list()
    seat.answer([document(view) for view in views], lambda: draw_list(views))
