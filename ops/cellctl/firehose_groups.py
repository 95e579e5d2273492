"""`cellctl firehose groups`: all consumer groups."""

import click

from ops.cellctl.group_text import draw_groups, summary
from ops.cellctl.seat import Seat, at_platform


@click.command("groups")
@at_platform
def command(seat: Seat) -> None:
    """List the consumer groups of the firehose.

    \b
    Examples:
      cellctl firehose groups
      cellctl firehose groups --json
    """
    views = seat.platform.groups.list(timed=False)
    seat.answer([summary(view) for view in views], lambda: draw_groups(views))
