"""`cellctl publish`: one post."""

import sys
from typing import Any

import click

from firehose.event import Draft, PostKind, PostRef
from ops.cellctl import receipts
from ops.cellctl.plain import EVENT, POST, USER
from ops.cellctl.seat import Seat, at_platform

KINDS = [kind.name.lower() for kind in PostKind]


@click.command("publish")
@click.argument("author", type=USER)
@click.argument("body", default="")
@click.option("--kind", type=click.Choice(KINDS), default="text", show_default=True)
@click.option("--title", default="", help="At most 1 KiB.")
@click.option("--tag", "tags", multiple=True, help="Once per tag; at most 30.")
@click.option("--mention", "mentions", type=USER, multiple=True, help="Once per user; at most 50.")
@click.option("--reblog-of", type=POST, help="The post that this one passes on.")
@click.option("--reply-to", type=POST, help="The post that this one answers.")
@click.option("--at-ms", type=int, help="The author's own time, in milliseconds since 1970.")
@click.option("--id", "brought_id", type=EVENT, help="An id taken before, so that a retry is safe.")
@at_platform
def command(
    seat: Seat,
    author: int,
    body: str,
    kind: str,
    reblog_of: PostRef | None,
    reply_to: PostRef | None,
    brought_id: int | None,
    **rest: Any,
) -> None:
    """Publish a post.

    BODY is the text; "-" reads it from stdin. Prints the post's id, and a token that `cellctl page
    --at-least` waits for.

    \b
    Examples:
      cellctl publish 88 "It is there"
      cellctl publish 677 --reblog-of 88/1099511627776 --tag higgs
      echo "from a pipe" | cellctl publish 88 - --json
    """
    if body == "-":
        body = _stdin()
    draft = Draft(PostKind[kind.upper()], body=body, reblog_of=reblog_of, reply_to=reply_to, **rest)
    dashboard = seat.platform.dashboard()
    receipts.give(seat, dashboard.publish(seat.context, author, draft, brought_id))


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"stdin is no UTF-8 ({error})", param_hint="BODY") from error
