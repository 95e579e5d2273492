"""`cellctl page`: a reader's dashboard."""

from typing import Any

import click

from cell.dashboard import LIMIT_DEFAULT, LIMIT_MAX, EntryKind, PageQuery
from ops.cellctl.drawing import draw_page
from ops.cellctl.lanes import lane_option, lanes_of
from ops.cellctl.plain import OPAQUE, USER
from ops.cellctl.seat import Seat, at_platform, watch_options
from ops.cellctl.terminal import console

KINDS = [kind.name.lower() for kind in EntryKind]


@click.command("page")
@click.argument("reader", type=USER)
@lane_option(both=True)
@click.option(
    "--kinds", type=click.Choice(KINDS), multiple=True, help="Only these; once per kind."
)
@click.option("--before", type=OPAQUE, default=b"", help="Entries below this cursor.")
@click.option("--after", type=OPAQUE, default=b"", help="Entries above this cursor.")
@click.option("--oldest-first", is_flag=True, help="The entries next above --after, upwards.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="How many entries.",
)
@click.option("--ids-only", is_flag=True, help="Entries without their posts.")
@click.option("--cell", help="Ask this cell and not the router.")
@click.option(
    "--at-least",
    type=OPAQUE,
    multiple=True,
    help="A token of a write or a page that the answer must include.",
)
@watch_options
@at_platform
def command(
    seat: Seat,
    reader: int,
    lane: str,
    kinds: tuple[str, ...],
    ids_only: bool,
    cell: str | None,
    every_s: float | None,
    **bounds: Any,
) -> None:
    """Show a reader's dashboard.

    Newest first, twenty at a time; an entry that is not read yet has a dot. The last line has the
    cursor for --before to go on with.

    \b
    Examples:
      cellctl page 5
      cellctl page 5 --lane both --limit 50 --watch
      cellctl page 5 --before CURSOR
      cellctl page 5 --at-least TOKEN --json
    """
    query = PageQuery(
        reader,
        lanes=lanes_of(lane),
        kinds=_kinds_of(kinds, lane),
        hydrate=not ids_only,
        **bounds,
    )
    dashboard = seat.platform.dashboard(cell)

    def look() -> None:
        page = dashboard.page(seat.context, query)
        title = f"dashboard of {reader}, {lane}"
        seat.answer(
            page, lambda: draw_page(console(), title, page), one_line=every_s is not None
        )

    seat.repeat(every_s, look)


def _kinds_of(words: tuple[str, ...], lane: str) -> frozenset[EntryKind]:
    """The kinds of the words. Raises a usage error for one that the lane never has."""
    kinds = frozenset(EntryKind[word.upper()] for word in words)
    for kind in sorted(kinds):
        if kind.lane not in lanes_of(lane):
            own = kind.lane.name.lower()
            raise click.UsageError(f"{kind.name.lower()} is of the lane {own}: add --lane {own}")
    return kinds
