"""`cellctl take-ids`: new ids."""

import click

from idgen.snowflake import IDS_MAX
from ops.cellctl.seat import Seat, at_platform


@click.command("take-ids")
@click.argument("count", type=click.IntRange(1, IDS_MAX), default=1)
@at_platform
def command(seat: Seat, count: int) -> None:
    """Take new ids: 1, or COUNT of them, increasing.

    For a write that is to be retried safely (--id), or to see that ids are given.

    \b
    Examples:
      cellctl take-ids
      cellctl take-ids 100 --json
      cellctl take-ids --registry zk-1:2181
    """
    found = seat.platform.take_ids(count)
    seat.answer([{"id": each} for each in found], lambda: click.echo("\n".join(map(str, found))))
