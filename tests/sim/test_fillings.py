"""Readers who are pulled and then filled, step by step: what the inbox holds, what checks say."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cell import keys
from cell.commands import Command, Filled, LetterRetried, Switched, decode, encode
from cell.explain import explain
from cell.filling import Filling
from cell.ingest import IngestSettings
from cell.materialization import Why
from cell.state import PartitionState
from cell.tables import Row
from cell.verify_reader import ReaderVerifier
from cell.versions import at_of, version_of
from idgen.ids import spread
from ops.explanation import judge
from ops.reader_check import checked_reader
from tests.sim.move_world import MoveWorld
from tests.sim.test_moves import AUTHOR, READER, Life


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = MoveWorld(tmp_path, IngestSettings(batch_events=3, poll_ms=0))
    yield Life(made)
    made.close()


def tell(life: Life, *told: Command) -> None:
    stores = life.world.cells["a"].stores
    stores.commands.append([(0, encode(command)) for command in told])
    life.world.tick()
    life.world.settle()


def switch(life: Life, *, pull: bool) -> None:
    why = Why.AWAY if pull else Why.USUAL
    life.world.settle()
    tell(life, Switched(pull, why, (READER,)))


def away(life: Life) -> None:
    """A post that is pushed; the reader is away for three, of which one is removed; comes back."""
    life.publish()
    life.follow()
    life.publish()
    switch(life, pull=True)
    for _ in range(3):
        life.publish()
    life.remove(life.posts[3])
    switch(life, pull=False)
    life.publish()
    life.world.settle()


def fill(life: Life) -> list[int | None]:
    filling = Filling(life.world.cells["a"].stores)
    found = [filling.fill(pending) for pending in filling.pending()]
    life.world.tick()
    life.world.settle()
    return found


def inbox(life: Life) -> list[Row]:
    start = keys.place_bytes(spread(READER))
    return life.world.cells["a"].stores.tables.scan(keys.INBOX, start, start + b"\xff" * 17, 99)


def checked(life: Life) -> tuple[int, int, set[int], set[int]]:
    found = checked_reader(ReaderVerifier(life.world.cells["a"].stores), READER)
    of = [{ref.id for ref in refs} for refs in (found.missing, found.extra)]
    return found.entries, found.pulled, of[0], of[1]


def test_what_is_filled_is_what_would_have_been_pushed(life: Life, tmp_path: Path) -> None:
    away(life)
    assert checked(life) == (5, 2, set(), set())
    assert fill(life) == [3]
    assert checked(life) == (5, 0, set(), set())
    assert not list(Filling(life.world.cells["a"].stores).pending())
    other = MoveWorld(tmp_path / "other", IngestSettings(batch_events=3, poll_ms=0))
    try:
        pushed = Life(other)
        for done in (pushed.publish, pushed.follow, *[pushed.publish] * 4):
            done()
        pushed.remove(pushed.posts[3])
        pushed.publish()
        pushed.world.settle()
        assert [row[1:] for row in inbox(life)] == [row[1:] for row in inbox(pushed)]
    finally:
        other.close()


def test_an_entry_says_whether_it_is_pulled_and_by_which_rule(life: Life) -> None:
    away(life)
    stores = life.world.cells["a"].stores
    pulled = explain(stores, 1, READER, AUTHOR, life.posts[2].id)
    (row,) = pulled.coverage
    assert (row.of, row.now, row.why, row.pulled) == ("reader", False, Why.USUAL, True)
    assert row.at_ms
    assert pulled.inbox is None
    assert judge(pulled).shown
    assert judge(pulled).expected
    assert "pulled, by a switch of the reader" in judge(pulled).because
    pushed = explain(stores, 1, READER, AUTHOR, life.posts[1].id)
    assert [row.pulled for row in pushed.coverage] == [False]
    assert judge(pushed).shown
    removed = explain(stores, 1, READER, AUTHOR, life.posts[3].id)
    assert not judge(removed).shown
    assert judge(removed).because == "the post was removed"


def test_a_filling_that_left_something_out_is_told(life: Life) -> None:
    away(life)
    seen = len(list(life.world.cells["a"].stores.commands.read(0, 0, 100, 0)))
    tell(life, Filled(1 << 40, (READER,), seen))  # though nobody has written anything
    lost = {life.posts[2].id, life.posts[4].id}
    assert checked(life) == (5, 0, lost, set())


def test_what_was_pushed_in_spite_of_a_switch_and_removed_is_gone_when_filled(life: Life) -> None:
    away(life)
    stores = life.world.cells["a"].stores
    removed = keys.post_key(AUTHOR, life.posts[3].id)
    (row,) = stores.tables.get(keys.POSTS, [removed])
    assert row is not None
    facts = explain(stores, 1, READER, AUTHOR, life.posts[3].id)
    assert facts.post is not None
    assert facts.post.created_at
    key = keys.entry_key(spread(READER), life.posts[3].id, AUTHOR)
    stores.tables.put(
        keys.INBOX, [Row(key, version_of(facts.band, facts.post.created_at), b"\x01")]
    )
    assert checked(life) == (5, 2, set(), set())  # pages pass it over
    fill(life)
    assert checked(life) == (5, 0, set(), set())
    (entry,) = stores.tables.get(keys.INBOX, [key])
    assert entry is not None
    assert (entry.value, at_of(entry.version)) == (keys.GONE, row.version)


def test_nothing_is_filled_while_an_event_of_before_the_end_is_open(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    away(life)
    stores = life.world.cells["a"].stores
    states = stores.state().read()

    class State:
        def read(self) -> dict[int, PartitionState]:
            return {p: msgspec.structs.replace(s, open=(0,)) for p, s in states.items()}

    filling = Filling(stores)
    (pending,) = filling.pending()
    monkeypatch.setattr(type(stores), "state", lambda _: State())
    assert filling.fill(pending) is None
    monkeypatch.undo()
    assert filling.fill(pending) == 3


def test_a_filling_is_void_where_a_letter_was_retried_meanwhile(life: Life) -> None:
    away(life)
    stores = life.world.cells["a"].stores
    seen = stores.commands.spans()[0].end
    filling = Filling(stores)
    (pending,) = filling.pending()
    tell(life, LetterRetried(0, 0), Filled(1 << 40, (READER,), seen))
    assert list(filling.pending()) == [pending]
    assert checked(life) == (5, 2, set(), set())
    assert fill(life) == [3]
    newest = stores.commands.read(0, stores.commands.spans()[0].end - 1, 1, 0)[0]
    assert isinstance(decode(newest.value), Filled)
    assert checked(life) == (5, 0, set(), set())
