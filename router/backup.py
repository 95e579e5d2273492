"""Backups of cells with what the registry has to say: taken here, restored by `router.restore`."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from cell.backup import Taken, Wish, take
from cell.backup_files import Manifest, PlatformThen
from cell.residents import Ranges
from cell.state import homes_now
from cell.stores import CellStores
from idgen.clock import Clock
from router.cells import APPLYING, read_cell
from router.cluster import read_cluster
from router.moves import Refused
from router.registry import Registry
from router.routes import read_routes
from router.slices import Slice, Slices

BASE_BITS = 32
"""A new log begins at a multiple of 2^32, two above what was given: room for four billion more
events a partition since the backup, and for 65,000 logs."""


def take_backup(
    registry: Registry,
    stores: CellStores,
    folder: Path,
    wish: Wish,
    program: str,
    clock: Clock,
    tell: Callable[[Taken], None],
) -> Manifest:
    """Write a backup of a cell into an empty folder, while the cell goes on.

    Raises Refused for a cell that is no whole copy itself, and what `cell.backup.take` raises.
    """
    state = read_cell(registry, stores.name).info.state
    if state not in APPLYING:
        raise Refused(
            state.value, f"cell {stores.name} is {state}: back up what is whole, once it is active"
        )
    _refuse_arriving(registry, stores)
    return take(stores, folder, wish, lambda: platform_of(registry), program, clock, tell)


def _refuse_arriving(registry: Registry, stores: CellStores) -> None:
    """A backup without readers that are homed here could not be restored."""
    held = homes_now(stores.state().read().values()).ranges
    if outside(routed(read_routes(registry).slices, stores.name), held):
        raise Refused(
            "arriving",
            f"the workers of cell {stores.name} have not taken in yet all readers that are homed "
            "there: see `cellctl status`, and back it up when they are ready",
        )


def platform_of(registry: Registry) -> PlatformThen:
    """The platform as the registry has it now."""
    cluster: dict[str, int | str] = msgspec.to_builtins(read_cluster(registry))
    slices = read_routes(registry).slices
    return PlatformThen(
        cluster, tuple((f"{s.start:016x}", s.cell, s.epoch, s.drawn) for s in slices)
    )


def slices_of(then: PlatformThen) -> Slices:
    """The routes of a platform as it was backed up. Raises BadRequest(routes)."""
    return Slices(
        Slice(int(start, 16), cell, epoch, drawn) for start, cell, epoch, drawn in then.routes
    )


def routed(slices: Slices, cell: str) -> Ranges:
    """The ranges of readers that routes have in a cell; the bands are their epochs."""
    return tuple(
        (s.start, slices.end(i) - 1, s.epoch) for i, s in enumerate(slices) if s.cell == cell
    )


def outside(wanted: Ranges, held: Ranges) -> Ranges:
    """The parts of `wanted` that `held` does not have."""
    found: list[tuple[int, int, int]] = []
    for start, last, band in wanted:
        at = start
        for a, b, _ in held:
            if b < at or a > last:
                continue
            if a > at:
                found.append((at, a - 1, band))
            at = b + 1
        if at <= last:
            found.append((at, last, band))
    return tuple(found)


def log_base_above(manifest: Manifest) -> int:
    """A log_base for a new log, above all versions of a backup and of what came after it."""
    return ((manifest.at_max >> BASE_BITS) + 2) << BASE_BITS
