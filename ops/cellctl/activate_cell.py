"""`cellctl activate-cell`."""

import click

from ops.cellctl.cell_text import change, changing
from ops.cellctl.seat import Seat


@click.command("activate-cell")
@changing
def command(seat: Seat, cell: str, execute: bool) -> None:
    """Activate a cell: moves may choose it again.

    For a cell that is draining; moves under way go on.

    \b
    Examples:
      cellctl activate-cell b
      cellctl activate-cell b --execute
    """
    change(seat, cell, "activate", execute=execute)
