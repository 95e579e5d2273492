"""`cellctl activate-cell`."""

import click

from ops.cellctl.cell_text import change, changing
from ops.cellctl.seat import Seat


@click.command("activate-cell")
@changing
def command(seat: Seat, cell: str, execute: bool) -> None:
    """Activate a cell: moves may choose it again.

    For one that was added and is dark, once it is verified: its sample leaves, and readers may be
    moved there. And for one that is draining: moves under way go on, unless `cellctl cancel-move`
    is given their numbers, which `cellctl describe-cell` lists.

    \b
    Examples:
      cellctl activate-cell b
      cellctl activate-cell b --execute
    """
    change(seat, cell, "activate", execute=execute)
