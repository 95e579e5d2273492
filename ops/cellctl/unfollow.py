"""`cellctl unfollow`: take edges back."""

import functools

import click

from ops.cellctl import receipts
from ops.cellctl.plain import USER
from ops.cellctl.seat import Seat, at_platform


@click.command("unfollow")
@click.argument("follower", type=USER)
@click.argument("authors", type=USER, nargs=-1, required=True)
@at_platform
def command(seat: Seat, follower: int, authors: tuple[int, ...]) -> None:
    """Stop following authors.

    Their posts leave the follower's dashboard. Unfollowing whom one does not follow changes
    nothing.

    \b
    Examples:
      cellctl unfollow 5 88
    """
    unfollow = seat.platform.dashboard().unfollow
    writes = [
        (str(author), functools.partial(unfollow, seat.context, follower, author, None))
        for author in authors
    ]
    receipts.one_by_one(seat, writes)
