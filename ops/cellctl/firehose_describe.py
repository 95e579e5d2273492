"""`cellctl firehose describe`: one consumer group."""

import click

from ops.cellctl.group_text import document, draw_lag
from ops.cellctl.seat import Seat, at_platform


@click.command("describe")
@click.argument("group")
@at_platform
def command(seat: Seat, group: str) -> None:
    """Describe a group: its members, and how far it is in each partition.

    What --json writes can be kept: `cellctl firehose rewind --from-file` takes the group back.

    \b
    Examples:
      cellctl firehose describe cell-a
      cellctl firehose describe cell-a --json > before.json
    """
    view = seat.platform.groups.describe(group)

    def draw() -> None:
        draw_lag(view)
        click.echo(f"cursor: {view.group.cursor}")

    seat.answer(document(view), draw)
