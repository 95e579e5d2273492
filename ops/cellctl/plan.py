"""`cellctl plan`: from a load and the measured figures to machines, and what breaks first."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ops.cellctl.figures_file import read_figures
from ops.cellctl.plain import as_json
from ops.cellctl.plan_options import grown, keeping_of, load_of, machine_of, plan_options
from ops.cellctl.plan_text import document, lines
from ops.planner.limits import limits
from ops.planner.outlook import Outlook
from ops.planner.plan import make_plan
from ops.planner.presets import design_notes
from ops.planner.resources import Setting


@click.command("plan")
@plan_options
@click.option(
    "--figures",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A performance.json of `make bench`. Default: the one that came with this program.",
)
@click.option("--json", "json_wanted", is_flag=True, help="Answer with one JSON document.")
def command(
    preset: str,
    growth: float,
    years: float,
    cells: int | None,
    cell_users: float,
    deliver_within: float,
    kept: float | None,
    figures: Path | None,
    json_wanted: bool,
    **given: Any,
) -> None:
    """Say how many machines a load takes, and what breaks first.

    From the figures that `make bench` measured, with every formula filled in: machines of each
    cell, of the firehose and small ones, now and after growth. Nothing is started or asked.

    Amounts are written as 1500, 45M (decimal) or 64GiB (binary), percentages as 50%. Options of
    the load have the preset's value, in brackets, unless given. docs/planning.md explains the
    lines.

    \b
    Examples:
      cellctl plan --users 3M --posts-per-day 500k --views-per-day 40M
      cellctl plan --users 3M --growth 80% --years 3 --cells 4 --disk 8T
      cellctl plan --load design --json
    """
    told = click.get_current_context().get_parameter_source("cell_users")
    if cells is not None and told is not ParameterSource.DEFAULT:
        raise click.UsageError("--cells and --cell-users say the same: give one of them")
    load = load_of(preset, given)
    later = grown(load, growth, years)
    setting = Setting(read_figures(figures), keeping_of(given), machine_of(given), kept)
    now = make_plan(setting, load, cells, cell_users)
    outlook = Outlook(
        setting=setting,
        now=now,
        then=make_plan(setting, later, cells, cell_users),
        growth=growth,
        years=years,
        limits=limits(setting, now, growth, deliver_within),
        notes=design_notes() if preset == "design" else (),
    )
    if json_wanted:
        asked = {
            "preset": preset,
            "cells": cells,
            "cell_users": cell_users if cells is None else None,
            "kept": kept,
            "deliver_within_s": deliver_within,
        }
        click.echo(as_json(document(outlook, asked)))
    else:
        click.echo("\n".join(lines(outlook)))
