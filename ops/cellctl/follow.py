"""`cellctl follow`: edges from one follower to authors."""

import click

from cell.dashboard import BATCH_MAX, NewFollow
from ops.cellctl import receipts
from ops.cellctl.plain import USER
from ops.cellctl.seat import Seat, at_platform


@click.command("follow")
@click.argument("follower", type=USER)
@click.argument("authors", type=USER, nargs=-1, required=True)
@click.option(
    "--backfill",
    type=click.IntRange(0, 1000),
    help="How many of each author's newest posts to bring along (default: 100).",
)
@at_platform
def command(seat: Seat, follower: int, authors: tuple[int, ...], backfill: int | None) -> None:
    """Follow authors.

    Following twice changes nothing.

    \b
    Examples:
      cellctl follow 5 88 677
      cellctl follow 5 88 --backfill 0
    """
    if len(authors) > BATCH_MAX:
        raise click.BadParameter(f"at most {BATCH_MAX} at once; split them", param_hint="AUTHORS")
    follows = [NewFollow(follower, author, backfill=backfill) for author in authors]
    dashboard = seat.platform.dashboard()
    receipts.give_all(seat, dashboard.follow_many(seat.context, follows))
