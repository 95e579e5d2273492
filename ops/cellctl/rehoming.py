"""What `rehome-user` and `rehome-slice` share: the plan, the beginning, and following it."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ops.cellctl.move_text import STEPS, blocked, document, draw_all, plan_document
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Command, Seat, at_platform
from ops.cellctl.terminal import harmless
from ops.platform_port import MovePlan, MoveView
from router.move_records import Wanted
from router.moves import MoveState

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
KEEP_S_MAX = 7 * 86_400
LOOK_S = 0.5
NOTHING = "nothing is to be moved"
STATES = (
    MoveState.CREATED,
    MoveState.COPYING,
    MoveState.ARRIVING,
    MoveState.VERIFIED,
    MoveState.SWITCHED,
    MoveState.COMPLETED,
)


class Span(click.ParamType[int]):
    """A span of time as 0, 90, 30m, 1h or 2d; gives milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds; a usage error for anything else."""
        found = _SPAN.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no time: write it as 0, 90s, 30m, 1h or 2d", param, ctx)
        seconds = float(found[1]) * _SECONDS[found[2]]
        if seconds > KEEP_S_MAX:
            self.fail(f"{value!r} is more than 7d, which is what the firehose keeps", param, ctx)
        return int(seconds * 1000)


def keep_option(default: str) -> Callable[[Command], Command]:
    """--keep TIME; gives `keep_ms`."""
    return click.option(
        "--keep",
        "keep_ms",
        type=Span(),
        default=default,
        show_default=True,
        help="How long the old cell goes on after the switch, so that it can be reversed.",
    )


def rehoming(function: Command) -> Command:
    """--to, --keep, --stop-before-switch, --execute, --wait; `target`, `keep_ms`, and so on."""

    @click.option("--to", "target", required=True, metavar="CELL", help="The new home.")
    @keep_option("1h")
    @click.option(
        "--stop-before-switch", is_flag=True, help="Wait for `cellctl switch-move` before that."
    )
    @click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
    @click.option("--wait", is_flag=True, help="Follow it; Ctrl-C stops watching, not the move.")
    @at_platform
    @functools.wraps(function)
    def moved(*arguments: Any, **options: Any) -> None:
        function(*arguments, **options)

    return moved


def rehome(
    seat: Seat,
    all_wanted: Sequence[Wanted],
    *,
    execute: bool,
    wait: bool,
    before: Callable[[], object] = lambda: None,
    to_the_end: bool = False,
) -> None:
    """Print the plans, or begin the moves and give their ids; what has to be done `before` them
    is, once nothing stands in their way. `to_the_end`: `wait` is until nothing of completed moves
    is left to be done, sweeping included."""
    moves = seat.platform.moves
    plans = [moves.plan(wanted) for wanted in all_wanted]
    if not execute:
        seat.answer([plan_document(plan) for plan in plans], lambda: _draw_plans(plans))
        if any(plan.blockers for plan in plans):
            raise blocked(plans)
        return
    if any(plan.blockers for plan in plans):
        raise blocked(plans)
    before()
    if not plans:
        seat.answer([], lambda: click.echo(NOTHING))
        return
    begun = [moves.begin(plan.wanted) for plan in plans]
    if wait:
        begun = _followed(seat, begun, to_the_end=to_the_end)
    seat.answer([document(view) for view in begun], lambda: draw_all(begun))
    failed = [view.move.id for view in begun if view.move.trouble]
    if failed:
        raise Ended(Exit.FAILED, f"moves {failed} need a look: `cellctl show-move {failed[0]}`")


def _draw_plans(plans: Sequence[MovePlan]) -> None:
    for plan in plans:
        wanted = plan.wanted
        who = f"reader {wanted.reader}" if wanted.reader else f"slice {wanted.start:016x}"
        click.echo(
            f"{who}: {plan.source or '?'} -> {wanted.target}, about {plan.rows:,} rows, "
            f"{plan.seconds:.0f} s until the switch"
        )
        for blocker in plan.blockers:
            click.echo(f"  blocked [{blocker.cause}]: {harmless(blocker.why)}")
    if not plans:
        click.echo(NOTHING)
        return
    click.echo("what is done, in this order:")
    for number, step in enumerate(STEPS, 1):
        click.echo(f"  {number}. {step}")
    if not any(plan.blockers for plan in plans):
        click.echo("do it with --execute")


def _followed(seat: Seat, begun: Sequence[MoveView], *, to_the_end: bool) -> list[MoveView]:
    """Look until the moves have switched and are kept, have ended, or wait for somebody."""
    ids = [view.move.id for view in begun]
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not Console(stderr=True).is_terminal,
    )
    views = list(begun)
    try:
        with bar:
            tasks = {i: bar.add_task(f"move {i}", total=len(STATES) - 1, words="") for i in ids}
            while True:
                views = [seat.platform.moves.show(i) for i in ids]
                for view in views:
                    move = view.move
                    words = f"{move.state}, {move.rows:,} rows {move.waits_for}"
                    bar.update(tasks[move.id], completed=_reached(view), words=harmless(words))
                if all(_settled(view, to_the_end=to_the_end) for view in views):
                    return views
                seat.surroundings.pause(LOOK_S)
    except KeyboardInterrupt:
        raise Ended(
            Exit.STILL_RUNNING, f"stopped watching; the moves go on: `cellctl show-move {ids[0]}`"
        ) from None


def _reached(view: MoveView) -> int:
    state = view.move.state
    return STATES.index(state) if state in STATES else len(STATES) - 1


def _settled(view: MoveView, *, to_the_end: bool) -> bool:
    move = view.move
    if to_the_end and move.state is MoveState.COMPLETED:
        return move.finished
    if move.state not in STATES or move.state is MoveState.COMPLETED or move.trouble:
        return True
    if move.state is MoveState.SWITCHED:
        return move.keep_ms > 0
    return move.state is MoveState.VERIFIED and move.stop_before_switch
