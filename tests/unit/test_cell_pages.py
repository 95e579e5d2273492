"""What a page shows and refuses, case by case."""

import threading
from collections.abc import Mapping, Sequence

import pytest

from cell import cursor, keys
from cell.cursor import Place
from cell.dashboard import Context, EntryKind, Home, PageQuery
from cell.page import PAGE_TEXT_BYTES_MAX
from cell.posts import TEXT_BYTES_MAX
from cell.residents import Resident
from cell.tables import Row
from firehose.codec import encode
from firehose.event import Draft, Lane, NoticeKind, PostCreated, PostKind, PostRef
from firehose.position import log_fingerprint, receipt_token
from firehose.validation import BODY_BYTES_MAX
from idgen.errors import BadRequest, Behind, Moved, Unavailable
from idgen.ids import U64, spread
from tests.contract.patience import together, until
from tests.unit.cell_page_world import BAND, BOTH, CTX, READER, PageWorld, event_id
from tests.unit.firehose_world import ManualClock

NOTICES = frozenset((Lane.NOTICES,))


@pytest.fixture
def world() -> PageWorld:
    return PageWorld()


# -- what is shown ---------------------------------------------------------------------------


def test_an_unknown_reader_has_an_empty_page_that_ends(world: PageWorld) -> None:
    page = world.page(lanes=BOTH)
    assert (page.entries, page.end, page.next_cursor) == ((), True, b"")


def test_a_like_of_a_removed_post_is_hidden_also_without_posts(world: PageWorld) -> None:
    kept, removed = world.post(READER, 1), world.post(READER, 2)
    for n, ref in ((3, removed), (4, kept), (5, removed)):
        world.notice(9, n, NoticeKind.LIKE, ref)
    world.removed(READER, 2)
    for hydrate in (True, False):
        page = world.page(lanes=NOTICES, limit=1, hydrate=hydrate)
        assert [e.id for e in page.entries] == [event_id(4)]
        assert page.end


def test_a_like_of_what_never_was_is_hidden(world: PageWorld) -> None:
    world.notice(9, 3, NoticeKind.LIKE, PostRef(READER, event_id(1)))
    assert world.page(lanes=NOTICES).entries == ()


def test_a_reblog_shows_its_original_and_later_that_it_was_removed(world: PageWorld) -> None:
    original = world.post(5, 1, body="first")
    world.entry(6, 2)
    world.post(6, 2, body="look", reblog_of=original)
    (entry,) = world.page().entries
    assert entry.post is not None
    assert entry.post.original is not None
    assert entry.post.original.draft is not None
    assert entry.post.original.draft.body == "first"
    world.removed(5, 1)
    world.stores.cache.flush()
    (entry,) = world.page().entries
    assert entry.post is not None
    assert entry.post.original is not None
    assert (entry.post.original.removed, entry.post.original.draft) == (True, None)


def test_an_original_is_shown_one_level_deep(world: PageWorld) -> None:
    first = world.post(5, 1)
    second = world.post(6, 2, reblog_of=first)
    world.entry(7, 3)
    world.post(7, 3, reblog_of=second)
    (entry,) = world.page().entries
    assert entry.post is not None
    assert entry.post.original is not None
    assert entry.post.original.original is None


def test_an_entry_whose_post_is_gone_by_now_is_not_shown(world: PageWorld) -> None:
    world.entry(5, 1)
    world.entry(5, 2)
    world.removed(5, 2)
    assert [e.id for e in world.page(limit=1).entries] == [event_id(1)]


def test_without_hydrate_there_are_ids_only(world: PageWorld) -> None:
    world.entry(5, 1)
    (entry,) = world.page(hydrate=False).entries
    assert (entry.id, entry.actor, entry.post) == (event_id(1), 5, None)


def test_marks_of_each_lane_say_what_is_unread(world: PageWorld) -> None:
    for n in (1, 2, 3):
        world.entry(5, n)
        world.notice(6, n, NoticeKind.FOLLOW)
    place = spread(READER)
    world.tables.put(keys.MARKS, [Row(keys.mark_key(place, Lane.POSTS), event_id(2), b"")])
    entries = world.page(lanes=BOTH).entries
    unread = [(e.id, e.lane) for e in entries if e.unread]
    assert unread == [
        (event_id(3), Lane.NOTICES),
        (event_id(3), Lane.POSTS),
        (event_id(2), Lane.NOTICES),
        (event_id(1), Lane.NOTICES),
    ]
    assert world.handler.unread(CTX, READER, Lane.POSTS, 10).count == 1
    assert world.handler.unread(CTX, READER, Lane.NOTICES, 10).count == 3


# -- runs of gone rows, and time -------------------------------------------------------------


def test_live_rows_behind_thousands_of_gone_ones_are_found_in_few_calls(world: PageWorld) -> None:
    for n in range(5_000):
        world.gone_entry(5, n + 10)
    world.entry(5, 1)
    world.entry(5, 9_000)
    world.tables.scans = 0
    page = world.page(limit=2)
    assert [e.id for e in page.entries] == [event_id(9_000), event_id(1)]
    assert page.end
    assert world.tables.scans <= 3


def test_a_scan_that_cannot_skip_in_time_is_done_in_steps(
    world: PageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with HBase and so many gone rows that a filtered call never answers."""
    for n in range(500):
        world.gone_entry(5, n + 10)
    world.entry(5, 1)
    scan = world.tables.scan
    calls = []

    def unskipping(*args: object, skip: bytes = b"", **more: object) -> list[Row]:
        calls.append(skip)
        if skip:
            world.clock.ms += CTX.deadline_ms + 1
            raise Unavailable("no answer in time")
        return scan(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(world.tables, "scan", unskipping)
    monkeypatch.setattr("cell.lane_scan.PLAIN_ROWS", 100)
    for oldest_first in (False, True):
        calls.clear()
        turn = "after" if oldest_first else "before"
        page = world.page(limit=5, oldest_first=oldest_first)
        pages = 1
        found = list(page.entries)
        while not page.end:
            assert page.next_cursor
            page = world.page(limit=5, oldest_first=oldest_first, **{turn: page.next_cursor})
            found += page.entries
            pages += 1
        assert [e.id for e in found] == [event_id(1)]
        assert 3 <= pages <= 10


def test_tables_that_are_away_are_unavailable_and_not_an_empty_page(
    world: PageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.page()

    def away(*_: object, **__: object) -> list[Row]:
        raise Unavailable("away")

    monkeypatch.setattr(world.tables, "scan", away)
    with pytest.raises(Unavailable):
        world.page()


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_limit_outside_1_to_100_is_refused(world: PageWorld, limit: int) -> None:
    with pytest.raises(BadRequest, match="limit"):
        world.page(limit=limit)


@pytest.mark.parametrize("field", ["before", "after"])
def test_a_cursor_of_another_list_is_refused(world: PageWorld, field: str) -> None:
    place = Place(event_id(1), 1, 1)
    for kind, owner in ((cursor.DASHBOARD, READER + 1), (cursor.TIMELINE, READER)):
        with pytest.raises(BadRequest, match=field):
            world.page(**{field: cursor.encode(kind, owner, place)})


def test_a_reader_who_moved_is_told_where_to(world: PageWorld) -> None:
    world.set_state(residents=())
    world.home = Home("b", 9)
    with pytest.raises(Moved) as moved:
        world.page()
    assert (moved.value.cell, moved.value.epoch) == ("b", 9)


def test_a_reader_who_arrives_is_asked_to_wait(world: PageWorld) -> None:
    world.set_state(residents=())
    with pytest.raises(Unavailable, match="arriving"):
        world.page()


def test_a_reader_who_has_arrived_since_the_table_was_read_is_served(world: PageWorld) -> None:
    world.set_state(residents=())
    world.handler.snapshots.look()
    clock: ManualClock = world.clock
    seen_ms = clock.ms
    world.set_state(residents=(Resident(0, U64, BAND, 0),))
    clock.ms = seen_ms  # the table is still young enough for a page
    world.entry(5, 1)
    world.post(5, 1)
    assert len(world.page().entries) == 1


def test_rows_of_another_band_do_not_exist(world: PageWorld) -> None:
    world.entry(5, 1)
    world.set_state(residents=(Resident(0, U64, BAND + 1, 0),))
    assert world.page().entries == ()


# -- positions -------------------------------------------------------------------------------


def token(world: PageWorld, partition: int, offset: int) -> bytes:
    return receipt_token(log_fingerprint(world.log.identity), partition, offset)


def test_a_page_waits_for_the_write_of_a_token(world: PageWorld) -> None:
    asked = threading.Event()

    def pause(ms: int) -> None:
        if not asked.is_set():
            asked.set()
            world.entry(5, 1)
            world.set_state(high=1)

    world.clock.pause = pause  # type: ignore[method-assign]
    page = world.handler.page(Context(60_000), PageQuery(READER, at_least=(token(world, 1, 0),)))
    assert asked.is_set()
    assert len(page.entries) == 1


def test_behind_says_how_far_the_cell_is(world: PageWorld) -> None:
    world.set_state(high=4, open=(2,))
    with pytest.raises(Behind) as behind:
        world.page(at_least=(token(world, 1, 2),))
    assert behind.value.reached
    world.page(at_least=(token(world, 1, 1), token(world, 0, 3), behind.value.reached))


def test_a_token_of_another_log_is_refused(world: PageWorld) -> None:
    with pytest.raises(BadRequest, match="at_least"):
        world.page(at_least=(receipt_token(1, 0, 0),))


# -- the cache changes no answer -------------------------------------------------------------


class Lying:
    """A cache that holds what it was given, loses it, or gives other bytes."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self.filled: dict[bytes, bytes] = {}

    def get_many(self, names: Sequence[bytes]) -> list[bytes | None]:
        return [self._answer] * len(names)

    def fill(self, values: Mapping[bytes, bytes]) -> None:
        self.filled.update(values)

    def set_gone(self, values: Mapping[bytes, bytes]) -> bool:
        return False

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("answer", [None, b"", b"\x00", b"not a post at all", b"\xdc\x0e\x01\x80"])
def test_a_cache_that_is_empty_or_talks_nonsense_changes_nothing(answer: bytes | None) -> None:
    world = PageWorld(cache=Lying(answer))
    world.entry(5, 1)
    world.entry(5, 2)
    world.removed(5, 2)
    (entry,) = world.page().entries
    assert entry.post is not None
    assert entry.post.draft is not None
    assert entry.post.draft.body == "5/1"


def test_whole_events_of_another_kind_in_the_cache_change_nothing() -> None:
    other = encode(PostCreated(event_id(9), 66, Draft(body="somebody else's")))
    world = PageWorld(cache=Lying(other))
    world.entry(5, 1)
    (entry,) = world.page().entries
    assert entry.post is not None
    assert entry.post.draft is not None
    assert entry.post.draft.body == "5/1"


def test_after_a_new_era_what_the_cache_holds_is_not_looked_at(world: PageWorld) -> None:
    world.entry(5, 1)
    world.page()  # now it is cached
    world.removed(5, 1)  # and the cache could not be told
    world.state.next_era()
    world.clock.ms += 1_001
    assert world.page().entries == ()


class CountingLock:
    """A lock that knows how often it was given back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.exits = 0

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.exits += 1
        self._lock.release()


def test_one_read_serves_all_who_want_a_post_at_once(world: PageWorld) -> None:
    for n in range(5):
        world.entry(5, n + 1)
    reads: list[int] = []
    get, get_many = world.tables.get, world.stores.cache.get_many
    all_missed = threading.Barrier(8)
    lock = world.handler._posts._lock = CountingLock()  # type: ignore[assignment]

    def missed(names: Sequence[bytes]) -> list[bytes | None]:
        found = get_many(names)
        all_missed.wait(10)
        return found

    def counted(table: str, names: Sequence[bytes], floor: int = 0) -> list[Row | None]:
        if table == keys.POSTS:
            reads.append(len(names))
            until("all have asked", lambda: lock.exits >= 8, 10)
        return get(table, names, floor)

    world.stores.cache.get_many = missed  # type: ignore[method-assign]
    world.tables.get = counted  # type: ignore[method-assign]
    pages = together([world.page] * 8)
    assert all(len(p.entries) == 5 for p in pages)
    assert reads == [5]


def test_a_read_that_fails_fails_for_its_askers_and_is_tried_anew(world: PageWorld) -> None:
    world.entry(5, 1)
    get = world.tables.get

    def away(table: str, names: Sequence[bytes], floor: int = 0) -> list[Row | None]:
        if table == keys.POSTS:
            raise Unavailable("away")
        return get(table, names, floor)

    world.tables.get = away  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        world.page()
    world.tables.get = get  # type: ignore[method-assign]
    assert len(world.page().entries) == 1


def test_who_asks_after_a_write_does_not_get_a_read_from_before_it(world: PageWorld) -> None:
    """One asks for a post that is not there yet; while that read is under way it comes."""
    ref = PostRef(5, event_id(1))
    get = world.tables.get
    reading, go_on = threading.Event(), threading.Event()

    def held(table: str, names: Sequence[bytes], floor: int = 0) -> list[Row | None]:
        rows = get(table, names, floor)
        if table == keys.POSTS and not reading.is_set():
            reading.set()
            assert go_on.wait(10)
        return rows

    world.tables.get = held  # type: ignore[method-assign]
    early = threading.Thread(target=lambda: world.handler.posts(CTX, [ref]))
    early.start()
    assert reading.wait(10)
    world.entry(5, 1)
    threading.Timer(0.05, go_on.set).start()
    (entry,) = world.page().entries
    early.join()
    assert entry.id == event_id(1)


# -- timelines -------------------------------------------------------------------------------


def test_a_timeline_pages_in_both_bounds_and_skips_removed_posts(world: PageWorld) -> None:
    for n in range(1, 31):
        world.post(5, n, kind=PostKind.PHOTO)
        if n % 3 == 0:
            world.removed(5, n)
    there = [event_id(n) for n in range(30, 0, -1) if n % 3]
    for limit in (1, 4, 100):
        found: list[int] = []
        before = b""
        while True:
            page = world.handler.author_posts(CTX, 5, before, b"", limit)
            found += [e.id for e in page.entries]
            before = page.next_cursor
            if page.end:
                break
        assert found == there
    everything = world.handler.author_posts(CTX, 5, b"", b"", 100).entries
    assert {e.kind for e in everything} == {EntryKind.PHOTO}
    between = world.handler.author_posts(CTX, 5, everything[2].cursor, everything[9].cursor, 100)
    assert [e.id for e in between.entries] == there[3:9]
    assert between.end
    nothing = world.handler.author_posts(CTX, 5, everything[9].cursor, everything[2].cursor, 100)
    assert (nothing.entries, nothing.end) == ((), True)


def test_a_timeline_refuses_the_cursor_of_a_dashboard(world: PageWorld) -> None:
    world.entry(5, 1)
    (entry,) = world.page().entries
    with pytest.raises(BadRequest, match="before"):
        world.handler.author_posts(CTX, 5, entry.cursor, b"", 10)


def test_posts_come_in_the_order_asked_for(world: PageWorld) -> None:
    refs = [world.post(5, n, body=str(n)) for n in (1, 2, 3)]
    world.removed(5, 2)
    never = PostRef(6, event_id(9))
    views = world.handler.posts(CTX, [refs[2], refs[1], never, refs[0], refs[2]])
    assert [(v.ref, v.removed) for v in views] == [
        (refs[2], False),
        (refs[1], True),
        (never, True),
        (refs[0], False),
        (refs[2], False),
    ]


def test_posts_of_more_text_than_an_answer_may_have_are_refused(world: PageWorld) -> None:
    original = world.post(5, 1, body="x" * BODY_BYTES_MAX)
    reblog = world.post(6, 2, body="é" * (BODY_BYTES_MAX // 2), reblog_of=original)
    fitting = TEXT_BYTES_MAX // BODY_BYTES_MAX // 2
    assert len(world.handler.posts(CTX, [reblog] * fitting)) == fitting
    with pytest.raises(BadRequest, match=r"refs: .*ask for fewer at once"):
        world.handler.posts(CTX, [reblog] * (fitting + 1))


def test_lag_is_the_age_of_what_is_not_applied(world: PageWorld) -> None:
    clock: ManualClock = world.clock
    world.log.append([(0, b"x")])
    world.handler.snapshots.look()
    clock.ms += 5_000
    assert world.page().lag_ms == 5_000
    world.set_state(high=1)
    assert world.page().lag_ms == 0


@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_page_of_much_text_is_short_and_goes_on(world: PageWorld, oldest_first: bool) -> None:
    count = 2 * PAGE_TEXT_BYTES_MAX // BODY_BYTES_MAX
    for n in range(1, count + 1):
        world.entry(5, n)
        world.post(5, n, body="x" * BODY_BYTES_MAX)
    seen: list[int] = []
    at = b""
    for _ in range(4):
        bound = {"after" if oldest_first else "before": at}
        page = world.page(limit=100, oldest_first=oldest_first, **bound)
        seen += [e.id for e in page.entries]
        assert len(page.entries) <= PAGE_TEXT_BYTES_MAX // BODY_BYTES_MAX
        if page.end:
            break
        at = page.next_cursor
    every = [event_id(n) for n in range(1, count + 1)]
    assert seen == (every if oldest_first else every[::-1])
    assert not page.next_cursor
