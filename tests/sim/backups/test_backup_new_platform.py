"""Cells that are carried over to a new platform, with another log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cell.backup_files import read_manifest
from router.backup import log_base_above
from tests.sim.backup_world import TINY, BackupLife, bandless, cause
from tests.sim.move_world import Done, MoveWorld


@pytest.fixture
def other(life: BackupLife, tmp_path: Path) -> Iterator[BackupLife]:
    """A new platform with other partitions, above all versions of the first; a later moment."""
    made = MoveWorld(tmp_path / "other", TINY, partitions=5, log_base=2 << 32)
    made.clock.ms = life.world.clock.ms + 1_000_000
    made.ids.next_ids(100_000)  # which the first platform has given
    yield BackupLife(made, life.rnd.randrange(1_000))
    made.close()


def carried_over(life: BackupLife, other: BackupLife, tmp_path: Path) -> None:
    """Both cells, by backups, as somebody does who stops writing first."""
    for cell in "ab":
        life.take(cell, tmp_path / f"backup {cell}", lambda _: None)
        manifest = read_manifest(tmp_path / f"backup {cell}")
        assert manifest.finished
        assert log_base_above(manifest) == 2 << 32
    for cell in "ab":
        other.world.cells[cell].member.leave()
        plan = other.restored(cell, tmp_path / f"backup {cell}")
        assert plan.new_log
    # What was acknowledged there is done here: before the beginning of the log.
    other.world.done = [Done(each.operation, 0, -1) for each in life.world.done]
    other.posts, other.events = life.posts, life.events
    other.world.settle()


@pytest.mark.parametrize("moves", [0, 3])
def test_a_new_platform_goes_on_where_the_old_one_was(
    life: BackupLife, other: BackupLife, tmp_path: Path, moves: int
) -> None:
    for _ in range(moves):
        life.move()
    life.act(10)
    life.world.settle()
    carried_over(life, other, tmp_path)
    for cell in "ab":
        assert bandless(other.rows(cell)) == bandless(life.rows(cell))
    for _ in range(10):
        other.look()
        other.act(4)
        other.world.settle()
    other.move()
    other.look()


def test_a_backup_with_events_to_apply_does_not_fit_another_log(
    life: BackupLife, other: BackupLife, folder: Path
) -> None:
    life.act(5)
    life.take("a", folder, lambda _: None)
    other.world.cells["a"].member.leave()
    assert cause(other, folder)[0] == "unfinished"


def test_what_is_written_during_the_backup_does_not_fit_another_log(
    life: BackupLife, other: BackupLife, folder: Path
) -> None:
    def write(_: object) -> None:
        life.publish()
        life.world.settle()

    life.take("a", folder, write)
    assert cause(other, folder)[0] == "unfinished"


def test_another_log_has_to_be_above_all_versions(
    life: BackupLife, folder: Path, tmp_path: Path
) -> None:
    life.take("a", folder, lambda _: None)
    low = MoveWorld(tmp_path / "low", TINY, partitions=3)
    try:
        word, said = cause(BackupLife(low, 1), folder)
    finally:
        low.close()
    assert word == "other_log"
    assert f"--log-base {2 << 32}" in said


def test_homes_are_taken_over_before_anybody_writes(
    life: BackupLife, other: BackupLife, folder: Path
) -> None:
    life.move()
    life.take("a", folder, lambda _: None)
    other.publish()
    word, said = cause(other, folder)
    assert word == "routes_differ"
    assert "before anybody writes" in said
