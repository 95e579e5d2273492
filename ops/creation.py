"""Making a platform: agreed values, cells with their tables, routes, and who is homed where.

Every step can be repeated, so a creation that was cut off is finished by the next `up`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

import msgspec

from cell import commands
from cell.keys import TABLES
from cell.state import CellLog, homes_now
from cell.stores import CellStores
from idgen.errors import BadRequest, Conflict, NotFound, Unavailable
from idgen.ids import U64
from ops.new_log import begin_new_log, log_base_for
from ops.wiring.seams import SERVERS, Seams, Servers
from router.cells import RUNNING, CellInfo, add_cell, change_cell, read_cell, read_cells
from router.cluster import ClusterValues, agree, read_cluster, values_of
from router.found_routes import found_routes
from router.placement import first_routes
from router.registry import Registry
from router.routes import create_routes, read_routes
from router.slices import Slices

Progress = Callable[[str], None]
UNHEARD_READ = 100
UNHEARD_MS = 10_000
_NONE: Mapping[str, str] = MappingProxyType({})


def tell_servers(
    registry: Registry, kafka: str, cells: Sequence[CellInfo], groups: Mapping[str, str] = _NONE
) -> None:
    """Write where the servers are now, so that every process finds them by the registry alone.
    `groups`: the Kafkas of groups of cells that have one of their own."""
    value = msgspec.json.encode(Servers(kafka, dict(groups)))
    try:
        registry.create(SERVERS, value)
    except Conflict:
        registry.set(SERVERS, value, registry.get(SERVERS).version)
    tell_addresses(registry, cells)


def tell_addresses(registry: Registry, cells: Sequence[CellInfo]) -> None:
    """Write where the servers of cells are now; what else is known of a cell stays."""
    for info in cells:
        try:
            add_cell(registry, info)
        except Conflict:
            found = read_cell(registry, info.name)
            moved = msgspec.structs.replace(
                found.info,
                hbase_thrift1=info.hbase_thrift1,
                hbase_thrift2=info.hbase_thrift2,
                redis=info.redis,
            )
            change_cell(registry, moved, found.version)


def create_platform(
    seams: Seams,
    cell_names: Sequence[str],
    progress: Progress,
    log_base: int = 0,
    groups: Mapping[str, str] = _NONE,
) -> list[str]:
    """Make what is not there yet; the names of the platform's cells. `groups`: which of the cells
    of a new one are behind a relay, each with its group.

    A platform that exists keeps the cells it has, and its log_base where none is given. Raises
    Conflict when this process does not fit the platform's agreed values.
    """
    registry = seams.registry
    known = _known_slices(registry)
    if known is None:
        _add_cells(registry, cell_names, groups)
    names = _served(registry)
    ours = values_of(seams.firehose(), log_base or _log_base_of(seams, names))
    _agree(seams, ours, names)
    for name in names:
        progress(f"tables of cell {name}")
        stores = seams.cell(name)
        stores.tables.create(TABLES)
        _begin_log(stores, ours)
    slices = known or _slices_of(seams, names)
    with suppress(Conflict):
        create_routes(registry, slices)
    for name in slices.cells():
        _tell_residents(seams, name, slices)
    return names


def _known_slices(registry: Registry) -> Slices | None:
    try:
        return read_routes(registry).slices
    except NotFound:
        return None


def _agree(seams: Seams, ours: ClusterValues, names: Sequence[str]) -> None:
    """Agree on the values, or have the platform go on with a new log, whose log_base was given."""
    try:
        agree(seams.registry, ours)
    except Conflict as error:
        theirs = read_cluster(seams.registry)
        if (
            ours.log == theirs.log
            or msgspec.structs.replace(
                theirs, log=ours.log, log_base=ours.log_base, partitions=ours.partitions
            )
            != ours
        ):
            raise
        if ours.log_base > theirs.log_base:
            begin_new_log(seams, ours, names)
            return
        least = log_base_for(theirs, [seams.cell(name) for name in names])
        raise Conflict(
            f"{error}; if the log was lost, go on with a new one by `cellctl up --log-base "
            f"{least}` (docs/disaster.md says what is lost)"
        ) from error


def _begin_log(stores: CellStores, ours: ClusterValues) -> None:
    """Refuse tables whose rows are of another log than the platform's; else remember it there."""
    log, found = CellLog(ours.log, ours.log_base), stores.state().log()
    if found is not None and found != log and found.log_base >= log.log_base:
        raise Conflict(
            f"the tables of cell {stores.name} hold rows of another log, with log_base "
            f"{found.log_base}: give the cell its own tables, or start the platform with its log"
        )
    stores.state().begin_log(log)


def _slices_of(seams: Seams, names: Sequence[str]) -> Slices:
    """The routes of a platform whose registry has none: of a new one, or, where cells are home to
    readers, as these know it."""
    kept = {name: tuple(seams.cell(name).state().read().values()) for name in names}
    ends = tuple(span.end for span in seams.firehose().spans())
    found = found_routes(kept, ends)
    if found is None:
        return first_routes(read_cells(seams.registry))
    unheard = [
        (name, told.start, told.last, told.band)
        for name in names
        for told in _unheard(seams.cell(name))
    ]
    for cell, start, last, band in (*found.left, *unheard):
        left = commands.encode(commands.SliceLeft(start, last, band))
        seams.cell(cell).commands.append([(0, left)])
    return found.slices


def _unheard(stores: CellStores) -> list[commands.SliceArrived]:
    """Arrivals that a cell was told of and has not taken in: of moves that nobody remembers."""
    states = stores.state().read().values()
    if not homes_now(states).ranges:
        return []  # it is lost
    at, end = min(state.commands for state in states), stores.commands.spans()[0].end
    told: list[commands.Command] = []
    while at < end:
        records = stores.commands.read(0, at, UNHEARD_READ, timeout_ms=UNHEARD_MS)
        if not records:
            raise Unavailable(f"the commands of cell {stores.name} cannot be read from {at} on")
        told += [commands.decode(record.value) for record in records]
        at = records[-1].offset + 1
    return [command for command in told if isinstance(command, commands.SliceArrived)]


def _log_base_of(seams: Seams, names: Sequence[str]) -> int:
    """The platform's log_base as the registry has it, or, where that was lost, its cells."""
    with suppress(NotFound):
        return read_cluster(seams.registry).log_base
    found = 0
    for name in names:
        with suppress(BadRequest):  # there are no tables
            log = seams.cell(name).state().log()
            found = max(found, log.log_base if log else 0)
    return found


def _served(registry: Registry) -> list[str]:
    """The cells that have to run, whether or not they are home to anybody; a mover makes the
    tables of one that is still to be provisioned."""
    return [info.name for info in read_cells(registry) if info.state in RUNNING]


def _add_cells(registry: Registry, cell_names: Sequence[str], groups: Mapping[str, str]) -> None:
    unknown = sorted(set(groups) - set(cell_names))
    if unknown:
        raise BadRequest(
            "platform.groups", f"{unknown[0]} is none of the cells {', '.join(cell_names)}"
        )
    for name in cell_names:
        with suppress(Conflict):
            add_cell(registry, CellInfo(name, group=groups.get(name, "")))


def _tell_residents(seams: Seams, name: str, slices: Slices) -> None:
    """Command a cell's workers to take in its slices from the beginning of the log, once."""
    stores = seams.cell(name)
    if stores.commands.spans()[0].end or homes_now(stores.state().read().values()).ranges:
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
