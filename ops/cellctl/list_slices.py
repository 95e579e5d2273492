"""`cellctl list-slices`: which ranges of readers are homed where."""

import click
from rich.table import Table

from ops.cellctl.seat import Seat, at_platform
from ops.cellctl.terminal import console

PLACES = 1 << 64


@click.command("list-slices")
@click.option("--cell", help="Only those of one cell.")
@at_platform
def command(seat: Seat, cell: str | None) -> None:
    """List which ranges of readers are homed where.

    \b
    Examples:
      cellctl list-slices
      cellctl list-slices --cell b --json
    """
    slices = seat.platform.dashboard().topology(seat.context).slices
    ends = [s.start - 1 for s in slices[1:]] + [PLACES - 1]
    found = [
        {
            "start": f"{s.start:016x}",
            "last": f"{last:016x}",
            "cell": s.cell,
            "epoch": s.epoch,
            "share": (last - s.start + 1) / PLACES,
        }
        for s, last in zip(slices, ends, strict=True)
        if cell is None or s.cell == cell
    ]
    seat.answer(found, lambda: _draw(found))


def _draw(found: list[dict[str, object]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("slice", "cell", "epoch", "share"):
        table.add_column(column)
    for each in found:
        share = f"{each['share']:.3%}"
        name = f"{each['start']}-{each['last']}"
        table.add_row(name, str(each["cell"]), str(each["epoch"]), share)
    console().print(table)
