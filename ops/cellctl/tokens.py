"""`cellctl tokens`: who may use the firehose, by tokens of which each is shown once."""

from collections.abc import Sequence

import click
from rich.table import Table

from firehose.access import Role
from ops.cellctl.seat import Seat, at_platform
from ops.cellctl.terminal import console, when
from ops.tokens_port import TokenView
from router.tokens import EVENTS_PER_S, EVENTS_PER_S_LIMIT, STREAMS_LIMIT, STREAMS_MAX, Wanted

COLUMNS = ("client", "roles", "streams", "events/s", "created", "rotated", "previous secret")


@click.group("tokens")
def command() -> None:
    """Make, list, rotate and revoke the tokens of the firehose's clients.

    A client is let in by its token, with the roles it was given: `read` events and its own groups,
    `append` events, `operate` on anybody's groups. What is changed here is felt within a second,
    and by streams that are open with their next heartbeat.
    """


@command.command("create")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice([role.value for role in Role]),
    multiple=True,
    required=True,
    help="What it may; may be given several times.",
)
@click.option(
    "--streams-max",
    type=click.IntRange(1, STREAMS_LIMIT),
    default=STREAMS_MAX,
    show_default=True,
    metavar="N",
    help="Streams at once at one server.",
)
@click.option(
    "--events-per-s",
    type=click.IntRange(1, EVENTS_PER_S_LIMIT),
    default=EVENTS_PER_S,
    show_default=True,
    metavar="N",
    help="Events appended in a second at one server.",
)
@at_platform
def create(
    seat: Seat, name: str, roles: tuple[str, ...], streams_max: int, events_per_s: int
) -> None:
    """Make a client known, and print its token: once, it is kept nowhere.

    A name has a-z, 0-9 and `-`. The groups of a client are NAME and those that begin with NAME and
    a dot.

    \b
    Examples:
      cellctl tokens create search --role read
      TOKEN=$(cellctl tokens create shop --role read --role append --events-per-s 500)
    """
    wanted = Wanted(name, {Role(role) for role in roles}, streams_max, events_per_s)
    _tell(seat, name, seat.platform.tokens.create(wanted))


@command.command("list")
@at_platform
def list_tokens(seat: Seat) -> None:
    """List the clients, without their secrets.

    A previous secret is the one before the last rotation, valid until it is revoked or the token is
    rotated again.

    \b
    Examples:
      cellctl tokens list
      cellctl tokens list --json
    """
    views = seat.platform.tokens.list()
    seat.answer(views, lambda: _draw(views))


@command.command("rotate")
@click.argument("name")
@at_platform
def rotate(seat: Seat, name: str) -> None:
    """Give a client a new secret, and print its token: once, it is kept nowhere.

    The token that it had stays valid beside the new one, until `revoke NAME --previous` or the next
    rotation. One that was valid beside it so far ends now.

    \b
    Examples:
      cellctl tokens rotate search
    """
    _tell(seat, name, seat.platform.tokens.rotate(name))


@command.command("revoke")
@click.argument("name")
@click.option("--previous", is_flag=True, help="Only the secret before the last rotation.")
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@at_platform
def revoke(seat: Seat, name: str, previous: bool, execute: bool) -> None:
    """Let a client in no more, or not by its previous secret.

    Streams that are open end with their next heartbeat, within ten seconds. Its groups stay, for
    who gets a token of this name.

    \b
    Examples:
      cellctl tokens revoke search --previous --execute
      cellctl tokens revoke search --execute
    """
    view = seat.platform.tokens.revoke(name, previous=previous, execute=execute)
    document = {"name": view.name, "previous": previous, "executed": execute}
    what = f"the previous secret of {view.name}" if previous else f"the token of {view.name}"
    told = f"{what} is revoked" if execute else f"would revoke {what} ({_past(view)}); do it with"
    seat.answer(document, lambda: click.echo(told if execute else f"{told} --execute"))


def _tell(seat: Seat, name: str, token: str) -> None:
    """The token alone on stdout, for scripts."""
    seat.answer({"name": name, "token": token}, lambda: click.echo(token))
    click.echo("cellctl: keep it where secrets are kept: it is not shown again", err=True)


def _draw(views: Sequence[TokenView]) -> None:
    if not views:
        click.echo("no client has a token")
        return
    table = Table(*COLUMNS, box=None, header_style="bold")
    for view in views:
        table.add_row(
            view.name,
            ", ".join(view.roles),
            f"{view.streams_max:,}",
            f"{view.events_per_s:,}",
            when(view.created_ms),
            when(view.rotated_ms) if view.rotated_ms is not None else "-",
            "valid" if view.previous else "-",
        )
    console().print(table)


def _past(view: TokenView) -> str:
    rotated = f", rotated {when(view.rotated_ms)}" if view.rotated_ms is not None else ""
    return f"{', '.join(view.roles)}; made {when(view.created_ms)}{rotated}"
