"""`cellctl switch-move`."""

import click

from ops.cellctl.move_text import act, acting
from ops.cellctl.seat import Seat


@click.command("switch-move")
@acting
def command(seat: Seat, move_ids: tuple[int, ...], execute: bool) -> None:
    """Have a verified move switch that was told to stop before.

    It is refused when the move was verified more than ten minutes ago.

    \b
    Examples:
      cellctl switch-move 7
      cellctl switch-move 7 8 9 --execute
    """
    act(seat, move_ids, "switch", execute=execute)
