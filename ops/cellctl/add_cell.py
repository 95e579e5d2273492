"""`cellctl add-cell`: one more cell."""

from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ops.cellctl.amount_types import Percent
from ops.cellctl.cell_text import document, draw
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Seat, at_platform
from ops.cellctl.terminal import harmless
from ops.platform_port import CellView, NewCell, NewCellPlan

KINDS = ("hbase-thrift1", "hbase-thrift2", "redis")
STEPS = (
    "its servers start, or those given are connected to; tables are made",
    "posts are copied from the donor, range by range",
    "its workers apply the firehose from where the copying began",
    "its posts are compared with the donor's, and a sample of readers arrives and is compared",
    "it waits, dark, for `cellctl activate-cell`",
)
LOOK_S = 0.5


class Endpoint(click.ParamType[tuple[str, str]]):
    """KIND=HOST:PORT."""

    name = "kind=host:port"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Kind and address; a usage error for anything else."""
        if isinstance(value, tuple):
            return value
        kind, _, address = str(value).partition("=")
        host, _, port = address.rpartition(":")
        if kind not in KINDS or not host or not port.isdigit():
            kinds = ", ".join(KINDS)
            self.fail(f"{value!r}: write KIND=HOST:PORT, KIND one of {kinds}", param, ctx)
        return kind, address


@click.command("add-cell")
@click.argument("cell")
@click.option(
    "--endpoint",
    "endpoints",
    type=Endpoint(),
    multiple=True,
    help="A server that runs already (hbase-thrift1, hbase-thrift2 and redis, or none of them); "
    "without, `cellctl up` starts them.",
)
@click.option("--donor", default="", metavar="CELL", help="Whose posts are copied. Default: any.")
@click.option(
    "--dark-sample",
    "sample",
    type=Percent(0.01, 100),
    default="1%",
    show_default=True,
    help="Readers that are compared before it may be active.",
)
@click.option(
    "--group",
    default="",
    metavar="NAME",
    help="Of cells behind one relay, for good. Default: none, it reads the firehose itself.",
)
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@click.option("--wait", is_flag=True, help="Follow it; Ctrl-C stops watching, not the cell.")
@at_platform
def command(
    seat: Seat,
    cell: str,
    endpoints: tuple[tuple[str, str], ...],
    donor: str,
    sample: float,
    group: str,
    execute: bool,
    wait: bool,
) -> None:
    """Add a cell: copied from another, compared with it, and activated later.

    A mover brings it up, through provisioning and bootstrapping to dark; after a crash it goes on
    where it was. Nobody is homed in it before `cellctl activate-cell`.

    \b
    Examples:
      cellctl add-cell c
      cellctl add-cell c --execute --wait
      cellctl add-cell c --donor a --dark-sample 5% --execute
      cellctl add-cell c --group east --execute
      cellctl add-cell c --endpoint hbase-thrift1=h:9090 --endpoint hbase-thrift2=h:9091
      --endpoint redis=h:6379 --execute
    """
    given = dict(endpoints)
    if len(given) != len(endpoints):
        raise click.BadParameter("each kind once", param_hint="--endpoint")
    thrift1, thrift2, redis = (given.get(kind, "") for kind in KINDS)
    new = NewCell(cell, donor, sample, thrift1, thrift2, redis, group)
    cells = seat.platform.cells
    plan = cells.add_plan(new)
    if not execute:
        seat.answer(_plan_document(plan), lambda: _draw_plan(plan))
    if plan.blockers:
        reasons = "; ".join(f"[{each.cause}] {each.why}" for each in plan.blockers)
        taken = any(each.cause == "name_taken" for each in plan.blockers)
        code = Exit.CONFLICT if taken else Exit.PRECONDITION
        raise Ended(code, f"no cell was added; {reasons}")
    if not execute:
        return
    view = cells.add(new)
    if wait:
        view = _followed(seat, cell)
    seat.answer(document(view), lambda: draw(view))
    if view.info.bootstrap is not None and view.info.bootstrap.trouble:
        raise Ended(Exit.FAILED, f"cell {cell} needs a look: {view.info.bootstrap.trouble}")


def _plan_document(plan: NewCellPlan) -> dict[str, Any]:
    return {
        "cell": plan.new.name,
        "donor": plan.new.donor,
        "group": plan.new.group,
        "beside": list(plan.beside),
        "dark_sample": plan.new.sample,
        "posts": plan.posts,
        "bytes": plan.size,
        "seconds": round(plan.seconds, 1),
        "steps": list(STEPS),
        "blockers": [{"reason": b.cause, "why": b.why} for b in plan.blockers],
    }


def _draw_plan(plan: NewCellPlan) -> None:
    new = plan.new
    click.echo(
        f"cell {new.name}: about {plan.posts:,} posts, {plan.size / 1e6:,.0f} MB, from cell "
        f"{new.donor or '?'}; dark and compared in about {plan.seconds:.0f} s"
    )
    if new.group:
        others = f"with cells {', '.join(plan.beside)}" if plan.beside else "a new one"
        click.echo(f"behind the relay of group {new.group}, {others}")
    for blocker in plan.blockers:
        click.echo(f"  blocked [{blocker.cause}]: {harmless(blocker.why)}")
    click.echo("what is done, in this order:")
    for number, step in enumerate(STEPS, 1):
        click.echo(f"  {number}. {step}")
    if not plan.blockers:
        click.echo("do it with --execute")


def _followed(seat: Seat, cell: str) -> CellView:
    """Look until the cell is verified, or waits for somebody."""
    screen = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        console=screen,
        disable=not screen.is_terminal,
    )
    try:
        with bar:
            task = bar.add_task(f"cell {cell}", total=1.0, words="")
            while True:
                view = seat.platform.cells.describe(cell)
                record = view.info.bootstrap
                if record is None:
                    return view
                words = f"{view.info.state}, {record.rows:,} posts, {record.size / 1e6:,.0f} MB"
                shown = harmless(f"{words} {record.waits_for}")
                bar.update(task, completed=record.copied, words=shown)
                if record.verified_ms or record.trouble:
                    return view
                seat.surroundings.pause(LOOK_S)
    except KeyboardInterrupt:
        raise Ended(
            Exit.STILL_RUNNING, f"stopped watching; it goes on: `cellctl describe-cell {cell}`"
        ) from None
