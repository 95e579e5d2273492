"""Planted faults of backups: the lives that they are tried in have to notice each."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cell import backup, backup_load, keys, slice_rows
from cell.backup_files import Manifest
from cell.residents import Homes
from cell.slice_rows import taken
from cell.state import PartitionState
from cell.tables import FixedRows
from cell.versions import ats_of
from tests.sim.backup_world import TINY, BackupLife
from tests.sim.move_world import MoveWorld


def _no_followers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backup_load, "exchanged", lambda rows: taken(rows, rows.versions < 0))


def _no_gone_rows(patch: pytest.MonkeyPatch) -> None:
    def live(table: str, rows: FixedRows, homes: Homes) -> FixedRows:
        found = homed(table, rows, homes)
        if table == keys.MARKS:
            return found
        return taken(found, found.values[:, 0] > 0)

    homed = backup_load._homed
    patch.setattr(backup_load, "_homed", live)


def _versions_of_now(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backup_load, "ats_of", lambda versions: ats_of(versions) + np.uint64(1_000))


def _applied_to_the_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Manifest, "since", property(lambda manifest: manifest.ends))


def _entries_before_edges(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(slice_rows, "SLICE_TABLES", tuple(reversed(slice_rows.SLICE_TABLES)))


def _positions_last(patch: pytest.MonkeyPatch) -> None:
    """The backup claims what was applied when it ended."""
    write = backup.write_manifest

    def later(folder: Path, manifest: Manifest) -> None:
        states = tuple(msgspec.structs.replace(s, high=e, open=()) for s, e in _ends(manifest))
        write(folder, msgspec.structs.replace(manifest, states=states))

    patch.setattr(backup, "write_manifest", later)


def _ends(manifest: Manifest) -> list[tuple[PartitionState, int]]:
    return list(zip(manifest.states, manifest.ends, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        _no_followers,
        _no_gone_rows,
        _versions_of_now,
        _applied_to_the_end,
        _entries_before_edges,
        _positions_last,
    ],
)
def test_planted_faults_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    fault(monkeypatch)
    assert any(differs(tmp_path / f"{seed}", seed) for seed in range(40))


@pytest.mark.slow
def test_without_a_fault_there_is_nothing_to_notice(tmp_path: Path) -> None:
    assert not any(differs(tmp_path / f"{seed}", seed) for seed in range(20))


def differs(folder: Path, seed: int) -> bool:
    """Whether a cell that was backed up, lost and restored is another one."""
    folder.mkdir()
    world = MoveWorld(folder / "platform", TINY, partitions=3)
    try:
        life = BackupLife(world, seed)
        life.act(30)
        world.settle()
        life.take("a", folder / "backup", lambda _: busy(life))
        world.settle()
        was = life.rows("a")
        life.lose("a", folder / "platform")
        life.restored("a", folder / "backup")
        world.settle()
        return life.rows("a") != was
    finally:
        world.close()


def busy(life: BackupLife) -> None:
    """Much happens between two files."""
    life.act(4)
    for _ in range(4):
        life.world.tick()
        life.world.cells["a"].work()
