"""Pages kept in memory are what would be read now, and cost nothing where nothing has changed."""

import threading
from collections.abc import Iterable

import msgspec
import numpy as np
import pytest

from cell import changes, keys
from cell.batch import Batch
from cell.changes import Change, Changed, Reached, announce, reached_of
from cell.dashboard import KeptEntries, PageQuery
from cell.lane_scan import Reader
from cell.page import Shown
from cell.page_cache import PageCache, ReadPage
from cell.tables import Row
from firehose.event import Lane, PostRef
from firehose.log import Record
from idgen.errors import Corrupt, CursorTooOld, PermissionDenied, Unavailable
from idgen.ids import spread
from tests.unit.cell_page_world import BAND, READER, PageWorld, event_id

NOBODY = 9_999


def post_name(ref: PostRef) -> int:
    """Half of the bits of the author's place and of the id's spread together."""
    return (spread(ref.author) ^ spread(ref.id)) >> 32


class KeptWorld(PageWorld):
    """A world whose dashboard reads the change log, when told to."""

    def begin(self) -> None:
        """The dashboard begins to read."""
        self._at = self.handler.freshness._begin()
        self.clock.ms += 1_001

    def tell(self, readers: Iterable[int] = (), posts: Iterable[PostRef] = ()) -> None:
        """A worker advances, and tells that these have changed."""
        states = self.state.advance(self.state.read())
        announce(self.stores.changes, states, self.changed(readers, posts))
        self.read_changes()

    def changed(self, readers: Iterable[int], posts: Iterable[PostRef] = ()) -> Changed:
        return Changed(
            np.array([changes.reader_name(spread(r)) for r in readers], dtype=np.uint32),
            np.array([post_name(p) for p in posts], dtype=np.uint32),
        )

    def read_changes(self) -> None:
        for record in self.stores.changes.read(0, self._at, 1_000):
            self.handler.freshness.take(changes.decode(record.value))
            self._at = record.offset + 1
        self.clock.ms += 1_001

    def reads(self, **query: object) -> bool:
        """Whether a page of READER was read from the tables."""
        before = self.handler.page_cache.hits
        self.page(**query)
        return self.handler.page_cache.hits == before


@pytest.fixture
def world() -> KeptWorld:
    made = KeptWorld()
    for n in range(3):
        made.entry(5, n + 1)
    made.begin()
    return made


def test_a_page_is_read_once_while_nothing_changes(world: KeptWorld) -> None:
    first = world.page()
    assert not world.reads()
    assert world.page() == first
    world.tell(readers=[NOBODY])
    assert not world.reads()


def test_what_was_told_of_the_reader_is_in_the_next_page(world: KeptWorld) -> None:
    world.page()
    world.entry(5, 4)
    assert len(world.page().entries) == 3
    world.tell(readers=[READER])
    assert len(world.page().entries) == 4


def test_a_post_that_is_told_of_is_looked_at_again(world: KeptWorld) -> None:
    world.page()
    world.removed(5, 2)
    world.stores.cache.flush()
    world.tell(posts=[PostRef(5, event_id(2))])
    assert [e.id for e in world.page().entries] == [event_id(3), event_id(1)]


@pytest.mark.parametrize("there", [True, False])
def test_so_is_what_a_reblog_shows(world: KeptWorld, there: bool) -> None:
    original = PostRef(7, event_id(90))
    if there:
        world.post(7, 90, body="the original")
    world.entry(5, 4)
    world.post(5, 4, reblog_of=original)
    shown = world.page().entries[0].post
    assert shown is not None
    assert shown.original is not None
    assert shown.original.removed != there
    if there:
        world.removed(7, 90)
        world.stores.cache.flush()
    else:
        world.post(7, 90, body="the original")
    assert not world.reads()
    world.tell(posts=[original])
    shown = world.page().entries[0].post
    assert shown is not None
    assert shown.original is not None
    assert shown.original.removed == there


def test_a_mark_is_in_the_next_page_once_it_is_told(world: KeptWorld) -> None:
    assert all(e.unread for e in world.page().entries)
    world.tables.put(keys.MARKS, [Row(keys.mark_key(spread(READER), Lane.POSTS), event_id(3), b"")])
    world.tell(readers=[READER])
    assert not any(e.unread for e in world.page().entries)


def test_of_a_reader_the_page_read_last_is_kept(world: KeptWorld) -> None:
    world.page(limit=1)
    assert world.reads(limit=2)
    assert not world.reads(limit=2)
    assert world.reads(limit=1)


def test_a_page_that_was_begun_earlier_does_not_take_the_place_of_a_later_one(
    world: KeptWorld,
) -> None:
    cache = world.handler.page_cache
    reader, asof = Reader(READER, spread(READER), BAND), world.handler.snapshots.now()
    earlier, later = cache.turn(), cache.turn()
    new = Shown(KeptEntries(world.page().entries), b"", end=True)
    cache.put(later, reader, PageQuery(READER), asof, ReadPage(new, set()))
    old = Shown(KeptEntries(), b"", end=True)
    cache.put(earlier, reader, PageQuery(READER), asof, ReadPage(old, set()))
    assert cache.get(reader, PageQuery(READER), asof) == new
    newest = cache.turn()
    cache.put(newest, reader, PageQuery(READER), asof, ReadPage(old, set(), good_once=True))
    assert cache.get(reader, PageQuery(READER), asof) is None


class TestWhatMayHaveBeenMissed:
    def test_by_a_step_left_out(self, world: KeptWorld) -> None:
        world.page()
        world.state.advance(world.state.read())  # told nobody
        world.tell()
        assert world.reads()

    def test_by_a_new_owner(self, world: KeptWorld) -> None:
        world.page()
        claimed = world.state.claim([0, 1])
        announce(world.stores.changes, claimed, Changed())
        world.read_changes()
        assert world.reads()
        assert not world.reads()

    def test_while_the_table_is_ahead_of_what_was_told(self, world: KeptWorld) -> None:
        world.page()
        advanced = world.state.advance(world.state.read())
        world.clock.ms += 1_001
        assert world.reads()
        assert world.reads()
        announce(world.stores.changes, advanced, Changed())
        world.read_changes()
        assert world.reads()
        assert not world.reads()

    def test_not_by_an_owner_that_was_overtaken(self, world: KeptWorld) -> None:
        old = world.state.read()
        world.state.claim([0, 1])
        world.begin()
        world.page()
        late = self._words(old)
        world.handler.freshness.take(Change(late, Changed()))
        assert not world.reads()
        assert world.handler.freshness.known.reached == self._words(world.state.read())

    def test_by_a_record_that_cannot_be_read(self, world: KeptWorld) -> None:
        world.page()
        world.handler.freshness._take(b"of a later version")
        assert world.reads()
        assert not world.reads()

    def test_by_a_log_that_was_trimmed(self, world: KeptWorld) -> None:
        world.page()
        world.begin()
        assert world.reads()

    @staticmethod
    def _words(states: dict[int, object]) -> dict[int, Reached]:
        return {p: reached_of(s) for p, s in states.items()}  # type: ignore[arg-type]


def test_memory_is_bounded_and_what_was_asked_for_least_goes_first(world: KeptWorld) -> None:
    cache = PageCache(world.handler.freshness, bytes_max=400_000)
    asof = world.handler.snapshots.now()
    entries = KeptEntries(world.page().entries)
    page = ReadPage(Shown(entries, b"", end=True), set())
    for user in range(1, 1_000):
        reader = Reader(user, spread(user), BAND)
        cache.put(cache.turn(), reader, PageQuery(user), asof, page)
        assert cache._kept.currsize <= 400_000
        first = Reader(1, spread(1), BAND)
        assert cache.get(first, PageQuery(1), asof) is not None
    assert 10 < len(cache._kept) < 100


@pytest.mark.parametrize("bytes_max", [0, 10_000])
def test_a_page_too_large_for_its_share_is_not_kept(world: KeptWorld, bytes_max: int) -> None:
    world.handler.page_cache = PageCache(world.handler.freshness, bytes_max)
    assert len(world.page().entries) == 3
    assert world.reads()


def test_a_change_of_many_readers_is_told_in_parts_with_the_positions_last(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "NAMES_MAX", 10)
    told = world.changed(range(1, 26), [PostRef(1, 2)])
    states = world.state.advance(world.state.read())
    announce(world.stores.changes, states, told)
    found = [changes.decode(r.value) for r in world.stores.changes.read(0, world._at, 100)]
    assert [len(c.changed.readers) for c in found] == [10, 10, 5]
    assert np.concatenate([c.changed.readers for c in found]).tolist() == told.readers.tolist()
    assert [bool(c.reached) for c in found] == [False, False, True]
    assert sum(len(c.changed.posts) for c in found) == 1


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00",
        b"{}",
        msgspec.msgpack.encode([{}, b"abc", b""]),
        changes.encode(Change({}, Changed()))[:-1],
    ],
)
def test_what_is_no_change_is_corrupt(value: bytes) -> None:
    with pytest.raises(Corrupt):
        changes.decode(value)


def test_a_batch_names_the_posts_and_readers_that_it_changes() -> None:
    batch = Batch()
    made = [PostRef(author, post) for author, post in ((1, 7), (5, 2**62), (2**63 - 1, 1))]
    rows = [Row(keys.post_key(ref.author, ref.id), 1, b"x") for ref in made]
    batch.posts += rows[:2]
    batch.state[keys.POSTS] += rows[2:]
    batch.entries.add(spread(11), 1, (7, 1, 1), 1)
    batch.notices.append(Row(keys.entry_key(spread(12), 7, 1), 1, b"n"))
    batch.state[keys.MARKS].append(Row(keys.mark_key(spread(13), Lane.POSTS), 7, b""))
    batch.state[keys.FANS].append(Row(keys.pair_key(spread(14), 1), 7, b""))
    changed = changes.changed_by(batch)
    assert changed.posts.tolist() == [post_name(p) for p in made]
    assert changed.readers.tolist() == [changes.reader_name(spread(r)) for r in (11, 12, 13)]
    nothing = changes.changed_by(Batch())
    assert [len(names) for names in nothing] == [0, 0]


@pytest.mark.parametrize(
    "error", [Unavailable("away"), PermissionDenied("no Read"), CursorTooOld("trimmed", bytes(8))]
)
def test_the_log_is_followed_whatever_happens_to_it_until_told_to_stop(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("cell.freshness.WAIT_MS", 1)
    stop = threading.Event()
    log = world.stores.changes
    read, failing = log.read, [error]

    def shaky(partition: int, offset: int, limit: int, timeout_ms: int = 0) -> list[Record]:
        if failing:
            # What comes after the dashboard has begun to read, and while the log is away.
            states = world.state.advance(world.state.read())
            announce(log, states, world.changed([READER]))
            raise failing.pop()
        found = read(partition, offset, limit)
        if not found:
            stop.set()
        return found

    monkeypatch.setattr(log, "read", shaky)
    world.page()
    world.handler.freshness.follow(stop)
    assert world.handler.freshness.known.covers(world.state.read())
    world.clock.ms += 1_001
    assert world.reads()
    assert not world.reads()
