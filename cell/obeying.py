"""What commands do to who is homed in a cell. Pure."""

from typing import NamedTuple

from cell.commands import Command, SliceArrived, SliceLeft
from cell.residents import Ranges, Residents


class Told(NamedTuple):
    """A command, where it is in the command log and since when (as the log has it)."""

    offset: int
    at_ms: int
    command: Command


def residents_after(
    command: Command, residents: Residents, partition: int, offset: int
) -> Residents:
    """The residents of a partition after a command that is stamped there at `offset`."""
    if isinstance(command, SliceArrived):
        since = command.since[partition]
        return residents.arrived(command.start, command.last, command.band, since)
    if isinstance(command, SliceLeft):
        return residents.left(command.start, command.last, command.band, offset)
    return residents


def arriving(command: Command) -> Ranges:
    """For whom a command has events applied again; empty: for all."""
    if isinstance(command, SliceArrived):
        return ((command.start, command.last, command.band),)
    return ()
