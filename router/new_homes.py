"""Homes of a new platform as those of another one: for restoring its cells, before anybody writes.

The epochs are new ones; cells that have nothing yet are told whom they are home to now.
"""

from collections.abc import Callable

from cell.commands import Command, SliceArrived, SliceLeft, encode
from cell.stores import CellStores
from router.registry import Registry
from router.routes import change_routes, read_routes
from router.slices import Slices


def rehomed(slices: Slices, wanted: Slices) -> Slices:
    """`slices` with everybody homed where `wanted` has them, at new epochs where that differs."""
    for i, want in enumerate(wanted):
        for start, end in _elsewhere(slices, want.start, wanted.end(i), want.cell):
            drawn, epoch = slices.draw(start, end)
            slices = drawn.rehome(start, end, want.cell, epoch)
    return slices.merged()


def tell_new_homes(
    registry: Registry, cells: Callable[[str], CellStores], wanted: Slices, but: str
) -> None:
    """Change the routes, and tell the cells that this concerns, `but` for one that is told
    otherwise. May be repeated."""
    before = read_routes(registry).slices
    after = rehomed(before, wanted)
    if after == before:
        return
    for cell in {*before.cells(), *after.cells()} - {but}:
        commands = _commands(before, after, cell, cells(cell).firehose.partitions)
        if commands:
            cells(cell).commands.append([(0, encode(command)) for command in commands])
    change_routes(registry, lambda found: rehomed(found, wanted))


def _elsewhere(slices: Slices, start: int, end: int, cell: str) -> list[tuple[int, int]]:
    """The parts of [start, end) that are not homed in the cell."""
    return [
        (max(slices[i].start, start), min(slices.end(i), end))
        for i in slices.within(start, end)
        if slices[i].cell != cell
    ]


def _commands(before: Slices, after: Slices, cell: str, partitions: int) -> list[Command]:
    zeros = tuple([0] * partitions)
    left: list[Command] = []
    for i, s in enumerate(before):
        if s.cell == cell:
            for start, end in _elsewhere(after, s.start, before.end(i), cell):
                left.append(SliceLeft(start, end - 1, s.epoch))
    arrived: list[Command] = []
    for i, s in enumerate(after):
        if s.cell == cell:
            for start, end in _elsewhere(before, s.start, after.end(i), cell):
                arrived.append(SliceArrived(start, end - 1, s.epoch, zeros))
    return [*left, *arrived]
