"""Backups of cells that go on meanwhile, and cells that are lost and come back."""

import random
from pathlib import Path

import pytest

from cell import keys
from cell.backup_files import MANIFEST, DamagedBackup, NotEmpty, read_manifest
from cell.dashboard import PageQuery
from firehose.event import Lane
from idgen.errors import Unavailable
from idgen.ids import spread
from ops.table_hash import table_hash
from router.backup import outside, routed
from router.cells import CellState, read_cell
from router.move_records import Wanted, open_moves
from router.moves import Stage
from router.routes import read_routes
from tests.sim.backup_world import BackupLife, Killed, bandless, cause
from tests.sim.move_world import STOPPED, MoveWorld

SEEDS = range(25)
STEPS = ("restoring", "marked", "routed", "loading", "loaded", "begun", "rewound", "finished")


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_lost_cell_comes_back_as_it_was(
    world: MoveWorld, platform: Path, folder: Path, sim_seed: int, seed: int
) -> None:
    """Whatever happened before, during and after the backup, moves among it."""
    life = BackupLife(world, sim_seed * 1_000 + seed)
    moves = seed % 2 == 1
    world.settle()
    for _ in range(10):
        life.act(3)
        life.go_on()
    if moves:
        life.move()
    life.take("a", folder)
    for _ in range(10):
        life.act(2)
        life.go_on()
    world.settle()
    was, hash_was = life.rows("a"), table_hash(world.seams.cell("a").tables)
    life.lose("a", platform, begins=seed % 3 > 0)
    plan = life.restored("a", folder)
    assert not plan.new_log
    world.settle()
    assert life.rows("a") == was
    if not moves:  # else rows of ended bands may lie there still
        assert table_hash(world.seams.cell("a").tables) == hash_was
    life.look()
    for _ in range(5):
        life.act(3)
        world.settle()
        life.look()


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_who_moved_meanwhile_is_where_the_routes_say(
    world: MoveWorld, platform: Path, folder: Path, sim_seed: int, seed: int
) -> None:
    """Readers leave and come back after the backup; who came and is not in it, is told."""
    life = BackupLife(world, sim_seed * 1_000 + seed)
    life.act(30)
    world.settle()
    life.take("a", folder)
    for _ in range(4):
        life.move()
        life.act(5)
        world.settle()
    held = read_manifest(folder).ranges
    now = routed(read_routes(world.registry).slices, "a")
    missing = outside(now, held)
    was = life.rows("a")
    life.lose("a", platform)
    if missing:
        assert cause(life, folder)[0] == "arrived_since"
        return
    life.restored("a", folder)
    world.settle()
    assert bandless(life.rows("a")) == bandless(was)
    life.look()
    life.move()
    life.act(5)
    world.settle()
    life.look()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("count", [1, 4])
def test_a_restore_that_was_killed_is_done_again(
    life: BackupLife, platform: Path, folder: Path, step: str, count: int
) -> None:
    life.take("a", folder)
    life.act(10)
    life.world.settle()
    was = life.rows("a")
    life.lose("a", platform)
    reached = 0

    def reach(now: str) -> None:
        nonlocal reached
        reached += now == step
        if now == step and reached in (1, count):
            raise Killed

    for _ in range(2):
        try:
            life.restore(folder, reach).execute()
        except Killed:
            continue
    life.restored("a", folder)
    life.world.settle()
    assert life.rows("a") == was
    assert read_cell(life.world.registry, "a").info.state is CellState.ACTIVE
    assert not any(s.after for s in read_routes(life.world.registry).slices)
    life.look()


def test_nobody_is_answered_before_all_is_there_again(
    life: BackupLife, platform: Path, folder: Path
) -> None:
    life.take("a", folder)
    life.act(10)
    life.world.settle()
    reader = next(u for u in range(1, 100) if life.world.routes.home(u).cell == "a")
    life.lose("a", platform)
    life.restore(folder).execute()
    life.world.routes.refresh()
    life.world.tick()
    with pytest.raises(Unavailable):
        life.world.page(PageQuery(reader, frozenset(Lane)))
    life.catch_up("a", folder)
    life.world.page(PageQuery(reader, frozenset(Lane)))


def test_a_restore_done_already_changes_nothing(
    life: BackupLife, platform: Path, folder: Path
) -> None:
    life.take("a", folder)
    life.lose("a", platform)
    life.restored("a", folder)
    life.world.settle()
    was = life.rows("a")
    assert life.restore(folder).execute().restored
    assert life.rows("a") == was


@pytest.mark.parametrize("files", [1, 3])
def test_a_backup_that_was_cut_off_is_none(life: BackupLife, folder: Path, files: int) -> None:
    def die(taken: object) -> None:
        if len(list(folder.iterdir())) == files:
            raise Killed

    with pytest.raises(Killed):
        life.take("a", folder, die)
    with pytest.raises(DamagedBackup, match="it has no manifest"):
        life.restore(folder).plan()
    with pytest.raises(NotEmpty, match="remove it"):
        life.take("a", folder)
    for file in folder.iterdir():
        file.unlink()
    life.take("a", folder)
    with pytest.raises(NotEmpty, match="holds a backup already"):
        life.take("a", folder)


def test_every_damaged_byte_is_refused_with_nothing_changed(
    life: BackupLife, platform: Path, folder: Path, sim_seed: int
) -> None:
    """Also when bytes are missing, or too many, and when a file is."""
    rnd = random.Random(sim_seed)
    life.take("a", folder)
    life.lose("a", platform)
    before = table_hash(life.world.seams.cell("a").tables)
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        spots = {0, len(whole) - 1, *(rnd.randrange(len(whole)) for _ in range(12))}
        damages = [
            whole[:at] + bytes((whole[at] ^ 1 << rnd.randrange(8),)) + whole[at + 1 :]
            for at in sorted(spots)
        ]
        for damaged in [*damages, whole[:-1], whole + b"\n", b""]:
            file.write_bytes(damaged)
            with pytest.raises(DamagedBackup) as refused:
                life.restore(folder).execute()
            assert file.name in str(refused.value)
        file.unlink()
        with pytest.raises(DamagedBackup, match=r"missing|no manifest"):
            life.restore(folder).execute()
        file.write_bytes(whole)
    assert table_hash(life.world.seams.cell("a").tables) == before
    assert read_cell(life.world.registry, "a").info.state is CellState.ACTIVE
    life.restored("a", folder)


def test_a_file_of_another_backup_is_refused(life: BackupLife, tmp_path: Path) -> None:
    life.take("a", tmp_path / "one")
    life.act(20)
    life.world.settle()
    life.take("a", tmp_path / "two")
    other = {file.name: file.read_bytes() for file in (tmp_path / "two").iterdir()}
    file = next(
        file
        for file in sorted((tmp_path / "one").glob("*.z"))
        if other[file.name] != file.read_bytes()
    )
    file.write_bytes(other[file.name])
    with pytest.raises(DamagedBackup, match="SHA-256"):
        life.restore(tmp_path / "one").plan()


def test_a_log_that_no_longer_reaches_back_is_named(
    life: BackupLife, platform: Path, folder: Path
) -> None:
    life.take("a", folder)
    life.world.clock.ms += 1_000
    life.act(30)
    life.world.settle()
    life.world.clock.ms += 1_000
    life.world.seams.firehose().trim(life.world.clock.ms)
    life.lose("a", platform, begins=False)
    word, said = cause(life, folder)
    assert word == "log_too_short"
    assert "no longer retained" in said
    assert "add-cell" in said


def test_a_cell_that_is_not_lost_is_left_alone(life: BackupLife, folder: Path) -> None:
    life.take("a", folder)
    assert cause(life, folder)[0] == "not_empty"


def test_a_restore_of_another_backup_does_not_go_on_with_the_first(
    life: BackupLife, platform: Path, tmp_path: Path
) -> None:
    life.take("a", tmp_path / "one")
    life.act(10)
    life.world.settle()
    life.take("a", tmp_path / "two")
    life.lose("a", platform)

    def reach(now: str) -> None:
        if now == "loading":
            raise Killed

    with pytest.raises(Killed):
        life.restore(tmp_path / "two", reach).execute()
    assert cause(life, tmp_path / "one")[0] == "not_empty"
    life.restored("a", tmp_path / "two")


def test_a_cell_with_a_move_under_way_is_not_restored(
    life: BackupLife, platform: Path, folder: Path
) -> None:
    life.take("a", folder)
    place = spread(1)
    home = read_routes(life.world.registry).slices.at(place).cell
    life.world.begin(Wanted(place, place, "ab".replace(home, ""), 1, 0))
    life.lose("a", platform)
    word, said = cause(life, folder)
    assert word == "moving"
    assert "cancel-move" in said


@pytest.mark.parametrize("target", ["a", "b"])
def test_who_went_to_the_lost_cell_is_told_to_go_back_and_who_left_it_to_stay(
    life: BackupLife, platform: Path, folder: Path, target: str
) -> None:
    """Completed, a move to the lost cell would have the only copy swept."""
    life.take("a", folder)
    slices = read_routes(life.world.registry).slices
    place = next(spread(i) for i in range(1, 99) if slices.at(spread(i)).cell != target)
    life.world.begin(Wanted(place, place, target, 0, 3_600_000))
    life.world.finish()
    life.lose("a", platform)
    word, said = cause(life, folder)
    assert word == "moving"
    assert ("reverse-move" in said) == (target == "a")
    assert ("complete-move" in said) == (target != "a")


def test_a_worker_does_not_begin_anew_where_tables_were_lost(
    life: BackupLife, platform: Path
) -> None:
    """What came by a move would be missing silently."""
    life.lose("a", platform)
    tables = life.world.seams.cell("a").tables
    assert all(not tables.scan(t, b"", b"", 1) for t in keys.TABLES if t != keys.CELL)
    assert "restore-cell" in life.world.cells["a"].worker.trouble
    assert STOPPED.is_set()


def test_workers_keep_a_restore_waiting(life: BackupLife, platform: Path, folder: Path) -> None:
    life.take("a", folder)
    life.lose("a", platform)
    life.world.begin_work("a")
    life.world.cells["a"].work()
    assert cause(life, folder)[0] == "still_running"
    assert read_cell(life.world.registry, "a").info.state is CellState.RESTORING
    life.world.cells["a"].member.leave()
    life.restored("a", folder)


def test_moves_that_are_over_but_for_the_lost_cell_are_no_hindrance(
    life: BackupLife, platform: Path, folder: Path
) -> None:
    """The mover waits for the workers of the cell, which wait for the restore."""
    life.take("a", folder)
    reader = next(u for u in range(1, 100) if life.world.routes.home(u).cell == "a")
    place = spread(reader)
    move_id = life.world.begin(Wanted(place, place, "b", reader, 0)).id
    for _ in range(100):
        if life.world.found(move_id).move.stage is Stage.TELL_LEFT:
            break
        life.world.settle()
        life.world.carry(life.world.found(move_id))
    life.lose("a", platform)
    life.restored("a", folder)
    life.world.finish()
    assert not open_moves(life.world.registry)
    life.world.settle()
    life.look()


def test_a_manifest_tells_what_it_holds(life: BackupLife, folder: Path) -> None:
    manifest = life.take("a", folder, lambda _: None)
    assert manifest == read_manifest(folder)
    assert manifest.finished
    assert sum(f.stat().st_size for f in folder.iterdir() if f.name != MANIFEST) == manifest.bytes
