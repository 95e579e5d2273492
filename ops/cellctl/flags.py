"""`cellctl flags`: the platform's flags, followed live by every process."""

import click

from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Seat, at_platform
from ops.release import VERSION
from router.flags import FULL, READ


@click.group("flags")
def command() -> None:
    """List and change the platform's flags.

    A flag is on for so many of 10,000 users, the same ones every time. One that was never set has
    its default. A name that no service of this version reads may be set ahead, for a version that
    does; `set` and `get` say so.
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

    One that was never set is not found, and the message has its default.

    \b
    Examples:
      cellctl flags get pull-hot-authors
    """
    value = {flag.name: flag.value for flag in seat.platform.flags.list()}.get(name)
    if value is None:
        raise Ended(Exit.NOT_FOUND, f"flag {name!r} was never set: {_meanwhile(name)}")
    seat.answer({"name": name, "value": value}, lambda: click.echo(str(value)))


@command.command("set")
@click.argument("name")
@click.argument("value", type=click.IntRange(0, FULL))
@at_platform
def set_flag(seat: Seat, name: str, value: int) -> None:
    """Turn a flag on for VALUE of 10,000 users.

    \b
    Examples:
      cellctl flags set pull-hot-authors 100
    """
    before = seat.platform.flags.set(name, value).value
    document = {"name": name, "before": before, "value": value, "read": name in READ}
    seat.answer(document, lambda: click.echo(f"{name}: {before} -> {value} of {FULL}"))
    if name not in READ:
        click.echo(f"cellctl: it is set, but {_unread(name)}", err=True)


def _meanwhile(name: str) -> str:
    if name not in READ:
        return f"{_unread(name)}; `cellctl flags list` has those that were set"
    return f"its default holds, on for {READ[name]} of {FULL} users"


def _unread(name: str) -> str:
    known = ", ".join(sorted(READ))
    those = f"it reads {known}" if known else "it reads none yet"
    return f"no service of version {VERSION} reads a flag {name!r} ({those})"
