"""Backups of slices, and slices that come back while their cell goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cell import keys
from cell.backup import Wish
from cell.backup_files import read_manifest
from cell.dashboard import PageQuery
from cell.tables import Row
from cell.versions import version_of
from firehose.event import Lane
from idgen.errors import Unavailable
from idgen.ids import spread
from router.move_records import Wanted
from router.moves import Refused
from router.restore_slice import SlicePlan, SliceRestore
from tests.sim.backup_world import BackupLife, Killed, bandless, cause

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
