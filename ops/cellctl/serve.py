"""`cellctl serve`: one service, as a supervisor or systemd runs it."""

import click

from ops.cellctl.seat import settings_options, surroundings
from ops.config_settings import Config

ROLES = ["idgen", "router", "dashboard", "ingest", "mover", "firehose", "relay"]


@click.command("serve")
@click.argument("role", type=click.Choice(ROLES))
@click.option("--cell", help="Which cell, for roles of a cell (dashboard, ingest).")
@click.option("--group", help="Which group of cells, for a relay.")
@settings_options
def command(role: str, cell: str | None, group: str | None, config: Config) -> None:
    """Run one service in the foreground.

    Logs are JSON lines on stderr. SIGTERM drains and stops it; a second one stops it at once.

    \b
    Examples:
      cellctl serve router --config dashcell.toml
      cellctl serve ingest --cell a --config dashcell.toml
      cellctl serve relay --group east --config dashcell.toml
    """
    surroundings().open_doors().serve(role, cell, config, group)
