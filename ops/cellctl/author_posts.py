"""`cellctl author-posts`: what one author wrote."""

import click

from cell.dashboard import LIMIT_DEFAULT, LIMIT_MAX
from ops.cellctl.drawing import draw_page
from ops.cellctl.plain import OPAQUE, USER
from ops.cellctl.seat import Seat, at_platform
from ops.cellctl.terminal import console


@click.command("author-posts")
@click.argument("author", type=USER)
@click.option("--before", type=OPAQUE, default=b"", help="Posts below this cursor.")
@click.option("--after", type=OPAQUE, default=b"", help="Posts above this cursor.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="How many posts.",
)
@at_platform
def command(seat: Seat, author: int, before: bytes, after: bytes, limit: int) -> None:
    """Show an author's posts.

    Newest first, without those that were removed.

    \b
    Examples:
      cellctl author-posts 88
      cellctl author-posts 88 --limit 100 --json
    """
    dashboard = seat.platform.dashboard()
    page = dashboard.author_posts(seat.context, author, before, after, limit)
    seat.answer(page, lambda: draw_page(console(), f"posts of {author}", page))
