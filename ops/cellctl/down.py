"""`cellctl down`: the end of a platform's processes; its data stay."""

from pathlib import Path

import click

from ops.cellctl.plain import as_json
from ops.cellctl.seat import configuration, data_option, surroundings
from ops.cellctl.terminal import progress_line


@click.command("down")
@click.option("--json", "json_wanted", is_flag=True, help="Answer with one JSON document.")
@data_option
def command(data: Path | None, json_wanted: bool) -> None:
    """Stop a platform and leave nothing behind.

    Its data stay in the folder, and `cellctl up` goes on with them. Stopping what does not run is
    done again.

    \b
    Examples:
      cellctl down --data site
    """
    # A broken configuration must not keep anybody from stopping what --data names.
    folder = data or Path(configuration(None).platform.data)
    with progress_line() as say:
        stopped = surroundings().open_doors().stop(folder, say)
    if json_wanted:
        click.echo(as_json({"stopped": stopped}))
    elif stopped:
        click.echo(f"stopped: {', '.join(stopped)}")
    else:
        click.echo(f"nothing was running in {folder}")
