"""Backups as `cellctl` asks for them: taken and restored by the process that asks."""

from collections.abc import Callable
from pathlib import Path

from cell.backup import Tell as TellTaken
from cell.backup import Wish
from cell.backup_files import Manifest, read_manifest
from ops.platform_port import RestoreView
from ops.release import VERSION
from ops.wiring.seams import Seams
from router.backup import take_backup
from router.cells import read_cell
from router.restore import Restore, Tell
from router.restore_slice import SliceRestore


class BackupDesk:
    """`ops.platform_port.Backups` over the seams of a platform."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams

    def take(self, cell: str, folder: Path, wish: Wish, tell: TellTaken) -> Manifest:
        """Write a backup of a cell, or of a slice of it, into an empty folder."""
        seams = self._seams
        read_cell(seams.registry, cell)
        stores = seams.cell(cell)
        return take_backup(seams.registry, stores, folder, wish, VERSION, seams.clock, tell)

    def plan(self, folder: Path, tell: Tell) -> RestoreView:
        """Read a backup whole, and say what restoring it would do."""
        if read_manifest(folder).whole:
            plan = self._restore(folder, tell).plan()
            return RestoreView(plan.manifest, plan.cell, plan.events, plan.new_log, plan.restored)
        slice_plan = self._slice(folder, tell).plan()
        return RestoreView(slice_plan.manifest, slice_plan.cell, slice_plan.events)

    def restore(
        self, folder: Path, tell: Tell, pause: Callable[[], bool]
    ) -> tuple[RestoreView, bool]:
        """Do it; what was done, and whether the readers are answered again: not when `pause` said
        that it is enough before the cell had caught up."""
        if not read_manifest(folder).whole:
            planned = self.plan(folder, tell)
            return planned, self._slice(folder, tell).execute(pause) is not None
        restore = self._restore(folder, tell)
        plan = restore.execute()
        view = RestoreView(plan.manifest, plan.cell, plan.events, plan.new_log, plan.restored)
        return view, restore.catch_up(plan.cell, pause)

    def _restore(self, folder: Path, tell: Tell) -> Restore:
        seams = self._seams
        return Restore(seams.registry, seams.cell, seams.checkpoints, seams.clock, folder, tell)

    def _slice(self, folder: Path, tell: Tell) -> SliceRestore:
        seams = self._seams
        return SliceRestore(seams.registry, seams.cell, seams.clock, folder, tell)
