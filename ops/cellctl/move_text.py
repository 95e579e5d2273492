"""Moves as commands show them, and the options that commands about them share."""

import functools
from collections.abc import Sequence
from typing import Any

import click

from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Command, Seat, at_platform
from ops.cellctl.terminal import console, harmless, shown, when
from ops.platform_port import MovePlan, MoveView
from router.moves import Move, Stage, refused

STEPS = (
    "copy what the cell holds of them (edges, likes, entries, notices, marks)",
    "have the new cell take them in, and apply the firehose again from where the copying began",
    "compare rows and first pages of both cells",
    "switch the route, once the new cell has applied all that was seen",
    "keep both up to date for the time of --keep, so that it can be reversed",
    "have the old cell let go of them, and sweep what it held",
)
SWITCHED = 4
"""How many of the steps lead up to the switch."""


def who_of(move: Move) -> str:
    """Whom a move is about."""
    if move.reader:
        return f"reader {move.reader}"
    return f"slice {move.start:016x}-{move.last:016x}"


def document(view: MoveView) -> dict[str, Any]:
    """A move as JSON."""
    move = view.move
    return {
        "move": move.id,
        "state": move.state.value,
        "finished": move.finished,
        "reader": move.reader or None,
        "start": f"{move.start:016x}",
        "last": f"{move.last:016x}",
        "from": move.source,
        "to": move.target,
        "epoch": move.epoch,
        "rehearsal": move.rehearsal,
        "progress": {"stage": move.stage.value, "rows": move.rows, "edges": move.edges},
        "waits_for": move.waits_for,
        "trouble": move.trouble,
        "mover": view.mover,
        "next_steps": [f"cellctl {verb}-move {move.id} --execute" for verb in view.next_steps],
        "history": [
            {"at_ms": each.at_ms, "state": each.state, "by": each.by, "note": each.note}
            for each in move.history
        ],
    }


def draw(view: MoveView) -> None:
    """A move for people."""
    move, out = view.move, console()
    out.print(shown(f"move {move.id}: {who_of(move)}, {move.source} -> {move.target}", "bold"))
    ended = ", finished" if move.finished else f", at {move.stage}"
    out.print(shown(f"{move.state}{ended}; {move.rows:,} rows, {move.edges:,} edges copied"))
    for name, text in (("waits for", move.waits_for), ("trouble", move.trouble)):
        if text:
            out.print(shown(f"{name}: {text}"))
    if not move.finished:
        out.print(shown(_carried(view)))
    for each in move.history:
        line = f"  {when(each.at_ms)}  {each.state:10} {each.by}  {each.note}".rstrip()
        out.print(shown(line))
    if view.next_steps:
        steps = ", ".join(f"cellctl {verb}-move {move.id}" for verb in view.next_steps)
        out.print(shown(f"next: {steps}"))


def _carried(view: MoveView) -> str:
    move = view.move
    if move.stage is Stage.KEEP:
        until = when(move.switched_ms + move.keep_ms)
        return f"kept until {until}: then it is completed, and cannot be reversed any more"
    if move.stage is Stage.SWEEP:
        return f"rows of cell {move.left[0]} are swept from {when(move.sweep_ms)} on"
    if move.stage is Stage.SWITCH and move.stop_before_switch:
        return "waits for somebody to switch it"
    if move.stage is Stage.SWITCH and move.rehearsal:
        return f"a rehearsal: it stays compared until cell {move.target} is active"
    if view.mover:
        return f"carried by: {view.mover}"
    return "carried by nobody just now: a mover looks every second; `cellctl status` tells of it"


def plan_document(plan: MovePlan) -> dict[str, Any]:
    """A plan as JSON."""
    wanted = plan.wanted
    return {
        "reader": wanted.reader or None,
        "start": f"{wanted.start:016x}",
        "last": f"{wanted.last:016x}",
        "from": plan.source,
        "to": wanted.target,
        "rows": plan.rows,
        "seconds": round(plan.seconds, 1),
        "steps": list(STEPS),
        "blockers": [{"reason": b.cause, "why": b.why} for b in plan.blockers],
    }


def acting(function: Command) -> Command:
    """MOVE... and --execute of what is done to moves; gives `move_ids` and `execute`."""

    @click.argument("move_ids", metavar="MOVE...", type=click.IntRange(1), nargs=-1, required=True)
    @click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
    @at_platform
    @functools.wraps(function)
    def acted(*arguments: Any, **options: Any) -> None:
        function(*arguments, **options)

    return acted


def act(seat: Seat, move_ids: Sequence[int], what: str, *, execute: bool) -> None:
    """Have something happen to moves, or say that it would: to all of them, or to none."""
    moves = seat.platform.moves
    views = [moves.show(move_id) for move_id in dict.fromkeys(move_ids)]
    for view in views:
        if what not in view.next_steps:
            raise refused(view.move, what)
    if execute:
        done = [moves.act(view.move.id, what) for view in views]
        seat.answer([document(view) for view in done], lambda: draw_all(done))
        return
    plan = [{"plan": what, "move": view.move.id, "executed": False} for view in views]
    seat.answer(plan, lambda: _draw_plan(what, views))


def _draw_plan(what: str, views: Sequence[MoveView]) -> None:
    for view in views:
        click.echo(f"would {what} move {view.move.id} ({harmless(who_of(view.move))})")
    click.echo("do it with --execute")


def draw_all(views: Sequence[MoveView]) -> None:
    """Moves for people, one after the other."""
    for view in views:
        draw(view)


def blocked(plans: list[MovePlan]) -> Ended:
    """How a command ends when moves have blockers: with all of them."""
    lines = [
        f"{_name(plan)}: [{blocker.cause}] {blocker.why}"
        for plan in plans
        for blocker in plan.blockers
    ]
    return Ended(Exit.PRECONDITION, "nothing was moved; " + "; ".join(lines))


def _name(plan: MovePlan) -> str:
    wanted = plan.wanted
    return f"reader {wanted.reader}" if wanted.reader else f"slice {wanted.start:016x}"
