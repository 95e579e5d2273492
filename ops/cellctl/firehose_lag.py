"""`cellctl firehose lag`: how far groups are behind."""

import click

from ops.cellctl.group_text import document, draw_groups, draw_lag, summary
from ops.cellctl.seat import Seat, at_platform, watch_options


@click.command("lag")
@click.argument("group", required=False)
@watch_options
@at_platform
def command(seat: Seat, group: str | None, every_s: float | None) -> None:
    """Show how much groups have to read yet, in events and seconds.

    Seconds are the age of the oldest event that was not read, by its time of append. With GROUP
    also of each partition.

    \b
    Examples:
      cellctl firehose lag
      cellctl firehose lag cell-a --watch
    """

    def look() -> None:
        one_line = every_s is not None
        if group is None:
            views = seat.platform.groups.list(timed=True)
            documents = [summary(view) for view in views]
            seat.answer(documents, lambda: draw_groups(views), one_line=one_line)
        else:
            view = seat.platform.groups.describe(group)
            seat.answer(document(view), lambda: draw_lag(view), one_line=one_line)

    seat.repeat(every_s, look)
