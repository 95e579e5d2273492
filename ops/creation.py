"""Making a platform: agreed values, cells with their tables, routes, and who is homed where.

Every step can be repeated, so a creation that was cut off is finished by the next `up`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from cell import commands
from cell.keys import TABLES
from idgen.errors import Conflict, NotFound
from idgen.ids import U64
from ops.wiring.seams import SERVERS, Seams, Servers
from router.cells import CellInfo, CellState, add_cell, change_cell, read_cell, read_cells
from router.cluster import agree, read_cluster, values_of
from router.placement import first_routes
from router.registry import Registry
from router.routes import create_routes, read_routes
from router.slices import Slices

Progress = Callable[[str], None]


def tell_servers(registry: Registry, kafka: str, cells: Sequence[CellInfo]) -> None:
    """Write where the servers are now, so that every process finds them by the registry alone."""
    value = msgspec.json.encode(Servers(kafka))
    try:
        registry.create(SERVERS, value)
    except Conflict:
        registry.set(SERVERS, value, registry.get(SERVERS).version)
    for info in cells:
        try:
            add_cell(registry, info)
        except Conflict:
            found = read_cell(registry, info.name)
            moved = msgspec.structs.replace(info, state=found.info.state)
            change_cell(registry, moved, found.version)


def create_platform(
    seams: Seams, cell_names: Sequence[str], progress: Progress, log_base: int = 0
) -> list[str]:
    """Make what is not there yet; the names of the platform's cells.

    A platform that exists keeps the cells it has, and its log_base where none is given. Raises
    Conflict when this process does not fit the platform's agreed values.
    """
    registry = seams.registry
    try:
        slices = read_routes(registry).slices
    except NotFound:
        slices = _first_slices(registry, cell_names)
    agree(registry, values_of(seams.firehose(), log_base or _agreed_log_base(registry)))
    names = _served(registry)
    for name in names:
        progress(f"tables of cell {name}")
        stores = seams.cell(name)
        stores.tables.create(TABLES)
    with suppress(Conflict):
        create_routes(registry, slices)
    for name in slices.cells():
        _tell_residents(seams, name, slices)
    return names


def _agreed_log_base(registry: Registry) -> int:
    try:
        return read_cluster(registry).log_base
    except NotFound:
        return 0


def _served(registry: Registry) -> list[str]:
    """The cells that have to run, whether or not they are home to anybody."""
    return [info.name for info in read_cells(registry) if info.state is not CellState.RETIRED]


def _first_slices(registry: Registry, cell_names: Sequence[str]) -> Slices:
    for name in cell_names:
        with suppress(Conflict):
            add_cell(registry, CellInfo(name))
    return first_routes(read_cells(registry))


def _tell_residents(seams: Seams, name: str, slices: Slices) -> None:
    """Command a cell's workers to take in its slices from the beginning of the log, once."""
    stores = seams.cell(name)
    if stores.commands.spans()[0].end:
        return
    since = tuple([0] * stores.firehose.partitions)
    arrived = [
        commands.SliceArrived(s.start, _last(slices, i), s.epoch, since)
        for i, s in enumerate(slices)
        if s.cell == name
    ]
    stores.commands.append([(0, commands.encode(command)) for command in arrived])


def _last(slices: Slices, index: int) -> int:
    return min(slices.end(index) - 1, U64)
