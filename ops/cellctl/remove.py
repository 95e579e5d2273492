"""`cellctl remove`: posts, for good."""

import functools

import click

from ops.cellctl import receipts
from ops.cellctl.plain import EVENT, USER
from ops.cellctl.seat import Seat, at_platform


@click.command("remove")
@click.argument("author", type=USER)
@click.argument("posts", type=EVENT, nargs=-1, required=True)
@at_platform
def command(seat: Seat, author: int, posts: tuple[int, ...]) -> None:
    """Remove posts.

    AUTHOR is theirs, POSTS are their ids. Removing what is not there, or is removed already,
    is done again with the same outcome.

    \b
    Examples:
      cellctl remove 88 1099511627776
    """
    remove = seat.platform.dashboard().remove_post
    writes = [
        (f"{author}/{post}", functools.partial(remove, seat.context, author, post, None))
        for post in posts
    ]
    receipts.one_by_one(seat, writes)
