"""`cellctl unread`: how much is new to a reader."""

import click

from cell.dashboard import CAP_DEFAULT, CAP_MAX
from ops.cellctl.lanes import lane_of, lane_option
from ops.cellctl.plain import USER
from ops.cellctl.seat import Seat, at_platform, watch_options


@click.command("unread")
@click.argument("reader", type=USER)
@lane_option()
@click.option(
    "--cap",
    type=click.IntRange(1, CAP_MAX),
    default=CAP_DEFAULT,
    show_default=True,
    help="Where counting stops.",
)
@watch_options
@at_platform
def command(seat: Seat, reader: int, lane: str, cap: int, every_s: float | None) -> None:
    """Count what a reader has not read yet.

    \b
    Examples:
      cellctl unread 5
      cellctl unread 5 --lane notices --cap 1000 --watch
    """
    dashboard = seat.platform.dashboard()

    def look() -> None:
        found = dashboard.unread(seat.context, reader, lane_of(lane), cap)
        text = f"{found.count}{'+' if found.capped else ''}"
        seat.answer(found, lambda: click.echo(text), one_line=every_s is not None)

    seat.repeat(every_s, look)
