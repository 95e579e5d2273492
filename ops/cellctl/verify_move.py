"""`cellctl verify-move`."""

import click

from ops.cellctl.move_text import act, acting
from ops.cellctl.seat import Seat


@click.command("verify-move")
@acting
def command(seat: Seat, move_ids: tuple[int, ...], execute: bool) -> None:
    """Compare the two cells of a move once more.

    For a move that is verified and waits, and for one whose cells did not agree.

    \b
    Examples:
      cellctl verify-move 7
      cellctl verify-move 7 8 9 --execute
    """
    act(seat, move_ids, "verify", execute=execute)
