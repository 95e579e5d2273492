"""What a worker keeps in memory: edges, follower sets, and its own writes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell import keys
from cell.edges import Edge, EdgeSet, LeftOut, edge_set
from cell.followers import FollowerSets, put_row
from cell.residents import Homes
from cell.tables import Row
from cell.unacknowledged import Unacknowledged
from cell.versions import (
    AT_MAX,
    at_of,
    band_of,
    version_of,
)
from idgen.ids import U64, spread
from tests.unit.memory_tables import MemoryTables

ats = st.integers(1, AT_MAX)


# -- edges -----------------------------------------------------------------------------------

edges = st.builds(
    Edge, st.builds(version_of, st.integers(1, 3), st.integers(1, 40)), st.booleans(), ats
)
followers = st.integers(1, 60)


@pytest.fixture(autouse=True)
def _small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that arrays, and merges into them, occur with few edges."""
    monkeypatch.setattr("cell.edges.FEW_MAX", 4)


def follower_rows(author: int, found: dict[int, Edge]) -> list[Row]:
    return [
        Row(keys.pair_key(author, f), e.version, keys.pack_flagged(e.live, e.floor))
        for f, e in found.items()
    ]


@given(
    st.dictionaries(followers, edges, max_size=40),
    st.lists(st.tuples(followers, edges), max_size=60),
    st.integers(1, 45),
    st.lists(st.none() | st.sets(followers), min_size=1, max_size=3),
    st.integers(0, 45),
)
def test_an_edge_set_is_a_dict(
    stored: dict[int, Edge],
    changes: list[tuple[int, Edge]],
    at: int,
    pulled: list[set[int] | None],
    back: int,
) -> None:
    """`pulled`: who is left out, one after the other (None: everybody), as of `at` or before."""
    outs = [left_out(some, before) for some in pulled for before in (at, max(0, at - back))]
    tables = MemoryTables()
    tables.create(keys.TABLES)
    tables.put(keys.FOLLOWERS, follower_rows(1, stored))
    model = dict(stored)
    found = EdgeSet()
    if stored:
        found = edge_set(tables.scan_fixed(keys.FOLLOWERS, b"", b"", 100))
    for i, (follower, edge) in enumerate(changes):
        found.set(follower, edge)
        model[follower] = edge
        if i % 7 == 0:
            _same_edges(found, model, at, outs[i % len(outs)])
    for out in outs:
        _same_edges(found, model, at, out)


def left_out(pulled: set[int] | None, before: int) -> LeftOut:
    places = None if pulled is None else sorted(spread(follower) for follower in pulled)
    return LeftOut(None if places is None else np.array(places, dtype=np.uint64), before)


def _same_edges(found: EdgeSet, model: dict[int, Edge], at: int, out: LeftOut) -> None:
    for follower in range(1, 61):
        assert found.get(follower) == model.get(follower)
    live = [(f, e) for f, e in model.items() if e.live and at_of(e.version) < at]
    kept = {
        (spread(f), e)
        for f, e in live
        if at_of(e.version) >= out.before
        or not (out.places is None or spread(f) in out.places.tolist())
    }
    wanted = sorted((place, band_of(e.version)) for place, e in kept)
    receivers = found.receivers(at, out)
    got = zip(receivers.places.tolist(), receivers.bands.tolist(), strict=True)
    assert list(got) == wanted  # by place
    few = found.receivers_few(at, out)
    if few is not None:
        places = [(int.from_bytes(p), some.band) for some in few for p in some.prefixes]
        assert sorted(places) == wanted
    assert len(found) >= len(model)


# -- follower sets ---------------------------------------------------------------------------


class Authors:
    """Who belongs to the worker, and who is homed here."""

    def __init__(self, owned: set[int], homes: Homes) -> None:
        self._owned = owned
        self._homes = homes

    def owns(self, asked: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.array([int(p) in self._owned for p in asked], dtype=np.bool_)

    def homes(self, place: int) -> Homes:
        return self._homes


@pytest.mark.slow
@given(
    st.dictionaries(
        st.integers(0, 12) | st.just(U64),
        st.dictionaries(followers, edges, min_size=1, max_size=12),
        max_size=8,
    ),
    st.sets(st.integers(0, 12) | st.just(U64)),
    st.lists(st.sets(st.integers(0, 12) | st.just(U64), max_size=5), max_size=6),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(0, 30),
    st.data(),
)
def test_loaded_sets_are_what_the_table_holds_of_present_bands(
    stored: dict[int, dict[int, Edge]],
    owned: set[int],
    loads: list[set[int]],
    chunk_min: int,
    chunk_max: int,
    edges_max: int,
    data: st.DataObject,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cell.followers.CHUNK_MIN", chunk_min)
        patch.setattr("cell.followers.CHUNK_MAX", max(chunk_min, chunk_max))
        tables = MemoryTables()
        tables.create(keys.TABLES)
        for author, found in stored.items():
            tables.put(keys.FOLLOWERS, follower_rows(author, found))
        homes = Homes([(0, U64 // 2, 1), (U64 // 2 + 1, U64, 2)])
        authors = Authors(owned, homes)
        sets = FollowerSets(tables, authors.owns, authors.homes, edges_max)
        for load in loads:
            wanted = load & owned
            own = Unacknowledged()
            for author in sorted(wanted & stored.keys()):
                if data.draw(st.booleans()):
                    edge = Edge(version_of(2, 41), live=False, floor=1)
                    for row in follower_rows(author, {61: edge}):
                        own.put(keys.FOLLOWERS, row)
            # What was evaluated is in a set, so nothing unacknowledged is of one known to be empty.
            before = {a for a in wanted if a in sets._sets or sets._is_read(a)}
            sets.load(wanted, own)
            for author in wanted:
                model = {
                    f: e
                    for f, e in stored.get(author, {}).items()
                    if homes.band(spread(f)) == band_of(e.version)
                }
                for follower in range(1, 61):
                    assert sets.of(author).get(follower) == model.get(follower)
                if author not in before and own.over(keys.FOLLOWERS, keys.place_bytes(author), ()):
                    assert sets.of(author).get(61) is not None
            assert {a for a in sets._sets if a in stored} <= owned
            sets.clear() if data.draw(st.booleans()) else sets.trim()
            assert len(sets) <= max(edges_max, 0) or not sets._sets


def test_a_newer_row_wins_over_an_edge_and_an_older_one_does_not() -> None:
    found = EdgeSet({5: Edge(10, live=True, floor=3)})
    put_row(found, Row(keys.pair_key(1, 5), 9, keys.pack_flagged(live=False, number=1)))
    assert found.get(5) == Edge(10, live=True, floor=3)
    put_row(found, Row(keys.pair_key(1, 5), 11, keys.pack_flagged(live=False, number=3)))
    assert found.get(5) == Edge(11, live=False, floor=3)


# -- a worker's own writes -------------------------------------------------------------------

own_rows = st.lists(
    st.builds(
        Row,
        st.builds(keys.pair_key, st.integers(0, 2), st.integers(0, 8)),
        st.integers(1, 9),
        st.binary(max_size=1),
    ),
    max_size=20,
    unique_by=lambda row: (row.key, row.version),
)


@given(own_rows, own_rows, st.integers(0, 2), st.integers(0, 9), st.integers(0, 9) | st.none())
def test_reads_through_own_writes_see_the_newest_of_both(
    stored: list[Row], written: list[Row], place: int, first: int, last: int | None
) -> None:
    table = MemoryTables()
    table.create([keys.POSTS])
    table.put(keys.POSTS, stored)
    own = Unacknowledged()
    for row in written:
        own.put(keys.POSTS, row)
    both = MemoryTables()
    both.create([keys.POSTS])
    both.put(keys.POSTS, stored + written)
    start = keys.pair_key(place, first)
    until = None if last is None else keys.pair_key(place, last)
    stop = keys.after_prefix(place) if until is None else until + b"\x00"
    under = table.scan(keys.POSTS, start, stop, 100)
    found = own.over(keys.POSTS, keys.place_bytes(place), under, start, until)
    wanted = both.scan(keys.POSTS, start, stop, 100)
    assert [(r.key, r.version) for r in found] == [(r.key, r.version) for r in wanted]
    for row in stored + written:
        (below,) = table.get(keys.POSTS, [row.key])
        newest = own.newest(keys.POSTS, row.key, below)
        (expected,) = both.get(keys.POSTS, [row.key])
        assert newest is not None
        assert expected is not None
        assert newest.version == expected.version
