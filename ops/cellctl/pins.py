"""`cellctl pins`: the users who are pushed to or pulled whatever the policy says."""

import click

from ops.cellctl.seat import Seat, at_platform


@click.command("pins")
@at_platform
def command(seat: Seat) -> None:
    """List the users who are pinned.

    \b
    Examples:
      cellctl pins
      cellctl pins --json
    """
    found = [{"user": user, "pin": how} for user, how in sorted(seat.platform.pins.all().items())]
    text = "\n".join(f"{each['user']}  {each['pin']}" for each in found) or "nobody is pinned"
    seat.answer(found, lambda: click.echo(text))
