"""`cellctl firehose delete`: forget a consumer group."""

import click

from ops.cellctl.group_text import summary
from ops.cellctl.seat import Seat, at_platform
from ops.cellctl.terminal import harmless


@click.command("delete")
@click.argument("group")
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@at_platform
def command(seat: Seat, group: str, execute: bool) -> None:
    """Forget a group and its checkpoints.

    Who joins it again begins at the log's start. Refused while it has members, and for the group of
    a cell that is not retired.

    \b
    Examples:
      cellctl firehose delete reports
      cellctl firehose delete reports --execute
    """
    view = seat.platform.groups.delete(group, execute=execute)
    name = harmless(group)
    text = f"group {name} is forgotten" if execute else f"would forget group {name}; do it with"
    seat.answer(
        summary(view) | {"executed": execute},
        lambda: click.echo(text if execute else f"{text} --execute"),
    )
