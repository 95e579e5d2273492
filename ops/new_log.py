"""A platform that goes on with another log, after the one that it was made with was lost.

Cells keep what they hold: rows of the old log, below all versions of the new one. What is lost is
what a cell had not applied yet of the old log, and what was commanded.
"""

from collections.abc import Sequence

import msgspec

from cell.residents import Resident
from cell.state import PartitionState, homes_now
from cell.stores import CellStores
from idgen.errors import Conflict
from ops.wiring.seams import Seams
from router.backup import BASE_BITS, routed
from router.carrier import covers
from router.cluster import CLUSTER, ClusterValues, read_cluster
from router.move_records import give_up_all
from router.registry import Registry
from router.routes import change_routes, read_routes
from router.slices import Slices


def log_base_for(values: ClusterValues, stores: Sequence[CellStores]) -> int:
    """A log_base above all versions that the cells of a platform hold."""
    highs = [s.high for each in stores for s in each.state().read().values()]
    return ((values.log_base + max(highs, default=0) >> BASE_BITS) + 2) << BASE_BITS


def begin_new_log(seams: Seams, values: ClusterValues, cells: Sequence[str]) -> None:
    """Have all cells go on with the log of `values` from its beginning; nobody applies meanwhile.

    May be repeated: the agreed values are written last. Raises Conflict where they hold versions
    that the new log would give again, or do not hold whom the routes have there.
    """
    registry = seams.registry
    agreed = read_cluster(registry)
    stores = [seams.cell(name) for name in cells]
    least = log_base_for(agreed, stores)
    if values.log_base < least:
        raise Conflict(
            f"log_base {values.log_base} is not above all versions that the cells hold: "
            f"`cellctl up --log-base {least}`"
        )
    slices = read_routes(registry).slices
    begun = {each.name: _begun(each, slices) for each in stores}
    give_up_all(registry, "the log was lost", seams.clock.now_ms())
    change_routes(registry, lambda found: found.opened(0, 1 << 64).merged())
    for each in stores:
        each.state().begin_as(begun[each.name], anew=True)
    _write(registry, values)


def _begun(stores: CellStores, slices: Slices) -> dict[int, PartitionState]:
    """A cell at the beginning of another log: home to whom the routes have there."""
    states = stores.state().read()
    homes = homes_now(states.values())
    residents: list[Resident] = []
    for start, last, _ in routed(slices, stores.name):
        ranges = homes.within(start, last)
        if not covers(ranges, start, last):
            raise Conflict(
                f"cell {stores.name} does not hold all readers from {start:016x} on: restore it "
                "from a backup into a new platform"
            )
        residents += [Resident(a, b, band, 0) for a, b, band in ranges]
    return {p: PartitionState(residents=tuple(residents)) for p in states}


def _write(registry: Registry, values: ClusterValues) -> None:
    registry.set(CLUSTER, msgspec.json.encode(values), registry.get(CLUSTER).version)
