"""`cellctl version`: this program's, or what a platform answers."""

import json
import platform as machine
from importlib import metadata

import click

from ops.cellctl.outcome import Ended, Exit

PACKAGE = "dashcell"


@click.command("version")
@click.option("--json", "json_wanted", is_flag=True, help="Answer with one JSON document.")
def command(json_wanted: bool) -> None:
    """Tell the version of this program.

    `cellctl status` tells what a platform runs.

    \b
    Examples:
      cellctl version
      cellctl version --json
    """
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise Ended(
            Exit.PRECONDITION, f"{PACKAGE} is not installed here: run `make setup`"
        ) from error
    python = machine.python_version()
    if json_wanted:
        click.echo(json.dumps({"version": version, "python": python}))
    else:
        click.echo(f"{PACKAGE} {version} (Python {python})")
