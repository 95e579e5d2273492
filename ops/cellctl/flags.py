"""`cellctl flags`: the platform's flags, followed live by every process."""

from collections.abc import Sequence

import click
from rich.table import Table
from rich.text import Text

from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Seat, at_platform
from ops.cellctl.terminal import console
from ops.platform_port import Flag

OF = 10_000


@click.group("flags")
def command() -> None:
    """List and change the platform's flags.

    A flag is on for so many of 10,000 users, the same ones every time.
    """


@command.command("list")
@at_platform
def list_flags(seat: Seat) -> None:
    """List all flags.

    \b
    Examples:
      cellctl flags list --json
    """
    flags = seat.platform.flags.list()
    seat.answer(flags, lambda: _draw(flags))


@command.command("get")
@click.argument("name")
@at_platform
def get_flag(seat: Seat, name: str) -> None:
    """Show one flag's value.

    \b
    Examples:
      cellctl flags get materialization.pull
    """
    found = next((flag for flag in seat.platform.flags.list() if flag.name == name), None)
    if found is None:
        raise Ended(Exit.NOT_FOUND, f"no flag is named {name!r}: `cellctl flags list` has them all")
    value = str(found.value)
    seat.answer(found, lambda: click.echo(value))


@command.command("set")
@click.argument("name")
@click.argument("value", type=click.IntRange(0, OF))
@at_platform
def set_flag(seat: Seat, name: str, value: int) -> None:
    """Turn a flag on for VALUE of 10,000 users.

    \b
    Examples:
      cellctl flags set materialization.pull 100
    """
    before = seat.platform.flags.set(name, value)
    document = {"name": name, "before": before.value, "value": value}
    seat.answer(document, lambda: click.echo(f"{name}: {before.value} -> {value} of {OF}"))


def _draw(flags: Sequence[Flag]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("name", f"of {OF}", "default", "what it is"):
        table.add_column(column)
    for flag in flags:
        table.add_row(flag.name, str(flag.value), str(flag.default), Text(flag.description))
    console().print(table)
