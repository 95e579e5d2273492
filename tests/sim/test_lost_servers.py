"""A registry or a log that is lost, and the platform that goes on without what only that knew."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cell.ingest import IngestSettings
from cell.residents import Resident
from cell.state import PartitionState, homes_now
from idgen.errors import Conflict
from idgen.ids import spread
from router.carrier import When
from router.cluster import read_cluster
from router.found_routes import MARGIN, found_routes
from router.move_records import Wanted, open_moves
from router.moves import Stage
from router.new_homes import rehomed
from router.routes import read_routes
from router.slices import EPOCH_MAX, PLACES, Slice, Slices, even
from tests.sim.backup_world import BackupLife, bandless
from tests.sim.move_world import CELLS, Done, Killed, MoveWorld

TINY = IngestSettings(batch_events=3, giant_rows=2, chunk_rows=2, poll_ms=0)
BASE = 2 << 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "platform"


class Lives:
    """One platform after the other on the same folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.life = BackupLife(MoveWorld(folder, TINY, partitions=3), seed)

    def again(self, log_base: int = 0) -> BackupLife:
        """The next `up`; the old processes are gone."""
        before = self.life
        world = MoveWorld(self.folder, TINY, partitions=3, log_base=log_base)
        world.clock.ms = before.world.clock.ms + 100_000
        world.ids.next_ids(100_000)
        world.done = before.world.done
        self.life = BackupLife(world, before.rnd.randrange(1_000))
        self.life.posts, self.life.events = before.posts, before.events
        return self.life

    def stop(self) -> None:
        for cell in self.life.world.cells.values():
            cell.member.leave()
        self.life.world.close()


@pytest.fixture
def lives(folder: Path, sim_seed: int) -> Iterator[Lives]:
    made = Lives(folder, sim_seed)
    made.life.act(40)
    made.life.world.settle()
    yield made
    made.stop()


def lose(folder: Path, name: str) -> None:
    found = list(folder.glob(f"{name}*"))
    assert found
    for file in found:
        file.unlink()


# The registry.


def test_a_lost_registry_is_worked_out_from_the_cells(lives: Lives, folder: Path) -> None:
    life = lives.life
    for _ in range(4):
        life.move()
    life.act(10)
    life.world.settle()
    before = read_routes(life.world.registry).slices
    was = {cell: life.rows(cell) for cell in CELLS}
    lives.stop()
    lose(folder, "registry.db")
    life = lives.again()
    after = read_routes(life.world.registry).slices
    assert [(s.start, s.cell, s.epoch) for s in after] == [
        (s.start, s.cell, s.epoch) for s in before
    ]
    assert all(a.drawn > b.drawn for a, b in zip(after, before, strict=True))
    life.world.settle()
    assert {cell: life.rows(cell) for cell in CELLS} == was
    life.look()
    life.move()
    life.act(10)
    life.world.settle()
    life.look()


@pytest.mark.parametrize("stage", [s for s in Stage if s is not Stage.FINISHED])
def test_a_registry_may_be_lost_in_any_stage_of_a_move(
    lives: Lives, folder: Path, stage: Stage
) -> None:
    life = lives.life
    place = spread(3)
    home = read_routes(life.world.registry).slices.at(place).cell
    move_id = life.world.begin(Wanted(place, place, "ab".replace(home, ""), 3, 0)).id

    def die(reached: Stage, when: When) -> None:
        if reached is stage and when is When.DONE:
            raise Killed

    life.world.reach = die
    for _ in range(60):
        found = life.world.found(move_id)
        life.world.carry(found)
        if move_id not in life.world.carriers:
            break
        life.go_on()
        life.world.settle()
    assert move_id not in life.world.carriers
    lives.stop()
    lose(folder, "registry.db")
    life = lives.again()
    life.world.settle()
    life.look()
    for user in range(1, 7):
        held = [c for c in CELLS if life.bands(c)(spread(user))]
        assert held == [read_routes(life.world.registry).slices.at(spread(user)).cell]
    life.move()
    life.act(10)
    life.world.settle()
    life.look()


def test_routes_of_a_new_platform_are_not_worked_out() -> None:
    assert found_routes({"a": (PartitionState(),), "b": (PartitionState(),)}, (0,)) is None


def kept(*residents: Resident, again: int = -1) -> tuple[PartitionState, ...]:
    return (PartitionState(high=9, again=again, residents=residents),)


def test_who_arrives_and_has_not_caught_up_is_not_home() -> None:
    all_ = Resident(0, PLACES - 1, 1, 0)
    found = found_routes({"a": kept(all_), "b": kept(Resident(5, 9, 2, 3), again=4)}, (9,))
    assert found is not None
    assert {s.cell for s in found.slices} == {"a"}
    assert found.left == (("b", 5, 9, 2),)
    caught_up = found_routes({"a": kept(all_), "b": kept(Resident(5, 9, 2, 3))}, (9,))
    assert caught_up is not None
    assert [(s.start, s.cell, s.epoch, s.after) for s in caught_up.slices] == [
        (0, "a", 1, ()),
        (5, "b", 2, (9,)),
        (10, "a", 1, ()),
    ]
    assert caught_up.left == (("a", 5, 9, 1),)
    assert caught_up.slices.at(5).drawn == 2 + MARGIN


def test_whom_nobody_has_the_lost_cell_had() -> None:
    half = Resident(0, PLACES // 2 - 1, 1, 0)
    found = found_routes({"a": kept(half), "b": (PartitionState(),)}, (9,))
    assert found is not None
    assert found.slices.at(PLACES - 1).cell == "b"
    with pytest.raises(Conflict, match="none has lost its tables"):
        found_routes({"a": kept(half)}, (9,))


def test_epochs_end_where_they_end() -> None:
    found = found_routes({"a": kept(Resident(0, PLACES - 1, EPOCH_MAX, 0))}, (9,))
    assert found is not None
    assert found.slices.at(0).drawn == EPOCH_MAX


# The log.


@pytest.mark.parametrize("moving", ["", "begun", "switched"])
def test_a_platform_goes_on_with_another_log(lives: Lives, folder: Path, moving: str) -> None:
    life = lives.life
    life.move()
    if moving:
        place = spread(3)
        home = read_routes(life.world.registry).slices.at(place).cell
        life.world.begin(Wanted(place, place, "ab".replace(home, ""), 3, 3_600_000))
    if moving == "switched":
        life.world.finish()
    life.world.settle()
    was = {cell: bandless(life.rows(cell)) for cell in CELLS}
    lives.stop()
    lose(folder, "firehose.db")
    with pytest.raises(Conflict, match=f"cellctl up --log-base {BASE}"):
        lives.again()
    with pytest.raises(Conflict, match="not above all versions"):
        lives.again(log_base=7)
    life = lives.again(log_base=BASE)
    life.world.done = [Done(each.operation, 0, -1) for each in life.world.done]
    assert read_cluster(life.world.registry).log_base == BASE
    assert not open_moves(life.world.registry)
    if not moving:
        assert {cell: bandless(life.rows(cell)) for cell in CELLS} == was
    life.world.settle()
    life.look()
    for _ in range(5):
        life.act(5)
        life.world.settle()
        life.look()
    life.move()
    life.look()
    lives.stop()
    life = lives.again()  # nothing has to be said any more
    life.world.settle()
    life.look()


def test_tables_of_another_log_are_told(lives: Lives, folder: Path, tmp_path: Path) -> None:
    lives.stop()
    kept_file = (folder / "cell-a.db").read_bytes()
    lose(folder, "")
    lives.again().world.close()
    lose(folder, "cell-a.db")
    (folder / "cell-a.db").write_bytes(kept_file)
    with pytest.raises(Conflict, match="rows of another log"):
        lives.again()
    lose(folder, "")
    lives.again()


# Homes of a new platform.


def test_homes_are_those_that_are_wanted_at_new_epochs() -> None:
    have = even(["a", "b"])
    want = Slices([Slice(0, "b", 4, 4), Slice(7, "a", 2, 3), Slice(PLACES // 2 + 5, "b", 1, 1)])
    found = rehomed(have, want)
    for place in (0, 6, 7, PLACES // 2, PLACES // 2 + 4, PLACES // 2 + 5, PLACES - 1):
        assert found.at(place).cell == want.at(place).cell
        same = have.at(place).cell == want.at(place).cell
        assert (found.at(place).epoch == have.at(place).epoch) == same
    assert rehomed(found, want) == found


def test_homes_now_of_nobody() -> None:
    assert homes_now([PartitionState()]).ranges == ()
