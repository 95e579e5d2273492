"""`cellctl retire-cell`."""

import click

from ops.cellctl.cell_text import change, changing
from ops.cellctl.seat import Seat


@click.command("retire-cell")
@changing
def command(seat: Seat, cell: str, execute: bool) -> None:
    """Retire a cell that is home to nobody.

    Or one that was added and is not active yet. It is not started any more, and its name is not
    given again. Its data stay until somebody deletes them.

    \b
    Examples:
      cellctl retire-cell b
      cellctl retire-cell b --execute
    """
    change(seat, cell, "retire", execute=execute)
