"""The posts of two cells side by side, while both go on: what is planted is told, and no more."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cell import keys
from cell.reader_sample import Range
from cell.tables import Row, Tables
from firehose.codec import encode_gone
from idgen.errors import Unavailable
from idgen.ids import U64, spread
from ops import cells_diff
from ops.cells_diff import CellsComparison
from ops.checks_port import CellsDiff
from tests.unit.checked_world import AUTHORS, CTX, CheckedWorld, drop

ALL: Range = (0, U64)
AUTHOR = AUTHORS[0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CheckedWorld]:
    made = CheckedWorld(tmp_path)
    yield made
    made.moves.close()


def compared(
    world: CheckedWorld, within: Range = ALL, pause: Callable[[float], object] | None = None
) -> CellsDiff:
    steps: list[tuple[int, int]] = []
    a, b = (cell.stores for cell in world.moves.cells.values())
    found = CellsComparison(a, b, pause or world.work).compare(
        within, lambda *done: steps.append(done)
    )
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    assert sum(each.differences for each in found.ranges) == found.found
    return found


def key_of(world: CheckedWorld, number: int = 1) -> bytes:
    return keys.post_key(AUTHOR, world.posts[AUTHOR][number])


def tables_of(world: CheckedWorld, name: str) -> Tables:
    return world.moves.cells[name].stores.tables


def row_of(world: CheckedWorld, name: str, key: bytes) -> Row:
    (row,) = tables_of(world, name).get(keys.POSTS, [key])
    assert row is not None
    return row


def test_cells_that_applied_the_same_are_the_same(world: CheckedWorld) -> None:
    world.moves.router.remove_post(CTX, AUTHOR, world.posts[AUTHOR][0], None)
    world.moves.settle()
    found = compared(world)
    assert (found.found, found.unsettled, found.differences) == (0, 0, ())
    assert all(each.a == each.b for each in found.ranges)
    assert len(found.ranges) == 16
    assert sum(each.a.rows for each in found.ranges) == 6
    assert (found.ranges[0].start, found.ranges[-1].last) == ALL


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_missing_post_is_told_with_who_lacks_it(world: CheckedWorld, name: str) -> None:
    key = key_of(world)
    drop(tables_of(world, name), keys.POSTS, key)
    (found,) = compared(world).differences
    assert (found.key, found.author, found.post_id) == (key, AUTHOR, world.posts[AUTHOR][1])
    assert (found.source is None, found.target is None) == (name == "a", name == "b")
    ranges = [each for each in compared(world).ranges if each.differences]
    assert [(r.start <= spread(AUTHOR) <= r.last, r.differences) for r in ranges] == [(True, 1)]


def test_another_version_and_other_bytes_are_told(world: CheckedWorld) -> None:
    first, second = key_of(world, 0), key_of(world, 2)
    row = row_of(world, "b", first)
    tables_of(world, "b").put(keys.POSTS, [row._replace(value=row.value + b"!")])
    row = row_of(world, "a", second)
    tables_of(world, "a").put(keys.POSTS, [row._replace(version=row.version + 1)])
    found = {each.key: each for each in compared(world).differences}
    assert set(found) == {first, second}
    bytes_differ, version_differs = found[first], found[second]
    assert bytes_differ.source is not None
    assert bytes_differ.target is not None
    assert bytes_differ.source.version == bytes_differ.target.version
    assert bytes_differ.source.hash != bytes_differ.target.hash
    assert version_differs.source is not None
    assert version_differs.target is not None
    assert version_differs.source.version == version_differs.target.version + 1


def test_a_removal_that_one_cell_lacks_is_told(world: CheckedWorld) -> None:
    key = key_of(world)
    row = row_of(world, "a", key)
    tables_of(world, "a").put(keys.POSTS, [Row(key, row.version + 1, encode_gone(row.version, ()))])
    (found,) = compared(world).differences
    assert found.source is not None
    assert found.target is not None
    assert (found.source.gone, found.target.gone) == (True, False)


def test_a_gone_row_that_was_swept_in_one_cell_is_no_difference(world: CheckedWorld) -> None:
    world.moves.router.remove_post(CTX, AUTHOR, world.posts[AUTHOR][1], None)
    world.moves.settle()
    drop(tables_of(world, "b"), keys.POSTS, key_of(world))
    found = compared(world)
    assert (found.found, found.unsettled) == (0, 0)
    assert [each.a != each.b for each in found.ranges].count(True) == 1


def test_only_the_range_is_compared(world: CheckedWorld) -> None:
    drop(tables_of(world, "b"), keys.POSTS, key_of(world))
    place = spread(AUTHOR)
    found = compared(world, (place, place))
    assert [(r.start, r.last, r.a.rows, r.b.rows) for r in found.ranges] == [(place, place, 3, 2)]
    assert found.found == 1
    assert compared(world, (0, place - 1)).found == 0
    assert compared(world, (place + 1, U64)).found == 0


def test_differences_beyond_those_kept_are_counted(
    world: CheckedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells_diff, "KEPT_MAX", 2)
    monkeypatch.setattr(cells_diff, "SUSPECTS_AT_ONCE", 2)
    monkeypatch.setattr(cells_diff, "PIECE_ROWS", 2)
    for author, posts in world.posts.items():
        for post_id in posts[:2]:
            drop(tables_of(world, "b"), keys.POSTS, keys.post_key(author, post_id))
    found = compared(world)
    assert (len(found.differences), found.found) == (2, 4)


def test_events_applied_meanwhile_are_no_differences(
    world: CheckedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cell b applies an event whenever it is read, and cell a only when it is waited for."""
    monkeypatch.setattr(cells_diff, "PIECE_ROWS", 1)
    writes = 0

    def busy() -> None:
        nonlocal writes
        writes += 1
        if writes < 60:
            author = AUTHORS[writes % 2]
            world.posts[author].append(world.publish(author))
            if writes % 3 == 0:
                world.moves.router.remove_post(CTX, author, world.posts[author][writes // 3], None)
        world.moves.cells["b"].work()

    a = world.moves.cells["a"].stores
    b = world.interrupted("b", 2, busy)
    found = CellsComparison(a, b, world.work).compare(ALL, lambda *_: None)
    assert writes > 5
    assert any(each.a != each.b for each in found.ranges)
    assert (found.found, found.unsettled) == (0, 0)
    # The same life with a fault in it.
    drop(tables_of(world, "a"), keys.POSTS, key_of(world, 3))
    writes = 0
    found = CellsComparison(a, b, world.work).compare(ALL, lambda *_: None)
    assert [each.key for each in found.differences] == [key_of(world, 3)]


def test_a_cell_that_lags_is_not_compared(
    world: CheckedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells_diff, "WAIT_S", 0.2)
    world.publish(AUTHOR)
    world.publish(AUTHOR)
    for _ in range(5):
        world.moves.tick()
        world.moves.cells["a"].work()
    with pytest.raises(Unavailable, match="cell b has 2 events to apply") as told:
        compared(world, pause=lambda _: None)
    assert "cell a" not in str(told.value)


def test_stores_may_be_given_in_either_order(world: CheckedWorld) -> None:
    drop(tables_of(world, "b"), keys.POSTS, key_of(world))
    a, b = (replace(cell.stores) for cell in world.moves.cells.values())
    one = CellsComparison(a, b, world.work).compare(ALL, lambda *_: None)
    other = CellsComparison(b, a, world.work).compare(ALL, lambda *_: None)
    assert (one.found, other.found) == (1, 1)
    assert one.differences[0].source == other.differences[0].target
