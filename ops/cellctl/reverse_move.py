"""`cellctl reverse-move`."""

import click

from ops.cellctl.move_text import act, acting
from ops.cellctl.seat import Seat


@click.command("reverse-move")
@acting
def command(seat: Seat, move_id: int, execute: bool) -> None:
    """Take a switched move back.

    The cell before has gone on delivering, so nothing is copied.

    \b
    Examples:
      cellctl reverse-move 7
      cellctl reverse-move 7 --execute
    """
    act(seat, move_id, "reverse", execute=execute)
