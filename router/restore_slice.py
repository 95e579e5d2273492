"""Restoring a slice of readers into the cell that they are homed in, which goes on for all others.

It is an arrival (`router.carrier`): rows are loaded into the band of a new epoch, the workers are
told that the slice has arrived, and apply the log again from the backup's position. The slice's
readers are not answered meanwhile; when this is cut off, they are once it is done again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cell.backup_files import Manifest
from cell.backup_load import load
from cell.commands import SliceArrived, encode
from cell.residents import Homes, Ranges
from cell.slice_rows import Walked, moved_legs
from cell.slice_sweep import sweep_piece
from cell.state import homes_now
from cell.stores import CellStores
from idgen.clock import Clock
from router.backup import outside
from router.cells import CellState, read_cell
from router.cluster import read_cluster
from router.move_records import overlapping
from router.moves import ALREADY_MOVING, Refused, under_way
from router.registry import Registry
from router.restore import Loaded, Reach, Tell, read_whole
from router.restore_checks import arrived_since, is_new_log, refuse_log
from router.routes import change_routes, read_routes
from router.slices import Slices

NEVER = 1 << 62
"""An offset that no cell ever has applied."""
PIECE_ROWS = 10_000
SWEEP_AFTER_MS = 10_000
"""Pages that were being read when the slice arrived are over then."""


class SlicePlan(NamedTuple):
    """What restoring a slice would do: into which cell, and how many events are applied again."""

    manifest: Manifest
    cell: str
    events: int


class SliceRestore:
    """One backup of a slice, to be restored into its home."""

    def __init__(
        self,
        registry: Registry,
        cells: Callable[[str], CellStores],
        clock: Clock,
        folder: Path,
        tell: Tell = lambda _: None,
        reach: Reach = lambda _: None,
    ) -> None:
        self._registry = registry
        self._cells = cells
        self._clock = clock
        self._folder = folder
        self._tell = tell
        self._reach = reach

    def plan(self) -> SlicePlan:
        """Read all of the backup, and say what restoring it would do. Nothing is changed.

        Raises DamagedBackup, and Refused: other_format, other_log, log_too_short, already_moving,
        several_homes, arrived_since, or the cell's state.
        """
        manifest = read_whole(self._folder, self._tell)
        start, last = manifest.start, manifest.last
        if is_new_log(manifest, read_cluster(self._registry)):
            raise Refused(
                "other_log",
                "the slice was backed up with another log, whose events cannot be applied again: a "
                "new platform begins with backups of whole cells",
            )
        for move_id in overlapping(self._registry, start, last):
            raise Refused(ALREADY_MOVING, under_way(move_id))
        stores = self._cells(self._home(start, last))
        refuse_log(manifest, stores)
        missing = outside(((start, last, 0),), manifest.ranges)
        if missing:
            raise Refused("arrived_since", arrived_since(stores.name, missing))
        events = sum(e - s for e, s in zip(stores.ends(), manifest.since, strict=True))
        return SlicePlan(manifest, stores.name, events)

    def execute(self, pause: Callable[[], bool]) -> SlicePlan | None:
        """Do it; None when `pause` said that it is enough: then the same is to be done again.

        Raises what `plan` raises; Unavailable and Conflict in the middle, and then too.
        """
        plan = self.plan()
        start, last = plan.manifest.start, plan.manifest.last
        stores = self._cells(plan.cell)
        before = homes_now(stores.state().read().values()).within(start, last)
        epoch = self._close(start, last, plan.cell)
        self._reach("closed")
        homes = Homes(((start, last, epoch),))
        load(stores, self._folder, plan.manifest, homes, self._loaded)
        self._reach("loaded")
        arrived = SliceArrived(start, last, epoch, plan.manifest.since)
        told = stores.commands.append([(0, encode(arrived))])[-1].offset + 1
        self._reach("told")
        ends = stores.ends()
        while behind := _behind(stores, told, ends):
            self._tell(Loaded(behind))
            if not pause():
                return None
        self._reach("applied")
        change_routes(self._registry, lambda slices: slices.opened(start, last + 1).merged())
        self._clock.pause(SWEEP_AFTER_MS)
        _sweep(stores, before)
        return plan

    def _home(self, start: int, last: int) -> str:
        slices = read_routes(self._registry).slices
        cells = sorted({slices[i].cell for i in slices.within(start, last + 1)})
        if len(cells) > 1:
            raise Refused(
                "several_homes",
                f"the slice is homed in {' and '.join(cells)} now: move its readers into one cell "
                "first (`cellctl rehome-slice`)",
            )
        info = read_cell(self._registry, cells[0]).info
        if info.state not in (CellState.ACTIVE, CellState.DRAINING):
            raise Refused(info.state.value, f"cell {info.name} is {info.state}: activate it first")
        return info.name

    def _close(self, start: int, last: int, cell: str) -> int:
        """A new epoch for the slice, in which nobody is answered yet."""
        never = tuple([NEVER] * read_cluster(self._registry).partitions)
        epoch = 0

        def close(slices: Slices) -> Slices:
            nonlocal epoch
            drawn, epoch = slices.draw(start, last + 1)
            return drawn.rehome(start, last + 1, cell, epoch, never)

        change_routes(self._registry, close)
        return epoch

    def _loaded(self, rows: int, size: int) -> None:
        self._tell(Loaded("loading", rows, size))
        self._reach("loading")


def _behind(stores: CellStores, told: int, ends: tuple[int, ...]) -> str:
    """What the cell's workers have to do before it can answer; empty: nothing."""
    if any(state.commands < told for state in stores.state().read().values()):
        return f"the workers of cell {stores.name} have not read the command yet"
    behind = stores.behind(ends)
    return f"{behind:,} events to apply again" if behind else ""


def _sweep(stores: CellStores, ranges: Ranges) -> None:
    """What lay there before and is not in the backup."""
    legs, walked = moved_legs(ranges), Walked()
    while walked.leg < len(legs):
        walked = sweep_piece(stores.tables, legs, walked, PIECE_ROWS)
