"""`cellctl doctor`: is this machine fit for a platform, and does the one that runs answer?"""

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from ops.cellctl.checks import Check, checks
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.plain import as_json
from ops.cellctl.seat import data_option, surroundings
from ops.cellctl.terminal import console

STYLES = {"ok": "green", "note": "yellow", "fault": "red"}


@click.command("doctor")
@click.option("--json", "json_wanted", is_flag=True, help="Answer with one JSON document.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration to check. Default: DASHCELL_CONFIG, else dashcell.toml in the "
    "platform's folder.",
)
@data_option
def command(data: Path | None, config_file: Path | None, json_wanted: bool) -> None:
    """Check this machine and its configuration, with remedies.

    A note is no hindrance for the configured profile; a fault is, and makes the exit code 5.

    \b
    Examples:
      cellctl doctor
      cellctl doctor --config dashcell.toml --json
    """
    found = list(checks(data, config_file, surroundings().open_doors()))
    if json_wanted:
        click.echo(as_json(found))
    else:
        _draw(found)
    faults = [check.name for check in found if check.state == "fault"]
    if faults:
        raise Ended(Exit.PRECONDITION, f"faults: {', '.join(faults)}; follow the remedies above")


def _draw(found: list[Check]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in found:
        finding = check.finding + (f" (remedy: {check.remedy})" if check.remedy else "")
        state = Text(check.state, style=STYLES[check.state])
        table.add_row(state, check.name, Text(finding))
    console().print(table)
