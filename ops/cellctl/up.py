"""`cellctl up`: a platform, embedded or on real servers."""

import os
from pathlib import Path

import click

from ops import logs
from ops.cellctl.detach import start_detached
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.plain import as_json
from ops.cellctl.seat import configuration, data_option, surroundings
from ops.cellctl.terminal import progress_line
from ops.config_settings import Config, Servers
from ops.platform_port import Status

CELLS_MAX = 26


@click.command("up")
@click.option(
    "--profile",
    type=click.Choice(["embedded", "stack"]),
    help="embedded: one process, one folder. stack: real servers (Java 17 to 23). "
    "Default: as configured, else as the folder was made, else embedded.",
)
@click.option(
    "--cells",
    type=click.IntRange(1, CELLS_MAX),
    help="How many cells. Default: as configured, else as the folder was made, else 1.",
)
@click.option(
    "--log-base",
    type=click.IntRange(1, 1 << 47),
    help="For a new platform, or a new log, that goes on where another one ended: what "
    "`cellctl backup-cell` or a refusal says.",
)
@click.option("--detach", is_flag=True, help="Return when all is ready, and leave it running.")
@click.option("--json", "json_wanted", is_flag=True, help="Tell the status as JSON when ready.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration (docs/configuration.md). Default: DASHCELL_CONFIG, else "
    "dashcell.toml in the platform's folder.",
)
@click.option("--ready-fd", type=int, hidden=True, help="Write a byte there when all is ready.")
@data_option
def command(
    data: Path | None,
    profile: str | None,
    cells: int | None,
    log_base: int | None,
    config_file: Path | None,
    detach: bool,
    json_wanted: bool,
    ready_fd: int | None,
) -> None:
    """Start a platform: embedded, or on real servers.

    Stays in the foreground until Ctrl-C or `cellctl down`, unless --detach. Other commands find
    the platform by the same --data.

    \b
    Examples:
      cellctl up
      cellctl up --profile stack --cells 2 --detach --data site
    """
    config = configuration(
        data,
        config_file,
        to_start=True,
        platform_profile=profile,
        platform_cells=cells,
        platform_log_base=log_base,
    )
    _make_folder(Path(config.platform.data))
    if config.platform.profile == "embedded" and config.servers != Servers():
        click.echo("cellctl: the embedded profile goes on without [servers]", err=True)
    if detach:
        _detached(config, config_file, json_wanted)
    else:
        _foreground(config, json_wanted, ready_fd)


def _make_folder(folder: Path) -> None:
    try:
        (folder / "run").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Ended(
            Exit.PRECONDITION,
            f"{folder}: the platform's folder cannot be made or written to "
            f"({error.strerror or error}): name another with --data, or make it writable",
        ) from error


def _foreground(config: Config, json_wanted: bool, ready_fd: int | None) -> None:
    logs.configure(config.log.level)
    with progress_line() as say:
        running = surroundings().open_doors().start(config, say)
    try:
        _tell(running.platform.status(), json_wanted)
        if ready_fd is not None:
            os.write(ready_fd, b".")
            os.close(ready_fd)
        running.wait()
    except KeyboardInterrupt:
        click.echo("cellctl: stopping", err=True)
    finally:
        running.stop()


def _detached(config: Config, config_file: Path | None, json_wanted: bool) -> None:
    with progress_line() as say:
        start_detached(config, config_file, say)
    platform = surroundings().open_doors().discover(config, None)
    try:
        _tell(platform.status(), json_wanted)
    finally:
        platform.close()


def _tell(status: Status, json_wanted: bool) -> None:
    if json_wanted:
        click.echo(as_json(status, one_line=True))
        return
    cells = ", ".join(cell.name for cell in status.cells if cell.state != "retired")
    click.echo(f"ready: {status.profile} platform in {status.folder}, cells {cells}")
    for service in status.services:
        if service.address or service.admin:
            beside = "".join(f", {name} at {at}" for name, at in service.beside.items())
            click.echo(f"  {service.name} at {service.address or service.admin}{beside}")
