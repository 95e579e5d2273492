"""`cellctl reverse-move`."""

import click

from ops.cellctl.move_text import act, acting
from ops.cellctl.seat import Seat


@click.command("reverse-move")
@acting
def command(seat: Seat, move_ids: tuple[int, ...], execute: bool) -> None:
    """Take a switched move back.

    The cell before has gone on delivering, so nothing is copied.

    \b
    Examples:
      cellctl reverse-move 7
      cellctl reverse-move 7 8 9 --execute
    """
    act(seat, move_ids, "reverse", execute=execute)
