"""Moves, step by step: every crash point with every way out, and what each rule is there for."""

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cell import keys, slice_rows
from cell.dashboard import Context, NewFollow, PageQuery
from cell.ingest import IngestSettings
from cell.verify_reader import ReaderVerifier
from firehose.event import Draft, Lane
from idgen.errors import Moved, Unavailable
from idgen.ids import spread
from ops.reader_check import checked_reader
from router import carrier
from router.carrier import When, unharmed
from router.move_records import Wanted, reverse_move, write_move
from router.moves import (
    STAGES,
    TRANSITIONS,
    Move,
    MoveState,
    Refused,
    Stage,
    happened,
    let_switch,
    next_steps,
    verify_again,
)
from router.slices import Slices
from tests.oracle.compare import difference, line_of
from tests.oracle.model import BOTH
from tests.oracle.operations import Content, Followed, Published, Removed, Unfollowed
from tests.sim.move_world import Killed, MoveWorld

CTX = Context(10_000)
READER, AUTHOR = 2, 1
POINTS = [(stage, when) for stage in Stage if stage is not Stage.FINISHED for when in When]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MoveWorld]:
    made = MoveWorld(tmp_path, IngestSettings(batch_events=3, poll_ms=0))
    yield made
    made.close()


class Life:
    """What an author and a reader do, and what the reader has to see."""

    def __init__(self, world: MoveWorld) -> None:
        self.world = world
        self.posts: list[Published] = []

    def publish(self) -> Published:
        receipt = self.world.router.publish(CTX, AUTHOR, Draft(body="text"), None)
        post = Published(receipt.id, AUTHOR, Content(body="text"))
        self.posts.append(post)
        self.world.acknowledged(post, receipt.token)
        return post

    def remove(self, post: Published) -> None:
        receipt = self.world.router.remove_post(CTX, AUTHOR, post.id, None)
        self.world.acknowledged(Removed(receipt.id, AUTHOR, post.id), receipt.token)

    def follow(self, backfill: int = 1) -> None:
        receipt = self.world.router.follow(CTX, NewFollow(READER, AUTHOR, None, backfill))
        self.world.acknowledged(Followed(receipt.id, READER, AUTHOR, backfill), receipt.token)

    def unfollow(self) -> None:
        receipt = self.world.router.unfollow(CTX, READER, AUTHOR, None)
        self.world.acknowledged(Unfollowed(receipt.id, READER, AUTHOR), receipt.token)

    def anything(self, rnd: random.Random) -> None:
        rnd.choice([self.publish, self.publish, self.follow, self.unfollow])()
        if self.posts and rnd.random() < 0.3:
            self.remove(rnd.choice(self.posts))

    def begin(self, target: str = "b", keep_ms: int = 0, *, stop: bool = False) -> int:
        place = spread(READER)
        return self.world.begin(Wanted(place, place, target, READER, keep_ms, stop)).id

    def carry_to(self, move_id: int, stage: Stage) -> None:
        """Carry the move until it is at a stage; the cells apply all there is meanwhile."""
        for _ in range(300):
            found = self.world.found(move_id)
            if found.move.stage is stage:
                return
            self.world.settle()
            self.world.carry(found)
        raise AssertionError(self.world.found(move_id).move)

    def look(self) -> str:
        """What the reader sees is what the cell that answers has applied; which cell."""
        page = self.world.page(PageQuery(READER, frozenset(Lane), limit=100))
        want = self.world.as_of(page.cell).entries(READER, BOTH, set())
        got = [line_of(entry) for entry in page.entries]
        assert got == want, difference(want, got)
        return page.cell

    def all_is_right(self, home: str) -> None:
        self.world.settle()
        self.world.routes.refresh()
        self.world.tick()
        assert self.look() == home
        check = checked_reader(ReaderVerifier(self.world.cells[home].stores), READER)
        assert (check.missing, check.extra) == (frozenset(), frozenset())
        other = "ab".replace(home, "")
        for table in (keys.INBOX, keys.NOTICES, keys.FOLLOWING, keys.FOLLOWERS):
            assert not self.world.rows_left(other, READER, table), table


@pytest.fixture
def life(world: MoveWorld) -> Life:
    return Life(world)


def test_there_and_back_and_there_again(life: Life) -> None:
    rnd = random.Random(1)
    for target in "bababa":
        move_id = life.begin(target)
        for _ in range(40):
            life.anything(rnd)
            for found in life.world.due():
                life.world.carry(found)
            life.world.settle()
            life.world.routes.refresh()
            life.look()
        life.world.finish()
        assert life.world.found(move_id).move.finished
        life.all_is_right(target)
    slices = life.world.routes.slices()
    assert len(slices) <= 4  # two cells, and the reader between the parts of one of them


@pytest.mark.parametrize("way_out", ["resume", "cancel", "reverse"])
@pytest.mark.parametrize(("stage", "when"), POINTS)
def test_a_mover_may_die_anywhere(life: Life, stage: Stage, when: When, way_out: str) -> None:
    """Whatever is done then, the reader is in one cell, and all is there once."""
    rnd = random.Random(f"{stage} {when} {way_out}")
    for _ in range(6):
        life.anything(rnd)
    move_id = life.begin(keep_ms=3_600_000 if way_out == "reverse" else 0)
    _die_at(life, move_id, (stage, when), rnd, reversed_first=way_out == "reverse")
    found = life.world.found(move_id)
    if way_out in next_steps(found.move):
        _act(life.world, move_id, way_out)
    for _ in range(3):
        life.anything(rnd)
    life.world.finish()
    if not life.world.found(move_id).move.finished:
        _act(life.world, move_id, "complete")
        life.world.finish()
    move = life.world.found(move_id).move
    assert move.finished
    assert not move.trouble
    life.all_is_right(move.home)


def _die_at(
    life: Life, move_id: int, point: tuple[Stage, When], rnd: random.Random, *, reversed_first: bool
) -> None:
    """Carry the move, with things going on, until its mover has died at the point; those behind the
    switch are passed by a move that is reversed too."""
    died = False

    def reach(stage: Stage, when: When) -> None:
        nonlocal died
        if (stage, when) == point:
            died = True
            raise Killed

    life.world.reach = reach
    for step in range(120):
        if step % 3 == 0:
            life.anything(rnd)
        life.world.settle()
        if not life.world.due():
            if reversed_first and point[0] is not Stage.KEEP:
                _act(life.world, move_id, "reverse")
            life.world.clock.ms += 3_600_000
        life.world.carry(life.world.found(move_id))
        if died:
            break
    life.world.reach = unharmed
    assert died, f"no mover has come to {point}"


def _act(world: MoveWorld, move_id: int, verb: str) -> None:
    found, now_ms = world.found(move_id), world.clock.now_ms()
    if verb == "reverse":
        reverse_move(world.registry, found, world.cells["a"].stores.ends(), "test", now_ms)
    else:
        write_move(world.registry, happened(found.move, verb, "test", now_ms), found.version)


# What each rule is there for: each of these fails without it.


def test_state_rows_are_copied_before_the_others(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _followed_again_meanwhile(life) == []


def test_copied_the_other_way_round_there_are_ghosts(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = (*slice_rows.LANE_TABLES, keys.MARKS, *slice_rows.STATE_TABLES)
    monkeypatch.setattr(slice_rows, "SLICE_TABLES", turned)
    assert _followed_again_meanwhile(life) != []


def _followed_again_meanwhile(life: Life) -> list[str]:
    """After half of the copying a post is removed, and its author left and followed again; what
    the cells differ in then."""
    life.publish()
    life.follow()
    second = life.publish()
    life.world.settle()
    move_id = life.begin()
    life.carry_to(move_id, Stage.COPY)
    while life.world.found(move_id).move.walked.leg < 1 + len(slice_rows.SLICE_TABLES) // 2:
        life.world.carry(life.world.found(move_id))
    life.remove(second)
    life.unfollow()
    life.follow()
    life.world.settle()
    life.world.finish()
    trouble = life.world.found(move_id).move.trouble
    return [trouble] if trouble else []


def test_a_mover_that_stood_still_copies_nothing_more(life: Life) -> None:
    assert _woken_after_the_copying(life) == []


def test_one_that_goes_on_copying_hides_a_notice_that_was_not_copied(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "confirm_move", lambda _registry, _found: None)
    assert _woken_after_the_copying(life) != []


def _woken_after_the_copying(life: Life) -> list[str]:
    """A mover stands still before it reads who follows. Others copy all; then the reader is
    followed and left again, which only the source has applied when the mover goes on; what the
    cells differ in.

    The row that it would copy then says that the target has notified the reader."""
    move_id = life.begin()
    life.carry_to(move_id, Stage.COPY)
    fans = 1 + slice_rows.SLICE_TABLES.index(keys.FANS)  # behind who is pulled
    while life.world.found(move_id).move.walked.leg < fans:
        life.world.carry(life.world.found(move_id))
    stood_still = life.world.found(move_id)
    while life.world.found(move_id).move.stage is Stage.COPY:
        life.world.carry(life.world.found(move_id))
    receipt = life.world.router.follow(CTX, NewFollow(AUTHOR, READER, None, 0))
    life.world.acknowledged(Followed(receipt.id, AUTHOR, READER, 0), receipt.token)
    receipt = life.world.router.unfollow(CTX, AUTHOR, READER, None)
    life.world.acknowledged(Unfollowed(receipt.id, AUTHOR, READER), receipt.token)
    life.world.cells["a"].work()
    life.world.carry(stood_still)
    life.world.settle()
    life.world.finish()
    trouble = life.world.found(move_id).move.trouble
    return [trouble] if trouble else []


def test_a_new_home_answers_once_it_has_applied_what_was_seen(life: Life) -> None:
    assert _seen_after_the_switch(life) == ("", False)
    life.world.settle()
    life.world.tick()
    assert life.look() == "b"


def test_without_a_position_to_answer_after_posts_vanish(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Slices.rehome

    def at_once(
        slices: Slices, start: int, end: int, cell: str, epoch: int, after: tuple[int, ...]
    ) -> Slices:
        assert after
        return whole(slices, start, end, cell, epoch)

    monkeypatch.setattr(Slices, "rehome", at_once)
    assert _seen_after_the_switch(life) == ("b", False)


def _seen_after_the_switch(life: Life) -> tuple[str, bool]:
    """The source shows a post that the target has not applied when it becomes home. Which cell
    answers then ("": none yet), and whether the post is still seen."""
    life.follow()
    move_id = life.begin()
    life.carry_to(move_id, Stage.SWITCH)
    life.publish()
    found = life.world.found(move_id)
    life.world.carry(found)  # looks where the log ends, and waits for the target
    life.world.cells["b"].work()
    last = life.publish()
    life.world.cells["a"].work()
    life.world.clock.ms += 400  # within the second that a target may be behind
    life.world.handlers["a"].snapshots.look()
    assert last.id in _ids(life)
    life.world.carry(life.world.found(move_id))
    assert life.world.found(move_id).move.state is MoveState.SWITCHED
    life.world.routes.refresh()
    try:
        return life.look(), last.id in _ids(life)
    except Unavailable:
        return "", False


def _ids(life: Life) -> set[int]:
    page = life.world.page(PageQuery(READER, frozenset(Lane), limit=100))
    return {entry.id for entry in page.entries}


def test_a_cell_that_is_not_home_any_more_says_where_that_is(life: Life) -> None:
    life.follow()
    move_id = life.begin(keep_ms=3_600_000)
    life.carry_to(move_id, Stage.KEEP)
    query = PageQuery(READER, frozenset(Lane))
    with pytest.raises(Moved) as moved:
        life.world.handlers["a"].page(CTX, query)
    assert (moved.value.cell, moved.value.epoch) == ("b", 2)
    assert life.world.page(query).cell == "b"  # by the router, which did not know
    _act(life.world, move_id, "reverse")
    with pytest.raises(Moved) as moved:
        life.world.handlers["b"].page(CTX, query)
    assert (moved.value.cell, moved.value.epoch) == ("a", 3)


def test_a_cell_does_not_answer_before_the_switch(life: Life) -> None:
    life.follow()
    move_id = life.begin(stop=True)
    life.carry_to(move_id, Stage.SWITCH)
    life.world.tick()
    with pytest.raises(Moved) as moved:
        life.world.handlers["b"].page(CTX, PageQuery(READER, frozenset(Lane)))
    assert moved.value.cell == "a"


# What is refused.


def test_two_operators_at_once_begin_one_move(life: Life) -> None:
    life.begin()
    with pytest.raises(Refused, match=r"move 1 is under way.*show-move 1") as refused:
        life.begin()
    assert refused.value.cause == "already_moving"
    half = Wanted(0, (1 << 64) - 1, "b")
    with pytest.raises(Refused, match="under way"):
        life.world.begin(half)
    assert len(life.world.due()) == 1


def test_who_is_at_home_already_is_not_moved(life: Life) -> None:
    with pytest.raises(Refused, match="homed in a already") as refused:
        life.begin("a")
    assert refused.value.cause == "already_home"
    with pytest.raises(Refused, match="homed in a and b") as refused:
        life.world.begin(Wanted(0, (1 << 64) - 1, "b"))
    assert refused.value.cause == "several_homes"


@pytest.mark.parametrize("state", MoveState)
def test_what_cannot_happen_in_a_state_is_refused_with_what_can(
    life: Life, state: MoveState
) -> None:
    move = replace_state(life.world.found(life.begin()).move, state)
    for what in ("begin", "copied", "agreed", "verify", "switch", "complete", "reverse", "cancel"):
        if what in TRANSITIONS[state]:
            assert happened(move, what, "me", 1).stage is STAGES[TRANSITIONS[state][what]][0]
            continue
        with pytest.raises(Refused, match=rf"move 1 is {state}: it cannot {what} now") as refused:
            happened(move, what, "me", 1)
        for verb in next_steps(move):
            assert f"cellctl {verb}-move 1" in str(refused.value)


def replace_state(move: Move, state: MoveState) -> Move:
    """The move in another state."""
    return msgspec.structs.replace(move, state=state)


def test_a_verification_grows_old(life: Life) -> None:
    move_id = life.begin(stop=True)
    life.carry_to(move_id, Stage.SWITCH)
    life.world.finish()
    move = life.world.found(move_id).move
    assert let_switch(move, "me", move.verified_ms + 600_000).stop_before_switch is False
    with pytest.raises(Refused, match=r"10 minutes ago.*verify-move 1") as refused:
        let_switch(move, "me", move.verified_ms + 600_001)
    assert refused.value.cause == "verification_stale"


def test_cells_that_differ_are_not_switched(life: Life) -> None:
    """A row that is missing in the target is named, and the move waits for somebody."""
    life.follow()
    life.publish()
    move_id = life.begin()
    life.carry_to(move_id, Stage.COMPARE)
    tables = life.world.cells["b"].stores.tables
    place = keys.place_bytes(spread(READER))
    (row,) = tables.scan(keys.INBOX, place, place + b"\xff" * 17, 9)
    tables.sweep(keys.INBOX, [(row.key, row.version)])
    life.world.finish()
    found = life.world.found(move_id)
    assert found.move.state is MoveState.ARRIVING
    assert row.key.hex() in found.move.trouble
    assert next_steps(found.move) == ["verify", "cancel"]
    tables.put(keys.INBOX, [row])
    again = verify_again(found.move, "me", life.world.clock.now_ms())
    write_move(life.world.registry, again, found.version)
    life.world.finish()
    life.all_is_right("b")


def test_a_dashboard_that_is_wrong_is_told(life: Life) -> None:
    life.publish()
    life.follow()
    for _ in range(3):
        life.publish()
    life.remove(life.posts[1])
    life.world.settle()
    stores = life.world.cells["a"].stores
    check = checked_reader(ReaderVerifier(stores), READER)
    assert (check.authors, check.entries) == (1, 3)
    assert not check.missing | check.extra
    place = keys.place_bytes(spread(READER))
    rows = stores.tables.scan(keys.INBOX, place, place + b"\xff" * 17, 9)
    (gone,) = [row for row in rows if row.value == keys.GONE]
    newest = rows[0]
    stores.tables.put(keys.INBOX, [gone._replace(value=b"\x01", version=gone.version + 1)])
    stores.tables.put(keys.INBOX, [newest._replace(value=keys.GONE)])
    check = checked_reader(ReaderVerifier(stores), READER)
    assert [ref.id for ref in check.missing] == [life.posts[3].id]
    assert [ref.id for ref in check.extra] == [life.posts[1].id]
