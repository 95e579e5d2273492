"""Moves of readers who are or were pulled: by themselves, by a pair, or by a hot author."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cell import coverage_copy, keys, known_coverage, slice_compare
from cell.commands import Switched
from cell.dashboard import Context, NewFollow, PageQuery
from cell.filling import Filling
from cell.materialization import Why
from firehose.event import Draft, Lane
from idgen.ids import spread
from router.carrier import When, unharmed
from router.move_records import Wanted, write_move
from router.moves import Stage, happened
from tests.oracle.compare import line_of
from tests.oracle.model import BOTH
from tests.oracle.operations import Content, Followed, Published, Removed
from tests.sim.backup_world import TINY
from tests.sim.move_world import CELLS, Killed, MoveWorld

CTX = Context(10_000)
READER, AUTHOR, FRIEND = 2, 1, 3
PULLED = {
    "the reader": {"readers": (READER,)},
    "the author": {"authors": (AUTHOR,)},
    "the pair": {"pairs": ((READER, AUTHOR),)},
}
POINTS = [(stage, when) for stage in Stage if stage is not Stage.FINISHED for when in When]
HALF = (spread(READER) >> 63 << 63, (spread(READER) >> 63 << 63) + (1 << 63) - 1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MoveWorld]:
    made = MoveWorld(tmp_path, TINY, partitions=2)
    yield made
    made.close()


@pytest.fixture(params=PULLED)
def pulled(request: pytest.FixtureRequest) -> dict[str, tuple[object, ...]]:
    return PULLED[request.param]


class Pulling:
    """A reader of two authors, one of whom is pulled in cell a."""

    def __init__(self, world: MoveWorld) -> None:
        self.world = world
        for author in (AUTHOR, FRIEND):
            receipt = world.router.follow(CTX, NewFollow(READER, author, None, 0))
            world.acknowledged(Followed(receipt.id, READER, author, 0), receipt.token)
        world.settle()

    def publish(self, author: int = AUTHOR) -> Published:
        receipt = self.world.router.publish(CTX, author, Draft(body="text"), None)
        post = Published(receipt.id, author, Content(body="text"))
        self.world.acknowledged(post, receipt.token)
        self.world.settle()
        return post

    def remove(self, post: Published) -> None:
        receipt = self.world.router.remove_post(CTX, post.author, post.id, None)
        self.world.acknowledged(Removed(receipt.id, post.author, post.id), receipt.token)
        self.world.settle()

    def switch(self, cell: str, pull: bool, named: dict[str, tuple[object, ...]]) -> None:
        self.world.tell(cell, Switched(pull, Why.PINNED, **named))  # type: ignore[arg-type]
        self.world.settle()

    def begin(self, target: str, slice_: tuple[int, int], keep_ms: int = 0) -> int:
        reader = READER if slice_[0] == slice_[1] else 0
        return self.world.begin(Wanted(*slice_, target, reader, keep_ms)).id

    def move(self, target: str, slice_: tuple[int, int]) -> None:
        move_id = self.begin(target, slice_)
        self.world.finish()
        move = self.world.found(move_id).move
        assert move.finished, move
        self.world.routes.refresh()
        self.world.tick()

    def home(self) -> str:
        self.world.routes.refresh()
        return self.world.routes.home(READER).cell

    def look(self) -> None:
        self.world.routes.refresh()
        self.world.tick()
        for reader in (READER, AUTHOR):
            page = self.world.page(PageQuery(reader, frozenset(Lane), limit=100))
            want = self.world.as_of(page.cell).entries(reader, BOTH, set())
            assert [line_of(entry) for entry in page.entries] == want

    def live_rows(self, cell: str) -> int:
        """Entries that are live in a cell's inbox of the reader."""
        start = keys.place_bytes(spread(READER))
        stop = keys.after_prefix(spread(READER))
        tables = self.world.cells[cell].stores.tables
        return len(tables.scan(keys.INBOX, start, stop, 100, skip=keys.GONE))

    def brought_left(self, cell: str) -> int:
        """Rows of coverage that came with a slice, and those of the reader."""
        tables = self.world.cells[cell].stores.tables
        start, stop = keys.place_bytes(spread(READER)), keys.after_prefix(spread(READER))
        rows = tables.scan(keys.CELL, *keys.BROUGHT_KEYS, 100)
        return len(rows) + len(tables.scan(keys.COVERAGE, start, stop, 100))


def home_of(life: Pulling) -> tuple[str, str]:
    here = life.home()
    return here, CELLS[1 - CELLS.index(here)]


def mine() -> tuple[int, int]:
    return spread(READER), spread(READER)


@pytest.mark.parametrize("slice_", [mine(), HALF], ids=["a reader", "a slice"])
@pytest.mark.parametrize("over", [False, True], ids=["still", "no more"])
def test_what_was_pulled_goes_along_from_cell_to_cell(
    world: MoveWorld,
    pulled: dict[str, tuple[object, ...]],
    slice_: tuple[int, int],
    over: bool,
) -> None:
    life = Pulling(world)
    here, there = home_of(life)
    first = life.publish()
    life.switch(here, True, pulled)
    second = life.publish()
    life.publish(FRIEND)
    if over:
        life.switch(here, False, pulled)
    life.publish()
    rows = life.live_rows(here)
    assert rows < 4
    life.look()
    for target in (there, here, there):
        life.move(target, slice_)
        assert life.home() == target
        life.look()
        life.publish()
        life.look()
    life.remove(first)
    life.remove(second)
    life.look()
    assert life.brought_left(here) == 0
    assert life.brought_left(there) > 0


@pytest.mark.parametrize("named", [*PULLED.values()], ids=[*PULLED])
def test_without_it_posts_would_be_missing(
    world: MoveWorld, monkeypatch: pytest.MonkeyPatch, named: dict[str, tuple[object, ...]]
) -> None:
    monkeypatch.setattr(coverage_copy, "put_rows", lambda *_: None)
    monkeypatch.setattr(coverage_copy, "put_authors", lambda *_: 0)
    life = Pulling(world)
    here, there = home_of(life)
    life.switch(here, True, named)
    life.publish()
    move_id = life.begin(there, mine())
    world.finish()
    assert "is not the same" in world.found(move_id).move.trouble


def test_a_removal_reaches_who_came_from_where_the_author_was_pushed(world: MoveWorld) -> None:
    """Author pulled by all in the new cell, when the post was created and when it is removed."""
    life = Pulling(world)
    _, there = home_of(life)
    life.switch(there, True, PULLED["the author"])
    post = life.publish()
    life.move(there, mine())
    assert life.live_rows(there) == 1
    life.remove(post)
    assert life.live_rows(there) == 0
    life.look()


def test_without_knowing_who_came_later_it_would_not(
    world: MoveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_coverage.KnownCoverage, "_late", lambda *_: None)
    life = Pulling(world)
    _, there = home_of(life)
    life.switch(there, True, PULLED["the author"])
    post = life.publish()
    life.move(there, mine())
    life.remove(post)
    assert life.live_rows(there) == 1


def test_cells_that_pull_others_hold_other_rows_which_is_no_difference(
    world: MoveWorld, pulled: dict[str, tuple[object, ...]]
) -> None:
    """Beside the move, posts are pulled in one cell and pushed in the other, both ways."""
    life = Pulling(world)
    here, there = home_of(life)
    move_id = life.begin(there, mine())
    while world.found(move_id).move.stage is not Stage.COMPARE:
        for found in world.due():
            world.carry(found)
        world.settle()
    life.switch(here, True, pulled)
    life.publish()
    life.switch(here, False, pulled)
    life.switch(there, True, pulled)
    life.publish()
    assert life.live_rows(here) == life.live_rows(there) == 1
    world.finish()
    assert world.found(move_id).move.finished
    life.look()


def test_a_row_that_is_missing_and_not_pulled_is_told(
    world: MoveWorld, pulled: dict[str, tuple[object, ...]]
) -> None:
    life = Pulling(world)
    here, there = home_of(life)
    life.publish()
    life.switch(here, True, pulled)
    life.publish()
    move_id = life.begin(there, mine())
    while world.found(move_id).move.stage is not Stage.COMPARE:
        for found in world.due():
            world.carry(found)
        world.settle()
    tables = world.cells[there].stores.tables
    start, stop = keys.place_bytes(spread(READER)), keys.after_prefix(spread(READER))
    (row,) = tables.scan(keys.INBOX, start, stop, 100, skip=keys.GONE)
    tables.sweep(keys.INBOX, [(row.key, row.version)])
    world.finish()
    assert "inbox" in world.found(move_id).move.trouble


def test_what_is_pulled_in_one_cell_would_be_told_without_knowing_it(
    world: MoveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slice_compare, "_pulled", lambda *_: set())
    life = Pulling(world)
    _, there = home_of(life)
    life.switch(there, True, PULLED["the author"])
    move_id = life.begin(there, mine())
    while world.found(move_id).move.stage is not Stage.COMPARE:
        for found in world.due():
            world.carry(found)
        world.settle()
    life.publish()
    world.finish()
    assert "inbox" in world.found(move_id).move.trouble


@pytest.mark.parametrize(("stage", "when"), POINTS)
@pytest.mark.parametrize("ended", ["complete", "cancel"])
def test_a_mover_that_dies_loses_nothing_of_it(
    world: MoveWorld, stage: Stage, when: When, ended: str
) -> None:
    life = Pulling(world)
    here, there = home_of(life)
    life.switch(here, True, PULLED["the author"])
    life.publish()
    life.switch(here, True, PULLED["the reader"])
    life.publish(FRIEND)
    life.switch(here, False, PULLED["the reader"])
    died: list[Stage] = []

    def die(reached: Stage, moment: When) -> None:
        if (reached, moment) == (stage, when) and not died:
            died.append(reached)
            raise Killed

    world.reach = die
    move_id = life.begin(there, mine())
    for _ in range(300):
        due = world.due()
        if not due:
            break
        found = due[0]
        if ended == "cancel" and found.move.stage is Stage.AWAIT_ARRIVAL:
            now_ms = world.clock.now_ms()
            write_move(
                world.registry, happened(found.move, "cancel", "test", now_ms), found.version
            )
        else:
            world.carry(found)
        world.settle()
    world.reach = unharmed
    assert world.found(move_id).move.finished
    assert life.home() == (there if ended == "complete" else here)
    life.look()
    assert life.brought_left(here if ended == "complete" else there) == 0


@pytest.mark.parametrize("during", [False, True], ids=["before", "meanwhile"])
def test_who_came_again_is_not_filled_by_what_was_begun_before(
    world: MoveWorld, monkeypatch: pytest.MonkeyPatch, during: bool
) -> None:
    """What it writes is of the band before; it must not say that nothing need be looked up."""
    life = Pulling(world)
    here, there = home_of(life)
    life.switch(here, True, PULLED["the reader"])
    life.publish()
    life.switch(here, False, PULLED["the reader"])
    filling = Filling(world.cells[here].stores)
    (pending,) = filling.pending()
    write = filling._write

    def move_and_write(*args: Any) -> int:
        count = write(*args)
        for target in (there, here):
            life.move(target, mine())
        return count

    if during:
        monkeypatch.setattr(filling, "_write", move_and_write)
    else:
        for target in (there, here):
            life.move(target, mine())
    filling.fill(pending)
    for _ in range(3):
        world.tick()  # workers look for commands again
        world.cells[here].work()
    world.settle()
    life.look()
    monkeypatch.undo()
    for again in filling.pending():
        filling.fill(again)
    world.settle()
    assert not list(filling.pending())
    life.look()
