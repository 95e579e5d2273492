"""What the loop tells is what the pure policy says of rates that are worked out by hand here."""

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cell import materialization
from cell.activity import ActivityRows, ActivitySettings
from cell.deciding import RULES, rules_of
from cell.materialization import Authors, Pin, Readers, first
from cell.materializer import MaterializerSettings
from cell.measured_costs import costs_of
from idgen.ids import spread
from tests.unit.materialize_world import NEVER, MaterializeWorld

HALF_LIFE_MS = 3_600_000
COUNTS = ActivitySettings(HALF_LIFE_MS, HALF_LIFE_MS, HALF_LIFE_MS, 1_000, 60_000)
BOUNDS = MaterializerSettings(
    hot_entries_per_s=0.004, wide_follows=3, away_ms=HALF_LIFE_MS, rows_per_s=0
)
READERS, AUTHORS = range(1, 7), range(101, 106)
STEP_MS = HALF_LIFE_MS // 4

edges = st.sets(st.tuples(st.sampled_from(READERS), st.sampled_from(AUTHORS)), max_size=20)
happens = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5)),  # a page of a reader, or a post of an author
    max_size=25,
)


def rate(times: list[int], now: int) -> float:
    """Events/s by the definition of a decaying estimate."""
    weights = sum(2.0 ** (-(now - at) / HALF_LIFE_MS) for at in times)
    return weights * math.log(2) / (HALF_LIFE_MS / 1000)


def exact(world: MaterializeWorld, follows, posts, pages, since):  # type: ignore[no-untyped-def]
    """Who is pulled by the pure policy: authors and readers."""
    now, rules = world.clock.ms, rules_of(world.said.any())
    pins = world.said.pinned
    both = (AUTHORS, READERS)
    codes = [np.array([pins.get(u, Pin.NONE) for u in some], np.uint8) for some in both]
    per_s = {a: rate(posts.get(a, []), now) for a in AUTHORS}
    sizes = [sum(author == a for _, author in follows) if posts.get(a) else 0 for a in AUTHORS]
    of_authors = materialization.authors(
        rules,
        BOUNDS.bounds,
        Authors(np.array(list(per_s.values())), np.array(sizes), codes[0], first(len(AUTHORS))),
    )
    hot = {a for a, pushed in zip(AUTHORS, of_authors.pushed, strict=True) if not pushed}
    whom = [[a for who, a in sorted(follows) if who == r] for r in READERS]
    of_readers = materialization.readers(
        rules,
        BOUNDS.bounds,
        costs_of([world.activity.costs.sums(now)]),
        Readers(
            np.array([rate(pages.get(r, []), now) for r in READERS]),
            np.array([sum(per_s[a] for a in some if a not in hot) for some in whom]),
            np.array([len(some) for some in whom]),
            np.array([len(hot & set(some)) for some in whom]),
            np.array([now - max(pages.get(r, [since])) for r in READERS]),
            codes[1],
            first(len(READERS)),
        ),
    )
    pulled = zip(READERS, whom, of_readers.pushed, strict=True)
    return hot, {r for r, some, pushed in pulled if some and not pushed}


@settings(deadline=None, max_examples=40)
@given(
    follows=edges,
    happens=happens,
    on=st.sets(st.sampled_from([rule for rule in RULES if rule != "per_pair"])),
    pinned=st.dictionaries(st.sampled_from([*READERS, *AUTHORS]), st.sampled_from([*Pin])),
)
def test_what_is_told_is_what_the_policy_says(follows, happens, on, pinned):  # type: ignore[no-untyped-def]
    world = MaterializeWorld(replace(BOUNDS), COUNTS)
    world.said.on, world.said.pinned = on, pinned
    for reader, author in sorted(follows):
        world.follow(reader, author)
    world.run()
    since = world.clock.ms
    world.dashboard.fold(since)
    posts: dict[int, list[int]] = {}
    pages: dict[int, list[int]] = {}
    for is_page, who in happens:
        world.clock.ms += STEP_MS
        if is_page:
            world.dashboard.page(spread(READERS[who]))
            world.dashboard.fold(world.clock.ms)
            pages.setdefault(READERS[who], []).append(world.clock.ms)
        else:
            author = AUTHORS[who % len(AUTHORS)]
            posts.setdefault(author, []).append(world.clock.ms)
            world.post(author)
            world.run()
    rows = ActivityRows(world.cell.tables, "dashboard", COUNTS)
    rows.save(world.dashboard.saved(world.clock.ms))
    materializer = world.materializer()
    materializer.decide(NEVER)
    world.run()
    hot, pulled = exact(world, follows, posts, pages, since)
    assert {a for a in AUTHORS if world.hot(a).pulled} == hot
    assert {r for r in READERS if world.row(r).pulled and any(f[0] == r for f in follows)} == pulled
    told = len(world.cell.commands.records[0])
    materializer.decide(NEVER)
    assert len(world.cell.commands.records[0]) == told, "the same again, and something was told"
