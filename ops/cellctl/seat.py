"""Where a command sits: at a platform, found by --data or --registry, with an answer to give."""

import functools
import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import click

from cell.dashboard import Context
from ops.cellctl.plain import as_json
from ops.config import load_config
from ops.config_settings import Config
from ops.platform_port import Doors, Platform

DEADLINE_S_MAX = 60.0

Command = Callable[..., None]


def system_pause(seconds: float) -> bool:
    """Let time pass between two looks; whether to look again."""
    threading.Event().wait(seconds)
    return True


@dataclass
class Surroundings:
    """What commands reach for; `click`'s object. Tests put their own in.

    `pause` waits some seconds and says whether to go on: --watch looks again after it.
    """

    doors: Doors | None = None
    pause: Callable[[float], bool] = field(default=system_pause)

    def open_doors(self) -> Doors:
        """The ways into a platform; imported now, so that `cellctl version` stays quick."""
        if self.doors is None:
            self.doors = cast("Doors", importlib.import_module("ops.platform"))
        return self.doors


@dataclass(frozen=True)
class Seat:
    """One command at one platform."""

    platform: Platform
    surroundings: Surroundings
    json: bool = False
    deadline_ms: int = 5000

    @property
    def context(self) -> Context:
        """What travels with a call."""
        return Context(deadline_ms=self.deadline_ms)

    def answer(self, value: object, draw: Callable[[], None], *, one_line: bool = False) -> None:
        """Give `value` as JSON where that was asked for, else draw it for people."""
        if self.json:
            click.echo(as_json(value, one_line=one_line))
        else:
            draw()

    def repeat(self, every_s: float | None, look: Callable[[], None]) -> None:
        """Look once, or with --watch again and again until Ctrl-C, which is no failure."""
        look()
        try:
            while every_s is not None and self.surroundings.pause(every_s):
                look()
        except KeyboardInterrupt:
            return


def surroundings() -> Surroundings:
    """Those of the running command."""
    return click.get_current_context().ensure_object(Surroundings)


def settings_options(function: Command) -> Command:
    """--data DIR and --config FILE; gives `config`, all settings."""

    @click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The configuration (docs/configuration.md). Default: DASHCELL_CONFIG, else "
        "dashcell.toml in the platform's folder.",
    )
    @data_option
    @functools.wraps(function)
    def configured(
        *arguments: Any, config_file: Path | None, data: Path | None, **options: Any
    ) -> None:
        function(*arguments, config=configuration(data, config_file), **options)

    return configured


def data_option(function: Command) -> Command:
    """--data DIR, the platform's folder."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="The platform's folder. Default: DASHCELL_DATA, else dashcell-data.",
    )(function)


def configuration(
    data: Path | None, file: Path | None = None, *, to_start: bool = False, **settings: object
) -> Config:
    """All settings; those that are not None win, `platform_cells` being `platform.cells`.

    `to_start`: for starting a platform. Raises BadConfig, and with `to_start` Corrupt.
    """
    above = {name.replace("_", ".", 1): v for name, v in settings.items() if v is not None}
    if data is not None:
        above["platform.data"] = str(data)
    return load_config(file, overrides=above, to_start=to_start)


def watch_options(function: Command) -> Command:
    """--watch, --every SECONDS: look again and again; gives `every_s`, None without --watch."""

    @click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
    @click.option(
        "--every",
        "every_s",
        type=click.FloatRange(0.1, 3600),
        default=2.0,
        show_default=True,
        metavar="SECONDS",
        help="How often --watch looks.",
    )
    @functools.wraps(function)
    def watching(*arguments: Any, watch: bool, every_s: float, **options: Any) -> None:
        function(*arguments, every_s=every_s if watch else None, **options)

    return watching


def at_platform(function: Command) -> Command:
    """The options of every command that asks a running platform; it gets a Seat first."""

    @click.option(
        "--deadline",
        "deadline_s",
        type=click.FloatRange(0.001, DEADLINE_S_MAX),
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for an answer.",
    )
    @click.option("--json", "json_wanted", is_flag=True, help="Answer with one JSON document.")
    @click.option("--registry", metavar="ADDRESS", help="Find a platform on other hosts by it.")
    @settings_options
    @functools.wraps(function)
    def seated(
        *arguments: Any,
        config: Config,
        registry: str | None,
        json_wanted: bool,
        deadline_s: float,
        **options: Any,
    ) -> None:
        with _platform(config, registry) as platform:
            seat = Seat(platform, surroundings(), json_wanted, int(deadline_s * 1000))
            function(seat, *arguments, **options)

    return seated


@contextmanager
def _platform(config: Config, registry: str | None) -> Iterator[Platform]:
    platform = surroundings().open_doors().discover(config, registry)
    try:
        yield platform
    finally:
        platform.close()
