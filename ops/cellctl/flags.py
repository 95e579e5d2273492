"""`cellctl flags`: the platform's flags, followed live by every process."""

import click

from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Seat, at_platform

OF = 10_000


@click.group("flags")
def command() -> None:
    """List and change the platform's flags.

    A flag is on for so many of 10,000 users, the same ones every time. One that was never set has
    its default, 0 for most.
    """


@command.command("list")
@at_platform
def list_flags(seat: Seat) -> None:
    """List all flags that were set.

    \b
    Examples:
      cellctl flags list --json
    """
    flags = {flag.name: flag.value for flag in seat.platform.flags.list()}
    text = "\n".join(f"{name}  {value}" for name, value in flags.items()) or "no flag is set"
    seat.answer(flags, lambda: click.echo(text))


@command.command("get")
@click.argument("name")
@at_platform
def get_flag(seat: Seat, name: str) -> None:
    """Show one flag's value.

    \b
    Examples:
      cellctl flags get pull-hot-authors
    """
    value = {flag.name: flag.value for flag in seat.platform.flags.list()}.get(name)
    if value is None:
        raise Ended(Exit.NOT_FOUND, f"no flag {name!r} is set: `cellctl flags list` has them all")
    seat.answer({"name": name, "value": value}, lambda: click.echo(str(value)))


@command.command("set")
@click.argument("name")
@click.argument("value", type=click.IntRange(0, OF))
@at_platform
def set_flag(seat: Seat, name: str, value: int) -> None:
    """Turn a flag on for VALUE of 10,000 users.

    \b
    Examples:
      cellctl flags set pull-hot-authors 100
    """
    before = seat.platform.flags.set(name, value).value
    document = {"name": name, "before": before, "value": value}
    seat.answer(document, lambda: click.echo(f"{name}: {before} -> {value} of {OF}"))
