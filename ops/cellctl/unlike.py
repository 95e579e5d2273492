"""`cellctl unlike`: one post."""

import click

from firehose.event import PostRef
from ops.cellctl import receipts
from ops.cellctl.plain import POST, USER
from ops.cellctl.seat import Seat, at_platform


@click.command("unlike")
@click.argument("actor", type=USER)
@click.argument("post", type=POST, metavar="AUTHOR/POST")
@at_platform
def command(seat: Seat, actor: int, post: PostRef) -> None:
    """Take a like back.

    Also where there is none, which changes nothing.

    \b
    Examples:
      cellctl unlike 5 88/1099511627776
    """
    receipts.give(seat, seat.platform.dashboard().unlike(seat.context, actor, post, None))
