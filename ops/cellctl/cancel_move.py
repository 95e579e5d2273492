"""`cellctl cancel-move`."""

import click

from ops.cellctl.move_text import act, acting
from ops.cellctl.seat import Seat


@click.command("cancel-move")
@acting
def command(seat: Seat, move_ids: tuple[int, ...], execute: bool) -> None:
    """Give up a move that has not switched.

    Readers stay where they are; what was copied is swept.

    Of several, all or none.

    \b
    Examples:
      cellctl cancel-move 7
      cellctl cancel-move 7 8 9 --execute
    """
    act(seat, move_ids, "cancel", execute=execute)
