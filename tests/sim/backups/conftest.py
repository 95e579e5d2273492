"""The platform that is backed up: two cells, few rows to a file, and a life that has begun."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cell import backup
from tests.sim.backup_world import TINY, BackupLife
from tests.sim.move_world import MoveWorld


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that backups have many files, between which much happens."""
    monkeypatch.setattr(backup, "PIECE_ROWS", 3)
    monkeypatch.setattr(backup, "PIECE_POSTS", 3)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MoveWorld]:
    made = MoveWorld(tmp_path / "platform", TINY, partitions=3)
    yield made
    made.close()


@pytest.fixture
def life(world: MoveWorld, sim_seed: int) -> BackupLife:
    life = BackupLife(world, sim_seed)
    life.act(40)
    world.settle()
    return life


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    return tmp_path / "platform"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"
