"""Backups of cells that go on meanwhile, and cells that are lost and come back."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cell import backup, backup_load, keys, slice_rows
from cell.backup import Wish
from cell.backup_files import MANIFEST, DamagedBackup, Manifest, NotEmpty, read_manifest
from cell.dashboard import PageQuery
from cell.ingest import IngestSettings
from cell.residents import Homes
from cell.slice_rows import taken
from cell.state import PartitionState
from cell.tables import FixedRows, Row
from cell.versions import ats_of, version_of
from firehose.event import Lane
from idgen.errors import Unavailable
from idgen.ids import spread
from ops.table_hash import table_hash
from router.backup import log_base_above, outside, routed
from router.cells import CellState, read_cell
from router.move_records import Wanted, open_moves
from router.moves import Refused, Stage
from router.restore_slice import SlicePlan, SliceRestore
from router.routes import read_routes
from tests.sim.backup_world import BackupLife, bandless
from tests.sim.move_world import STOPPED, Done, MoveWorld

TINY = IngestSettings(batch_events=3, giant_rows=2, chunk_rows=2, poll_ms=0)
SEEDS = range(25)
STEPS = ("restoring", "marked", "routed", "loading", "loaded", "begun", "rewound", "finished")


class Killed(BaseException):
    """The process died."""


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


def cause(life: BackupLife, folder: Path) -> tuple[str, str]:
    before = life.rows("a")
    with pytest.raises(Refused) as refused:
        life.restore(folder).execute()
    assert life.rows("a") == before
    return refused.value.cause, str(refused.value)


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


# Into a new platform, with another log.


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


# A slice, into its home.

SLICE_STEPS = ("closed", "loading", "loaded", "told", "applied")


def restore_slice(
    life: BackupLife, folder: Path, reach: Callable[[str], None] = lambda _: None
) -> SlicePlan | None:
    world = life.world

    def pause() -> bool:
        world.tick()
        for cell in world.cells.values():
            cell.work()
        return True

    made = SliceRestore(world.registry, world.seams.cell, world.clock, folder, reach=reach)
    return made.execute(pause)


def spoil(life: BackupLife, cell: str, start: int, last: int) -> None:
    """Somebody's mistake: rows of a slice are taken away, and one too many is there."""
    tables = life.world.seams.cell(cell).tables
    for table in (keys.INBOX, keys.FOLLOWING, keys.NOTICES):
        first = keys.place_bytes(start)
        rows = tables.scan(table, first, keys.after_prefix(last), 1_000)
        tables.sweep(table, [(row.key, row.version) for row in rows])
    band = life.bands(cell)(start)
    version = version_of(band, 1)
    tables.put(keys.INBOX, [Row(keys.entry_key(start, 12345, 99), version, b"\x01")])


@pytest.mark.parametrize("step", ["", *SLICE_STEPS])
def test_a_slice_comes_back_as_it_was_while_its_cell_goes_on(
    life: BackupLife, folder: Path, step: str
) -> None:
    reader = next(u for u in range(1, 7) if life.world.routes.home(u).cell == "a")
    place = spread(reader)
    for _ in range(5):
        life.publish()
    life.world.settle()
    life.take("a", folder, wish=Wish(place, place))
    assert not any(f.table == keys.POSTS for f in read_manifest(folder).files)
    life.act(10)
    life.world.settle()
    was = bandless(life.rows("a"))
    spoil(life, "a", place, place)
    assert bandless(life.rows("a")) != was

    def reach(now: str) -> None:
        if now == step:
            raise Killed

    if step:
        with pytest.raises(Killed):
            restore_slice(life, folder, reach)
        life.world.routes.refresh()
        life.world.tick()
        with pytest.raises(Unavailable):
            life.world.page(PageQuery(reader, frozenset(Lane)))
        life.act(3)
    plan = restore_slice(life, folder)
    assert plan is not None
    assert plan.cell == "a"
    life.world.settle()
    if not step:
        assert bandless(life.rows("a")) == was
    life.look()
    life.move()
    life.look()


def test_a_slice_that_is_moving_is_not_restored(life: BackupLife, folder: Path) -> None:
    reader = next(u for u in range(1, 7) if life.world.routes.home(u).cell == "a")
    place = spread(reader)
    life.take("a", folder, wish=Wish(place, place))
    life.world.begin(Wanted(place, place, "b", reader, 0))
    with pytest.raises(Refused) as refused:
        restore_slice(life, folder)
    assert refused.value.cause == "already_moving"


def test_a_slice_is_no_whole_cell(life: BackupLife, platform: Path, folder: Path) -> None:
    life.take("a", folder, wish=Wish(0, 5))
    life.lose("a", platform)
    assert cause(life, folder)[0] == "slice_only"


# What these tests have to notice.


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
    for seed in range(40):
        world = MoveWorld(tmp_path / f"platform {seed}", TINY, partitions=3)
        try:
            life = BackupLife(world, seed)
            life.act(30)
            world.settle()
            life.take("a", tmp_path / f"backup {seed}", lambda _: busy(life))
            world.settle()
            was = life.rows("a")
            life.lose("a", tmp_path / f"platform {seed}")
            life.restored("a", tmp_path / f"backup {seed}")
            world.settle()
            if life.rows("a") != was:
                return
        finally:
            world.close()
    raise AssertionError("not noticed")


def busy(life: BackupLife) -> None:
    """Much happens between two files."""
    life.act(4)
    for _ in range(4):
        life.world.tick()
        life.world.cells["a"].work()
