"""`cellctl rehome-slice`: a range of readers to another cell."""

from typing import Any

import click

from idgen.ids import U64
from ops.cellctl.rehoming import rehome, rehoming
from ops.cellctl.seat import Seat
from router.move_records import Wanted


class SliceRange(click.ParamType[tuple[int, int]]):
    """START-LAST, two places of the key space in hexadecimal, both included."""

    name = "start-last"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two places; a usage error for anything else."""
        if isinstance(value, tuple):
            return value
        first, _, second = str(value).partition("-")
        try:
            start, last = int(first, 16), int(second, 16)
        except ValueError:
            start, last = 1, 0
        if not 0 <= start <= last <= U64:
            why = f"{value!r} is no slice: write START-LAST, both hexadecimal and included"
            self.fail(why, param, ctx)
        return start, last


@click.command("rehome-slice")
@click.argument("slice_", metavar="START-LAST", type=SliceRange())
@rehoming
def command(
    seat: Seat,
    slice_: tuple[int, int],
    target: str,
    keep_ms: int,
    stop_before_switch: bool,
    execute: bool,
    wait: bool,
) -> None:
    """Move a range of readers to another cell.

    Places are where users lie in the key space, spread evenly; `cellctl list-slices` shows which
    ranges are homed where.

    \b
    Examples:
      cellctl rehome-slice 0000000000000000-0fffffffffffffff --to b
      cellctl rehome-slice 0000000000000000-0fffffffffffffff --to b --execute --wait
    """
    wanted = Wanted(slice_[0], slice_[1], target, 0, keep_ms, stop_before_switch)
    rehome(seat, [wanted], execute=execute, wait=wait)
