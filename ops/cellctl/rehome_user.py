"""`cellctl rehome-user`: readers to another cell."""

import click

from idgen.ids import spread
from ops.cellctl.plain import USER
from ops.cellctl.rehoming import rehome, rehoming
from ops.cellctl.seat import Seat
from router.move_records import Wanted

READERS_MAX = 100


@click.command("rehome-user")
@click.argument("readers", type=USER, nargs=-1, required=True)
@rehoming
def command(
    seat: Seat,
    readers: tuple[int, ...],
    target: str,
    keep_ms: int,
    stop_before_switch: bool,
    execute: bool,
    wait: bool,
) -> None:
    """Move readers to another cell.

    Without --execute the plan is printed, with all that stands in its way. With it a move for each
    reader begins, and a mover carries it through; nothing is frozen or lost meanwhile.

    \b
    Examples:
      cellctl rehome-user 88 --to b
      cellctl rehome-user 88 677 --to b --execute --wait
      cellctl rehome-user 88 --to b --keep 0 --execute
    """
    if len(set(readers)) > READERS_MAX:
        raise click.BadParameter(
            f"at most {READERS_MAX} at once; move a slice instead", param_hint="READERS"
        )
    wanted = [
        Wanted(spread(reader), spread(reader), target, reader, keep_ms, stop_before_switch)
        for reader in dict.fromkeys(readers)
    ]
    rehome(seat, wanted, execute=execute, wait=wait)
