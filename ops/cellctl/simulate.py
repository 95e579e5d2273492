"""`cellctl simulate`: simulators, which need no platform."""

import click

from ops.cellctl.lazy import LazyCommands

COMMANDS = {
    "feeding-frenzy": "Compare push all, push none and both on the workload of a paper.",
}


class SimulateCommands(LazyCommands):
    """The commands of `cellctl simulate`, one module each."""

    LINES = COMMANDS
    PREFIX = "simulate_"


@click.group("simulate", cls=SimulateCommands)
def command() -> None:
    """Work out what pushing and pulling cost on a published workload.

    The policy is the one that cells decide by. Nothing is started or asked.
    """
