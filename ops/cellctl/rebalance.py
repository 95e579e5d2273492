"""`cellctl rebalance`: about the same load for all cells."""

import click

from ops.cellctl.rehoming import keep_option, rehome
from ops.cellctl.seat import Seat, at_platform
from router.move_records import Wanted


@click.command("rebalance")
@click.option(
    "--most", type=click.IntRange(1, 1000), default=16, show_default=True, help="Moves at most."
)
@keep_option("1h")
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@click.option("--wait", is_flag=True, help="Follow it; Ctrl-C stops watching, not the moves.")
@at_platform
def command(seat: Seat, most: int, keep_ms: int, execute: bool, wait: bool) -> None:
    """Move slices so that all cells have about the same load.

    The load of a slice is the rows that its cell holds of it, estimated by the first of them.
    Cells that differ from the mean by less than 5 % are left as they are.

    \b
    Examples:
      cellctl rebalance
      cellctl rebalance --most 4 --execute --wait
    """
    plan = seat.platform.cells.rebalance_plan()
    wanted = [Wanted(t.start, t.last, t.target, 0, keep_ms) for t in plan[:most]]
    rehome(seat, wanted, execute=execute, wait=wait)
