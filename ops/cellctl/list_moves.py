"""`cellctl list-moves`: moves under way, and those that were."""

import click
from rich.table import Table

from ops.cellctl.move_text import document, who_of
from ops.cellctl.seat import Seat, at_platform, watch_options
from ops.cellctl.terminal import console, when
from ops.platform_port import MoveView


@click.command("list-moves")
@click.option("--all", "all_wanted", is_flag=True, help="Also those that are finished.")
@watch_options
@at_platform
def command(seat: Seat, all_wanted: bool, every_s: float | None) -> None:
    """List moves, those under way first.

    \b
    Examples:
      cellctl list-moves
      cellctl list-moves --all --json
    """

    def look() -> None:
        views = [v for v in seat.platform.moves.list() if all_wanted or not v.move.finished]
        views.sort(key=lambda v: (v.move.finished, -v.move.id))
        one_line = every_s is not None
        seat.answer([document(v) for v in views], lambda: _draw(views), one_line=one_line)

    seat.repeat(every_s, look)


def _draw(views: list[MoveView]) -> None:
    if not views:
        click.echo("no moves are under way; `cellctl list-moves --all` has the finished ones")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("move", "who", "from", "to", "state", "since", "rows", "waits for"):
        table.add_column(column)
    for view in views:
        move = view.move
        table.add_row(
            str(move.id),
            who_of(move),
            move.source,
            move.target,
            move.state.value,
            when(move.history[-1].at_ms),
            f"{move.rows:,}",
            move.trouble or move.waits_for,
        )
    console().print(table)
