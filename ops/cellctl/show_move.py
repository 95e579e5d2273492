"""`cellctl show-move`: one move, its progress and its history."""

import click

from ops.cellctl.move_text import document, draw
from ops.cellctl.seat import Seat, at_platform, watch_options


@click.command("show-move")
@click.argument("move_id", metavar="MOVE", type=click.IntRange(1))
@watch_options
@at_platform
def command(seat: Seat, move_id: int, every_s: float | None) -> None:
    """Show a move, its progress and its history.

    \b
    Examples:
      cellctl show-move 7
      cellctl show-move 7 --json
    """

    def look() -> None:
        view = seat.platform.moves.show(move_id)
        seat.answer(document(view), lambda: draw(view), one_line=every_s is not None)

    seat.repeat(every_s, look)
