"""Moves of users of whom there is much, and of many at once, on the embedded platform: its real
movers, workers and files."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from cell import keys
from cell.ingest import IngestSettings
from cell.tables import FixedRows
from idgen.ids import spread
from router.move_records import Wanted
from router.moves import ALREADY_MOVING, Refused, Stage
from tests.contract.patience import until
from tests.oracle.operations import (
    Content,
    Followed,
    Liked,
    Published,
    Removed,
    Unfollowed,
)
from tests.sim.breakable import Breakable
from tests.sim.embedded_world import EmbeddedWorld
from tests.sim.move_check import WAIT_S, Told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = IngestSettings(giant_rows=200, chunk_rows=100)
AT_ONCE = 50
ENTRIES = 100_000
FOLLOWED = 5_000
FOLLOWERS = 100_000
BACKFILL = 1_000
AUTHORS = 20


@pytest.fixture
def told(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Told]:
    settings = getattr(request, "param", None)
    with EmbeddedWorld(tmp_path, settings) as world:
        yield Told(world)


def post(told: Told, author: int, body: str = "text") -> Published:
    return Published(told.ids.take(), author, Content(body=body))


def follow(told: Told, follower: int, author: int, backfill: int = 100) -> Followed:
    return Followed(told.ids.take(), follower, author, backfill)


def delivered(told: Told, author: int, *readers: int) -> None:
    """What is published now comes to these readers."""
    told.do([post(told, author, "after the switch")])
    for reader in readers:
        told.pages(reader)


def test_fifty_moves_at_once(told: Told) -> None:
    readers = range(1, AT_ONCE + 1)
    told.do([follow(told, r, a) for r in readers for a in (1, 2, 3, 51 + r) if a != r])
    told.do([post(told, author) for _ in range(5) for author in (1, 2, 3, *range(51, 102))])
    told.do([Liked(told.ids.take(), r, 1, 0x1000 + r) for r in readers if r % 5 == 0])
    for reader in readers:
        told.mark(reader, told.ids.take() if reader % 2 else 1)
    told.settle()
    sources = {r: told.home(r) for r in readers}
    before = {r: told.held(sources[r], r) for r in readers}
    desk = told.world.moves()
    moves = [desk.begin(told.wanted(reader)).move.id for reader in readers]
    under_way = sum(not desk.show(move).move.finished for move in moves)
    assert under_way == AT_ONCE, "they are not moved at once"
    told.finish(moves)
    for reader in readers:
        told.moved(reader, sources[reader], before[reader])
    delivered(told, 2, *readers)


class HalfWritten:
    """While this lasts, a cell's worker hangs after so many more rows of the inbox."""

    def __init__(self, tables: Breakable, rows: int) -> None:
        self._tables = tables
        self._left = rows
        self.reached = threading.Event()
        self._go_on = threading.Event()

    def __enter__(self) -> Self:
        self._tables.put_fanout = self._put  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        del self._tables.put_fanout

    def _put(self, table: str, rows: FixedRows) -> None:
        whole = self._tables.inner.put_fanout
        count = len(rows.versions)
        if table != keys.INBOX or self.reached.is_set() or count <= self._left:
            whole(table, rows)
            self._left -= count if table == keys.INBOX else 0
            return
        half = self._left
        whole(table, FixedRows(*(column[:half] for column in rows)))
        self.reached.set()
        self._go_on.wait()
        whole(table, FixedRows(*(column[half:] for column in rows)))


@pytest.mark.parametrize("told", [SMALL], indirect=True)
@pytest.mark.parametrize("what", ["backfill", "unfollow"])
def test_a_reader_in_the_middle_of_a_backfill_or_of_its_end(told: Told, what: str) -> None:
    """The move begins while half of the entries are written, and no edge yet; an unfollow takes
    them back in chunks, as an open event."""
    author, reader, other = 1, 2, 3
    told.do([post(told, author) for _ in range(BACKFILL)])
    told.do([follow(told, other, author, BACKFILL)])
    if what == "unfollow":
        told.do([follow(told, reader, author, BACKFILL)])
    told.settle()
    source = told.home(reader)
    with HalfWritten(told.world._tables[source], BACKFILL // 2) as half:
        if what == "backfill":
            told.do([follow(told, reader, author, BACKFILL)])
        else:
            told.do([Unfollowed(told.ids.take(), reader, author)])
        until("half of the entries are written", half.reached.is_set, WAIT_S)
        inbox = told.held(source, reader)[keys.INBOX]
        gone = sum(value == keys.GONE for _, _, value in inbox)
        assert (gone if what == "unfollow" else len(inbox)) == BACKFILL // 2
        desk = told.world.moves()
        move = desk.begin(told.wanted(reader)).move.id
        stages = (Stage.COMPARE, Stage.CATCH_UP)
        until("it is copied", lambda: desk.show(move).move.stage in stages, WAIT_S)
    told.finish([move])
    told.settle()
    target = told.other_of(source)
    told.pages(reader)
    told.pages(other)
    live = {key for key, _, value in told.held(target, reader)[keys.INBOX] if value != keys.GONE}
    assert len(live) == (BACKFILL if what == "backfill" else 0)
    told.nothing_held(source, reader, told.held(target, reader))
    delivered(told, author, reader, other)


def test_a_reader_with_a_hundred_thousand_entries(told: Told) -> None:
    reader, authors = 1, range(2, 2 + AUTHORS)
    told.do([follow(told, reader, author) for author in authors])
    posts = [post(told, author) for _ in range(ENTRIES // AUTHORS) for author in authors]
    told.append(posts)
    told.do([Removed(told.ids.take(), p.author, p.id) for p in posts[:: ENTRIES // 10]])
    told.mark(reader, posts[-50].id)
    told.settle()
    source = told.home(reader)
    before = told.held(source, reader)
    assert len(before[keys.INBOX]) == ENTRIES
    told.finish([told.world.moves().begin(told.wanted(reader)).move.id])
    told.moved(reader, source, before)
    delivered(told, authors[0], reader)


def test_a_reader_who_follows_five_thousand(told: Told) -> None:
    reader, authors = 1, range(2, 2 + FOLLOWED)
    told.do([post(told, author) for author in authors[::10]])
    told.do([follow(told, reader, author) for author in authors])
    told.do([Unfollowed(told.ids.take(), reader, author) for author in authors[::500]])
    told.do([post(told, author) for author in authors[::7]])
    told.settle()
    source = told.home(reader)
    before = told.held(source, reader)
    assert len(before[keys.FOLLOWING]) == len(before[keys.FOLLOWERS]) == FOLLOWED
    told.finish([told.world.moves().begin(told.wanted(reader)).move.id])
    told.moved(reader, source, before)
    delivered(told, authors[1], reader)


def test_an_author_with_a_hundred_thousand_followers(told: Told) -> None:
    author, followers = 1, range(2, 2 + FOLLOWERS)
    some = followers[:: FOLLOWERS // 100]
    told.do([post(told, author)])
    told.do([follow(told, follower, author, 1) for follower in followers])
    told.do([Followed(told.ids.take(), author, followers[5], 1)])
    told.settle()
    source = told.home(author)
    before = told.held(source, author)
    assert len(before[keys.FANS]) == FOLLOWERS
    told.finish([told.world.moves().begin(told.wanted(author)).move.id])
    told.moved(author, source, before)
    delivered(told, author, author, *some)
    told.do([follow(told, followers[7], author), post(told, followers[5])])  # again: no notice
    told.pages(author)


def test_a_user_inside_a_slice_that_moves_is_refused_until_that_is_over(told: Told) -> None:
    reader, author = 1, 2
    told.do([follow(told, reader, author), post(told, author), post(told, reader)])
    told.settle()
    source, target = told.home(reader), told.other(reader)
    before = told.held(source, reader)
    start = spread(reader) >> 54 << 54
    desk = told.world.moves()
    slice_ = Wanted(start, start + (1 << 54) - 1, target, 0, 0, stop_before_switch=True)
    move = desk.begin(slice_).move.id
    plan = desk.plan(told.wanted(reader))
    assert [blocker.cause for blocker in plan.blockers] == [ALREADY_MOVING]
    with pytest.raises(Refused, match=f"move {move} is under way in this range") as refused:
        desk.begin(told.wanted(reader))
    assert refused.value.cause == ALREADY_MOVING
    until("it is verified", lambda: desk.show(move).move.stage is Stage.SWITCH, WAIT_S)
    with pytest.raises(Refused):
        desk.begin(told.wanted(reader))
    assert len(desk.list()) == 1
    desk.act(move, "switch")
    told.finish([move])
    told.moved(reader, source, before)
    told.finish([desk.begin(told.wanted(reader)).move.id])  # back, alone
    told.moved(reader, target, before)
    delivered(told, author, reader)
