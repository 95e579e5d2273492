"""`cellctl drain-cell`: all readers of a cell to the others."""

from collections.abc import Sequence

import click

from ops.cellctl.move_text import who_of
from ops.cellctl.rehoming import keep_option, rehome
from ops.cellctl.seat import Seat, at_platform
from router.move_records import Wanted
from router.moves import ENDS, Move, MoveState


@click.command("drain-cell")
@click.argument("cell")
@keep_option("0")
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@click.option("--wait", is_flag=True, help="Follow it; Ctrl-C stops watching, not the moves.")
@at_platform
def command(seat: Seat, cell: str, keep_ms: int, execute: bool, wait: bool) -> None:
    """Drain a cell: move all its readers to the other cells.

    The cell takes nobody in from then on, and can be retired once it is empty. What was cut off
    goes on when this is done again. `cellctl activate-cell` takes it back; then `cellctl
    describe-cell` names the moves under way, for `cellctl cancel-move`.

    \b
    Examples:
      cellctl drain-cell b
      cellctl drain-cell b --execute --wait
    """
    cells = seat.platform.cells
    view = cells.describe(cell)
    wanted = [Wanted(t.start, t.last, t.target, 0, keep_ms) for t in cells.drain_plan(cell)]

    if view.info.state.value != "draining":
        cells.change(cell, "drain", execute=False)
    under_way = sorted((*view.leaving, *view.arriving))
    _tell_left_out(cell, [seat.platform.moves.show(i).move for i in under_way])

    def begin() -> None:
        if view.info.state.value != "draining":
            cells.change(cell, "drain")

    rehome(seat, wanted, execute=execute, wait=wait, before=begin, to_the_end=True)


def _tell_left_out(cell: str, moves: Sequence[Move]) -> None:
    """What is on its way already, from or to the cell, is no part of the plan."""
    by_remedy: dict[str, list[Move]] = {}
    for move in moves:
        by_remedy.setdefault(_remedy(cell, move), []).append(move)
    for remedy, theirs in by_remedy.items():
        for move in theirs:
            text = f"left out is {who_of(move)}, which move {move.id} carries ({move.state})"
            click.echo(f"cellctl: {text}", err=True)
        numbers = " ".join(str(move.id) for move in theirs)
        click.echo(f"cellctl: {remedy.format(numbers=numbers)}", err=True)


def _remedy(cell: str, move: Move) -> str:
    if move.rehearsal:
        return f"moves {{numbers}} end when cell {move.target} is activated or retired"
    if move.state in ENDS:
        return "moves {numbers} are being finished: wait"
    if move.state is MoveState.SWITCHED:
        again = ", and drain again" if move.target == cell else ""
        return f"end them by `cellctl complete-move {{numbers}} --execute`{again}"
    if move.target == cell:
        return "end them by `cellctl cancel-move {numbers} --execute`"
    return "moves {numbers} have not switched yet: wait, or `cellctl show-move` says for what"
