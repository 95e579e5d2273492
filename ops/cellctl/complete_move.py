"""`cellctl complete-move`."""

import click

from ops.cellctl.move_text import act, acting
from ops.cellctl.seat import Seat


@click.command("complete-move")
@acting
def command(seat: Seat, move_ids: tuple[int, ...], execute: bool) -> None:
    """Complete a switched move now.

    Otherwise that happens when the time of `--keep` is over. It cannot be reversed then.

    Of several, all or none.

    \b
    Examples:
      cellctl complete-move 7
      cellctl complete-move 7 8 9 --execute
    """
    act(seat, move_ids, "complete", execute=execute)
