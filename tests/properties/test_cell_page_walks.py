"""Pages of any dashboard, from any cursor in both directions, against a sorted list."""

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cell.dashboard import EntryKind
from firehose.event import Lane, NoticeKind, PostKind, PostRef
from tests.unit.cell_page_world import BOTH, CTX, READER, PageWorld, event_id

# Few ids and actors, so that equal ids meet, in one lane and in both.
LINES = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.sampled_from(Lane),
        st.integers(1, 4),
        st.sampled_from(["live", "gone", "other band"]),
        st.sampled_from(PostKind),
    ),
    max_size=60,
    unique_by=lambda line: line[:3],
)
Key = tuple[int, int, int]


def fill(world: PageWorld, lines: list) -> list[Key]:  # type: ignore[type-arg]
    """Write the lines; returns the keys of those that a page shows, oldest first."""
    shown: list[Key] = []
    for n, lane, actor, state, kind in lines:
        if lane is Lane.NOTICES:
            if state == "live":
                world.notice(actor, n, NoticeKind.FOLLOW)
                shown.append((event_id(n), lane, actor))
            else:
                world.gone_notice(actor, n)
        elif state == "gone":
            world.gone_entry(actor, n)
        else:
            world.entry(actor, n, kind, band=3 if state == "live" else 4)
            if state == "live":
                shown.append((event_id(n), lane, actor))
    return sorted(shown)


@pytest.mark.slow
@given(
    LINES,
    st.integers(1, 12),
    st.sets(st.sampled_from(Lane), min_size=1).map(frozenset),
    st.booleans(),
    st.sampled_from([1, 3, 10_000]),
)
@settings(max_examples=200)
def test_following_next_meets_every_entry_once_and_in_order(
    lines: list,
    limit: int,
    lanes: frozenset[Lane],
    oldest_first: bool,
    plain: int,  # type: ignore[type-arg]
) -> None:
    world = PageWorld()
    shown = [key for key in fill(world, lines) if key[1] in lanes]
    with patch("cell.lane_scan.PLAIN_ROWS", plain), patch("cell.lane_scan.CHUNK_MAX", 4):
        found = world.all(lanes=lanes, limit=limit, oldest_first=oldest_first)
    assert found == (shown if oldest_first else shown[::-1])


@pytest.mark.slow
@given(LINES, st.integers(1, 12), st.booleans(), st.data())
@settings(max_examples=200)
def test_any_two_cursors_bound_a_page(
    lines: list,
    limit: int,
    oldest_first: bool,
    data: st.DataObject,  # type: ignore[type-arg]
) -> None:
    world = PageWorld()
    shown = fill(world, lines)
    everything = world.page(lanes=BOTH, limit=100).entries
    cursors = {(e.id, int(e.lane), e.actor): e.cursor for e in everything}
    if not cursors:
        return
    places = st.none() | st.sampled_from(sorted(cursors))
    before, after = data.draw(places), data.draw(places)
    page = world.page(
        lanes=BOTH,
        limit=limit,
        oldest_first=oldest_first,
        before=cursors[before] if before else b"",
        after=cursors[after] if after else b"",
    )
    within = [k for k in shown if (not before or k < before) and (not after or k > after)]
    if not oldest_first:
        within.reverse()
    assert [(e.id, e.lane, e.actor) for e in page.entries] == within[:limit]
    assert page.end == (len(within) <= limit)


@given(LINES, st.integers(1, 9), st.booleans(), st.integers(0, 40))
@settings(max_examples=150)
def test_pages_cut_short_by_their_deadline_still_meet_every_entry(
    lines: list,
    limit: int,
    oldest_first: bool,
    cost_ms: int,  # type: ignore[type-arg]
) -> None:
    """Each call to the tables takes its time, and the walk may take 20 ms."""
    world = PageWorld()
    shown = fill(world, lines)
    scan = world.tables.scan

    def slow(*args: object, **more: object) -> object:
        world.clock.ms += cost_ms
        return scan(*args, **more)  # type: ignore[arg-type]

    with (
        patch.object(world.tables, "scan", slow),
        patch("cell.lane_scan.CHUNK_MAX", 3),
    ):
        found = world.all(lanes=BOTH, limit=limit, oldest_first=oldest_first)
    assert found == (shown if oldest_first else shown[::-1])


@given(LINES, st.sets(st.sampled_from(PostKind), min_size=1))
def test_kinds_filter_what_is_shown_and_nothing_else(lines: list, kinds: set) -> None:  # type: ignore[type-arg]
    world = PageWorld()
    fill(world, lines)
    wanted = frozenset(EntryKind(kind) for kind in kinds)
    everything = [e for e in world.page(limit=100).entries if e.kind in wanted]
    found = world.all(kinds=wanted, limit=3)
    assert found == [(e.id, e.lane, e.actor) for e in everything]


@given(LINES, LINES, st.integers(1, 5), st.booleans())
@settings(max_examples=100)
def test_entries_that_come_between_pages_do_not_disturb_those_that_were_there(
    lines: list,
    later: list,
    limit: int,
    oldest_first: bool,  # type: ignore[type-arg]
) -> None:
    world = PageWorld()
    shown = fill(world, lines)
    taken = {line[:3] for line in lines}
    more = [line for line in later if line[:3] not in taken]
    turn = "after" if oldest_first else "before"
    page = world.page(lanes=BOTH, limit=limit, oldest_first=oldest_first)
    seen = list(page.entries)
    new = set(fill(world, more))
    while not page.end:
        page = world.page(
            lanes=BOTH, limit=limit, oldest_first=oldest_first, **{turn: page.next_cursor}
        )
        seen += page.entries
    found = [(e.id, e.lane, e.actor) for e in seen]
    assert len(set(found)) == len(found)
    assert sorted(found, reverse=not oldest_first) == found
    assert set(found) - new == set(shown)


@given(LINES, st.integers(1, 100))
def test_counts_are_of_what_pages_show(lines: list, cap: int) -> None:  # type: ignore[type-arg]
    world = PageWorld()
    shown = fill(world, lines)
    for lane in Lane:
        there = sum(key[1] == lane for key in shown)
        count = world.handler.unread(CTX, READER, lane, cap)
        assert count.count == min(there, cap)
        assert count.capped == (there > cap)
        page = world.page(lanes=frozenset((lane,)), limit=100)
        for i, entry in enumerate(page.entries):
            newer = world.handler.count_newer(CTX, READER, lane, entry.cursor, 100)
            assert newer.count == i


def test_a_target_is_the_post_of_a_reader() -> None:
    world = PageWorld()
    own = world.post(READER, 1, body="mine")
    world.notice(9, 2, NoticeKind.LIKE, own)
    (entry,) = world.page(lanes=frozenset((Lane.NOTICES,))).entries
    assert entry.target == PostRef(READER, event_id(1))
