"""`cellctl mark-read`: a reader's mark, on all devices."""

import click

from cell.dashboard import PageQuery
from ops.cellctl import receipts
from ops.cellctl.lanes import lane_of, lane_option, lanes_of
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.plain import EVENT, USER
from ops.cellctl.seat import Seat, at_platform


@click.command("mark-read")
@click.argument("reader", type=USER)
@click.argument("event_id", type=EVENT, required=False)
@lane_option()
@at_platform
def command(seat: Seat, reader: int, event_id: int | None, lane: str) -> None:
    """Mark a reader's lane as read.

    Up to and including EVENT_ID, or up to the newest entry. A mark never goes back.

    \b
    Examples:
      cellctl mark-read 5
      cellctl mark-read 5 1099511627776 --lane notices
    """
    dashboard = seat.platform.dashboard()
    if event_id is None:
        newest = PageQuery(reader, lanes_of(lane), limit=1, hydrate=False)
        entries = dashboard.page(seat.context, newest).entries
        if not entries:
            raise Ended(Exit.NOT_FOUND, f"reader {reader} has nothing in the lane {lane} to mark")
        event_id = entries[0].id
    receipts.give(seat, dashboard.mark_read(seat.context, reader, lane_of(lane), event_id))
