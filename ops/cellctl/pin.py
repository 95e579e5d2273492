"""`cellctl pin`: have a user pushed to or pulled, whatever the policy says."""

import click

from ops.cellctl.plain import USER
from ops.cellctl.seat import Seat, at_platform


@click.command("pin")
@click.argument("user", type=USER)
@click.option("--push", is_flag=True, help="Push, always.")
@click.option("--pull", is_flag=True, help="Pull, always.")
@click.option("--auto", is_flag=True, help="As the policy decides.")
@at_platform
def command(seat: Seat, user: int, push: bool, pull: bool, auto: bool) -> None:
    """Have a user pushed to or pulled, whatever the policy says.

    Holds for the user as a reader and as an author, in every cell, above all rules, from each
    cell's next pass of decisions on. Dashboards show the same either way.

    \b
    Examples:
      cellctl pin 88 --pull
      cellctl pin 88 --push
      cellctl pin 88 --auto
    """
    asked = {"push": push, "pull": pull, "auto": auto}
    hows = [how for how, said in asked.items() if said]
    if len(hows) != 1:
        raise click.UsageError("say one of --push, --pull and --auto")
    how = hows[0]
    before = seat.platform.pins.set(user, how)
    document = {"user": user, "before": before, "pin": how}
    seat.answer(document, lambda: click.echo(f"user {user}: {before} -> {how}"))
