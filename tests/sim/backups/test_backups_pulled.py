"""Backups of cells with readers who are or were pulled, restored where switches are others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cell import backup, keys
from cell.backup import Wish
from cell.backup_files import FORMAT, FORMAT_PULLED, HOT_AUTHORS, read_manifest
from cell.commands import Switched
from cell.materialization import Why
from router.restore_slice import SliceRestore
from tests.sim.backup_world import TINY, USERS, BackupLife
from tests.sim.move_world import CELLS, Done, MoveWorld

SEEDS = range(4)
ALL = tuple(range(1, USERS + 1))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[MoveWorld]:
    """A new platform with other partitions, above all versions of the first; a later moment."""
    made = MoveWorld(tmp_path / "other", TINY, partitions=5, log_base=2 << 32)
    made.clock.ms += 10_000_000
    made.ids.next_ids(100_000)  # which the first platform has given
    yield made
    made.close()


def lived(world: MoveWorld, seed: int) -> BackupLife:
    """A life in which many are pulled and pushed."""
    life = BackupLife(world, seed)
    for _ in range(12):
        life.act(4)
        life.switch()
        if life.rnd.random() < 0.7:
            world.settle()
            world.tick()
    return life


def pull(life: BackupLife, **named: tuple[int, ...]) -> None:
    for cell in CELLS:
        life.world.tell(cell, Switched(True, Why.PINNED, **named))  # type: ignore[arg-type]
    life.world.settle()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("moves", [0, 2])
def test_a_lost_cell_comes_back_with_what_was_pulled(
    world: MoveWorld, platform: Path, folder: Path, seed: int, moves: int
) -> None:
    life = lived(world, seed)
    for _ in range(moves):
        life.move()
    life.take("a", folder)
    life.act(5)
    life.switch()
    world.settle()
    life.look()
    life.lose("a", platform)
    life.restored("a", folder)
    world.settle()
    life.look()
    for _ in range(4):
        life.act(3)
        life.switch()
        world.settle()
        life.look()
    life.move()
    life.look()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_platform_with_other_partitions_has_what_was_pulled(
    world: MoveWorld, other: MoveWorld, tmp_path: Path, seed: int
) -> None:
    life = lived(world, seed)
    life.move()
    world.settle()
    for cell in CELLS:
        life.take(cell, tmp_path / cell, lambda _: None)
    after = BackupLife(other, seed)
    for cell in CELLS:
        other.cells[cell].member.leave()
        assert after.restored(cell, tmp_path / cell).new_log
    other.done = [Done(each.operation, 0, -1) for each in world.done]
    after.posts, after.events = life.posts, life.events
    other.settle()
    after.look()
    for _ in range(4):
        after.act(3)
        after.switch()
        other.settle()
        after.look()
    after.move()
    after.look()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slice_comes_back_with_what_was_pulled(
    world: MoveWorld, folder: Path, seed: int
) -> None:
    life = lived(world, seed)
    world.settle()
    wish = Wish(start=0, last=(1 << 63) - 1)
    life.take("a", folder, wish=wish)
    life.act(5)
    life.switch()
    world.settle()

    def pause() -> bool:
        world.tick()
        world.cells["a"].work()
        return True

    restore = SliceRestore(world.registry, world.seams.cell, world.clock, folder)
    assert restore.execute(pause) is not None
    world.settle()
    life.look()
    for _ in range(3):
        life.act(3)
        life.switch()
        world.settle()
        life.look()


@pytest.mark.parametrize("named", [{"readers": ALL}, {"authors": ALL}])
def test_without_it_posts_would_be_missing(
    world: MoveWorld,
    platform: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: dict[str, tuple[int, ...]],
) -> None:
    monkeypatch.setattr(backup._Taking, "_take_pulled", lambda *_: None)
    life = BackupLife(world, 1)
    for _ in range(8):
        life.follow()
    pull(life, **named)
    for _ in range(8):
        life.publish()
    world.settle()
    life.take("a", folder, lambda _: None)
    life.lose("a", platform)
    life.restored("a", folder)
    world.settle()
    with pytest.raises(AssertionError):
        life.look()


def test_only_a_backup_that_needs_it_is_of_the_later_format(
    world: MoveWorld, tmp_path: Path
) -> None:
    life = BackupLife(world, 1)
    life.act(5)
    world.settle()
    life.take("a", tmp_path / "before", lambda _: None)
    assert read_manifest(tmp_path / "before").format == FORMAT
    pull(life, readers=ALL, authors=ALL)
    life.act(5)
    world.settle()
    life.take("a", tmp_path / "after", lambda _: None)
    manifest = read_manifest(tmp_path / "after")
    assert manifest.format == FORMAT_PULLED
    assert {keys.COVERAGE, HOT_AUTHORS} <= {file.table for file in manifest.files}
