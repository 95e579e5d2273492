"""`cellctl firehose rewind`: where a consumer group reads next."""

from typing import Any

import click

from ops.cellctl.group_text import draw_steps, plan_document
from ops.cellctl.rewind_target import target_of, target_options
from ops.cellctl.seat import Seat, at_platform
from ops.groups_port import RewindPlan


@click.command("rewind")
@click.argument("group")
@target_options
@click.option(
    "--partition",
    "partitions",
    type=click.IntRange(0),
    multiple=True,
    metavar="N",
    help="Only this partition; may be given several times.",
)
@click.option(
    "--pause",
    is_flag=True,
    help="Also while a cell's workers run: they go back between two batches.",
)
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@at_platform
def command(
    seat: Seat,
    group: str,
    partitions: tuple[int, ...],
    pause: bool,
    execute: bool,
    **targets: Any,
) -> None:
    """Have a group read again from another place, or skip to one.

    Targets beyond what is retained are clamped to it, and the plan says so. A cell that replays
    serves its readers meanwhile, and changes no row; it skips nothing. Members that Dashcell does
    not run have to stop first.

    \b
    Examples:
      cellctl firehose rewind reports --to-datetime 2012-07-04T12:00:00Z
      cellctl firehose rewind reports --shift-by -100 --partition 3 --execute
      cellctl firehose rewind cell-a --by-duration 1h --pause --execute
      cellctl firehose rewind reports --from-file before.json --execute
    """
    groups = seat.platform.groups
    plan = groups.rewind_plan(group, target_of(targets), partitions)
    if execute:
        groups.rewind(plan, pause=pause)
    seat.answer(plan_document(plan, executed=execute), lambda: _draw(plan, pause, execute))


def _draw(plan: RewindPlan, pause: bool, execute: bool) -> None:
    draw_steps(plan.steps)
    if execute:
        click.echo(f"done; follow it with `cellctl firehose lag {plan.group} --watch`")
    elif plan.members and not plan.cell:
        click.echo(f"its members have to stop first: {', '.join(plan.members)}")
    else:
        options = "--pause --execute" if plan.members and not pause else "--execute"
        click.echo(f"do it with {options}")
