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
@click.option(
    "--accept-gap",
    is_flag=True,
    help="Go on without events that are no longer retained and that the group has not read.",
)
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@at_platform
def command(
    seat: Seat,
    group: str,
    partitions: tuple[int, ...],
    pause: bool,
    accept_gap: bool,
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
      cellctl firehose rewind reports --to-earliest --accept-gap --execute
    """
    groups = seat.platform.groups
    plan = groups.rewind_plan(group, target_of(targets), partitions)
    if execute:
        groups.rewind(plan, pause=pause, accept_gap=accept_gap)
    seat.answer(plan_document(plan, executed=execute), lambda: _draw(plan, executed=execute))


def _draw(plan: RewindPlan, *, executed: bool) -> None:
    draw_steps(plan.steps)
    if executed:
        click.echo(f"done; follow it with `cellctl firehose lag {plan.group} --watch`")
        return
    if plan.members and not plan.cell:
        click.echo(f"its members have to stop first: {', '.join(plan.members)}")
    if plan.gone and plan.cell:
        click.echo("a cell misses no event: restore it with `cellctl restore-cell DIR`")
        return
    options = ["--accept-gap"] * bool(plan.gone) + ["--pause"] * bool(plan.cell and plan.members)
    click.echo(f"do it with {' '.join([*options, '--execute'])}")
