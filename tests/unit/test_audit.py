"""Reach: who must see a post, who has, how late, and who does not count."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from cell import keys
from cell.dashboard import NewFollow
from cell.stores import CellStores
from cell.tables import Tables
from firehose.event import Draft, PostRef
from firehose.log import Record
from idgen.errors import Unavailable
from idgen.ids import compose, spread
from ops.audit import LOOK_MS, Auditor
from ops.checks_port import Audit, AuditSettings
from tests.unit.checked_world import AUTHORS, CTX, READERS, CheckedWorld, drop
from tests.unit.firehose_world import NOW_MS, ManualClock

AUTHOR = AUTHORS[0]
SETTINGS = AuditSettings(for_ms=1_000, wait_ms=1_000, posts=100, readers=20, seed=7)


@dataclass
class EventfulClock:
    """The world's clock; while time passes, what the test says happens at that look."""

    clock: ManualClock
    happens: Callable[[int], object]
    looks: int = 0

    def now_ms(self) -> int:
        return self.clock.ms

    def monotonic_ms(self) -> int:
        return self.clock.ms

    def pause(self, ms: int) -> None:
        self.clock.ms += ms
        self.looks += 1
        self.happens(self.looks)


@dataclass
class World:
    """Cells that work once a look, unless they are `stuck`."""

    checked: CheckedWorld
    events: dict[int, Callable[[], object]] = field(default_factory=dict)
    after: Callable[[], object] = lambda: None
    stuck: set[str] = field(default_factory=set)
    published: list[PostRef] = field(default_factory=list)
    broken: dict[str, CellStores] = field(default_factory=dict)

    def publish(self, author: int = AUTHOR, brought_id: int | None = None) -> None:
        router = self.checked.moves.router
        found = router.publish(CTX, author, Draft(body="text"), brought_id)
        self.published.append(PostRef(author, found.id))

    def work(self, look: int) -> None:
        self.events.get(look, lambda: None)()
        for name, cell in self.checked.moves.cells.items():
            if name not in self.stuck:
                for _ in range(3):
                    cell.work()
        self.after()

    def audit(self, settings: AuditSettings = SETTINGS) -> Audit:
        moves = self.checked.moves
        cells = {name: cell.stores for name, cell in moves.cells.items()} | self.broken
        self.auditor = Auditor(cells, self.home, EventfulClock(moves.clock, self.work), settings)
        return self.auditor.run(lambda *_: None)

    def home(self, place: int) -> str:
        return self.checked.moves.routes.slices().at(place).cell

    def homed(self, name: str) -> list[int]:
        return [r for r in (*READERS, AUTHOR) if self.home(spread(r)) == name]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = CheckedWorld(tmp_path)
    yield World(made)
    made.moves.close()


def missed(audit: Audit) -> set[tuple[int, PostRef]]:
    return {(each.reader, each.post) for each in audit.missed}


def seen(audit: Audit) -> dict[str, int]:
    return {cell.cell: len(cell.late_ms) for cell in audit.cells}


def pairs(audit: Audit) -> dict[str, int]:
    return {cell.cell: cell.pairs for cell in audit.cells}


def test_all_who_follow_and_the_author_see_a_post(world: World) -> None:
    world.events = {2: world.publish, 5: world.publish}
    audit = world.audit()
    assert (audit.published, audit.posts, audit.seed) == (2, 2, 7)
    assert sum(pairs(audit).values()) == 2 * (len(READERS) + 1)
    assert pairs(audit) == seen(audit) == {n: 2 * len(world.homed(n)) for n in ("a", "b")}
    assert missed(audit) == set()
    assert audit.apart_ms == LOOK_MS


def test_what_was_published_before_and_afterwards_is_not_drawn(world: World) -> None:
    world.publish()
    world.events = {5: world.publish, 15: world.publish}
    world.stuck = {"a", "b"}
    audit = world.audit()
    assert audit.published == 1
    assert {ref for _, ref in missed(audit)} == {world.published[1]}


def test_lateness_is_from_the_append_to_the_look_that_found_it(world: World) -> None:
    name = "a" if world.homed("a") else "b"
    world.stuck = {name}
    world.events = {2: world.publish, 9: world.stuck.clear}
    audit = world.audit()
    late = {cell.cell: set(cell.late_ms) for cell in audit.cells}
    assert late.pop(name) == {7 * LOOK_MS}
    assert late in ({"b": {0}}, {"b": set()}, {"a": {0}}, {"a": set()})


def test_a_reader_who_does_not_see_a_post_is_told(world: World) -> None:
    reader = READERS[1]
    tables = world.checked.home_of(reader).tables

    def lose() -> None:
        for ref in world.published:
            key = keys.entry_key(spread(reader), ref.id, ref.author)
            if tables.get(keys.INBOX, [key]) != [None]:
                drop(tables, keys.INBOX, key)

    world.events = {2: world.publish}
    world.after = lose
    audit = world.audit()
    assert missed(audit) == {(reader, world.published[0])}
    assert audit.missed[0].cell == world.home(spread(reader))
    assert sum(pairs(audit).values()) - sum(seen(audit).values()) == 1


def test_a_gone_entry_of_a_post_that_is_there_is_a_miss(world: World) -> None:
    reader = READERS[0]
    tables = world.checked.home_of(reader).tables

    def hide() -> None:
        for ref in world.published:
            key = keys.entry_key(spread(reader), ref.id, ref.author)
            (row,) = tables.get(keys.INBOX, [key])
            if row is not None:
                tables.put(keys.INBOX, [row._replace(value=keys.GONE)])

    world.events = {2: world.publish}
    world.after = hide
    assert missed(world.audit()) == {(reader, world.published[0])}


def test_a_cell_that_does_not_apply_has_readers_who_miss_posts(world: World) -> None:
    world.stuck = {"a"}
    world.events = {2: world.publish}
    audit = world.audit()
    assert {reader for reader, _ in missed(audit)} == set(world.homed("a"))
    assert seen(audit)["b"] == len(world.homed("b"))


def test_who_stops_following_meanwhile_does_not_count(world: World) -> None:
    reader = READERS[2]

    def both() -> None:
        world.publish()
        world.checked.moves.router.unfollow(CTX, reader, AUTHOR, None)

    world.stuck = {"a", "b"}  # so that the post is drawn before the edge is gone
    world.events = {2: both, 4: world.stuck.clear}
    audit = world.audit()
    assert missed(audit) == set()
    assert sum(pairs(audit).values()) == len(READERS)


def test_a_post_that_is_removed_meanwhile_does_not_count(world: World) -> None:
    def both() -> None:
        world.publish()
        world.checked.moves.router.remove_post(CTX, AUTHOR, world.published[0].id, None)

    world.stuck = {"a", "b"}
    world.events = {2: both, 4: world.stuck.clear, 5: world.publish}
    audit = world.audit()
    assert missed(audit) == set()
    assert sum(pairs(audit).values()) == len(READERS) + 1  # of the other post


def test_who_follows_after_a_post_need_not_see_it(world: World) -> None:
    def both() -> None:
        world.publish()
        for reader in (501, 502):
            world.checked.moves.router.follow(CTX, NewFollow(reader, AUTHOR, None, 0))

    world.events = {2: both}  # the edges are there when they are looked for
    audit = world.audit()
    assert missed(audit) == set()
    assert sum(pairs(audit).values()) == len(READERS) + 1


def test_who_stopped_following_before_need_not_see_it(world: World) -> None:
    world.checked.moves.router.unfollow(CTX, READERS[0], AUTHOR, None)
    world.events = {2: world.publish}
    audit = world.audit()
    assert missed(audit) == set()
    assert sum(pairs(audit).values()) == len(READERS)


def test_without_posts_nothing_is_known(world: World) -> None:
    reader = READERS[0]
    world.events = {2: lambda: world.checked.follow(reader, 400)}
    audit = world.audit()
    assert (audit.published, audit.posts, sum(pairs(audit).values())) == (0, 0, 0)


def test_bytes_that_are_no_event_are_passed_over(world: World) -> None:
    firehose = world.checked.moves.seams.firehose()
    world.events = {2: lambda: firehose.append([(0, b"bytes")]), 3: world.publish}
    audit = world.audit()
    assert (audit.published, missed(audit)) == (1, set())


def test_a_retry_of_a_post_is_no_other_post(world: World) -> None:
    brought = compose(NOW_MS + 1_000, 3, 1)
    world.events = {
        2: lambda: world.publish(brought_id=brought),
        5: lambda: world.publish(brought_id=brought),
    }
    audit = world.audit()
    assert (audit.published, audit.posts) == (2, 1)
    assert sum(pairs(audit).values()) == len(READERS) + 1


class Away:
    """Tables of a cell that does not answer while `away` says so."""

    def __init__(self, tables: Tables, away: Callable[[], bool]) -> None:
        self._tables = tables
        self._away = away

    def __getattr__(self, name: str) -> object:
        if self._away():
            raise Unavailable("no region server")
        return getattr(self._tables, name)


def test_a_cell_that_does_not_answer_for_a_while_has_late_readers(world: World) -> None:
    away = [True]  # until it is cleared
    stores = world.checked.moves.cells["a"].stores
    tables = Away(stores.tables, lambda: bool(away))
    world.broken = {"a": replace(stores, tables=tables)}  # type: ignore[arg-type]
    world.events = {2: world.publish, 12: away.clear}
    audit = world.audit()
    assert missed(audit) == set()
    assert {cell.unknown for cell in audit.cells} == {0}
    late = {cell.cell: set(cell.late_ms) for cell in audit.cells}
    assert late["a"] == {10 * LOOK_MS}
    assert late["b"] <= {0}


def test_a_cell_that_never_answers_is_told_not_passed_over(world: World) -> None:
    stores = world.checked.moves.cells["a"].stores
    tables = Away(stores.tables, lambda: True)
    world.broken = {"a": replace(stores, tables=tables)}  # type: ignore[arg-type]
    world.events = {2: world.publish, 3: world.publish}
    audit = world.audit()
    assert {cell.cell: cell.unknown for cell in audit.cells} == {"a": 2, "b": 0}
    assert seen(audit)["b"] == 2 * len(world.homed("b"))


@pytest.mark.parametrize("readers", [1, 2, 3])
def test_of_many_followers_some_are_drawn_and_the_author(world: World, readers: int) -> None:
    world.events = {2: world.publish}
    audit = world.audit(replace(SETTINGS, readers=readers))
    followers = {n: sum(r != AUTHOR for r in world.homed(n)) for n in ("a", "b")}
    drawn = {n: min(readers, count) + (AUTHOR in world.homed(n)) for n, count in followers.items()}
    assert pairs(audit) == drawn


def test_each_post_has_the_same_chance_to_be_drawn() -> None:
    class NoCell:
        root = None
        log_base = 0
        name = "a"

    times: Counter[int] = Counter()
    for seed in range(2_000):
        auditor = Auditor(
            {"a": NoCell()},  # type: ignore[dict-item]
            lambda _: "a",
            ManualClock(),
            replace(SETTINGS, posts=5, seed=seed),
        )
        for n in range(1, 21):
            auditor._draw(Record(0, n, 0, b""), PostRef(1, n))
        drawn = {post.ref.id for post in auditor._posts}
        assert len(drawn) == 5
        times.update(drawn)
    assert len(times) == 20
    # 500 each, with a standard deviation of 19.
    assert all(400 < count < 600 for count in times.values())
