"""Who is homed in a cell, and how far it has applied."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cell.progress import Progress
from cell.residents import Homes, Residents, common
from cell.state import PartitionState
from idgen.ids import U64

places = st.integers(0, U64)


# -- residents -------------------------------------------------------------------------------

SMALL = 30
small_places = st.integers(0, SMALL)
steps = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "leave"]),
        st.integers(0, 5),  # which of six slices of five places
        st.integers(1, 6),  # band
        st.integers(0, 20),  # offset
    ),
    max_size=12,
)


def lived(moves: Sequence[tuple[str, int, int, int]]) -> tuple[Residents, dict[int, tuple]]:  # type: ignore[type-arg]
    """Residents after the moves, and a model: slice -> (band, since) of who is here."""
    residents = Residents()
    here: dict[int, tuple[int, int]] = {}
    highest: dict[int, int] = {}
    for what, piece, band, offset in moves:
        start, last = piece * 5, piece * 5 + 4
        if what == "arrive":
            residents = residents.arrived(start, last, band, offset)
            if band > highest.get(piece, 0):
                here[piece] = (band, offset)
            highest[piece] = max(highest.get(piece, 0), band)
        else:
            residents = residents.left(start, last, band, offset)
            if here.get(piece, (0,))[0] == band:
                del here[piece]
            highest[piece] = max(highest.get(piece, 0), band)
    return residents, here


@given(steps, st.integers(0, 25))
def test_residents_are_those_whose_newest_band_has_not_left(
    moves: list[tuple[str, int, int, int]], offset: int
) -> None:
    # A slice is only ever told to arrive where it is not: a band that is still here has left first.
    told: list[tuple[str, int, int, int]] = []
    present: dict[int, int] = {}
    for what, piece, band, at in moves:
        if what == "arrive" and piece in present:
            told.append(("leave", piece, present.pop(piece), at))
        told.append((what, piece, band, at))
        residents, here = lived(told)
        present = {p: b for p, (b, _) in here.items()}
    residents, here = lived(told)
    homes = residents.at(offset)
    for place in range(SMALL):
        band, since = here.get(place // 5, (0, 0))
        assert homes.band(place) == (band if since <= offset else 0)
        assert residents.now().band(place) == band
    limit = residents.until(offset)
    for later in range(offset, 25 if limit is None else limit):
        assert residents.at(later) is homes


@given(steps)
def test_commands_done_twice_are_done_once(moves: list[tuple[str, int, int, int]]) -> None:
    once, twice = Residents(), Residents()
    for what, piece, band, offset in moves:
        start, last = piece * 5, piece * 5 + 4
        for _ in range(2):
            if what == "arrive":
                twice = twice.arrived(start, last, band, offset)
            else:
                twice = twice.left(start, last, band, offset)
        once = (
            once.arrived(start, last, band, offset)
            if what == "arrive"
            else once.left(start, last, band, offset)
        )
    assert once.rows == twice.rows


@given(steps)
def test_a_band_that_left_never_arrives_again(moves: list[tuple[str, int, int, int]]) -> None:
    residents, _ = lived(moves)
    for row in residents.rows:
        if row.until >= 0:
            again = residents.arrived(row.start, row.last, row.band, 0)
            assert again.rows == residents.rows


@given(
    st.lists(st.integers(0, U64), min_size=0, max_size=9, unique=True).map(sorted),
    st.lists(places, max_size=30),
    st.data(),
)
def test_bands_of_many_are_the_bands_of_each(
    cuts: list[int], asked: list[int], data: st.DataObject
) -> None:
    ranges = [
        (start, stop - 1, data.draw(st.integers(1, 9)))
        for start, stop in zip(cuts, [*cuts[1:], U64 + 1], strict=False)
        if data.draw(st.booleans())
    ]
    homes = Homes(ranges)
    edges = [p for start, last, _ in ranges for p in (start, last, max(start - 1, 0))]
    wanted = [*asked, *edges, 0, U64]
    found = homes.bands(np.array(wanted, dtype=np.uint64))
    assert found.dtype == np.uint64
    assert found.tolist() == [homes.band(p) for p in wanted]
    for place in wanted:
        inside = [band for start, last, band in ranges if start <= place <= last]
        assert homes.band(place) == (inside[0] if inside else 0)


def test_a_slice_is_here_when_every_partition_has_stored_it() -> None:
    one, both = Homes([(0, 9, 1)]), Homes([(0, 9, 1), (10, U64, 2)])
    assert common([both, one, both]).ranges == one.ranges
    assert common([]).ranges == ()
    assert common([both, Homes([(0, 9, 3)])]).ranges == ()


# -- progress --------------------------------------------------------------------------------


@given(
    st.integers(0, 12),
    st.sets(st.integers(0, 11)),
    st.integers(-1, 11),
    st.integers(0, 12),
    st.lists(st.tuples(st.integers(0, 4), st.sets(st.integers(0, 11), max_size=4)), max_size=8),
)
def test_what_was_done_stays_done_and_nothing_unfinished_is_passed(
    high: int, was_open: set[int], again: int, start: int, batches: list[tuple[int, set[int]]]
) -> None:
    """A worker begins anywhere at or below what is unfinished, and does all from there on, some of
    it in jobs that stay open for a while."""
    state = PartitionState(high=high, open=tuple(sorted(o for o in was_open if o < high)))
    if 0 <= again < high:
        state = PartitionState(high=high, open=state.open, again=again)
    progress = Progress(0, state, min(start, state.unfinished))
    first = progress.next
    finished: set[int] = set()
    jobs: set[int] = set()
    for count, opened in batches:
        finished |= {o for o in jobs if o not in opened}
        jobs &= opened
        new = range(progress.next, progress.next + count)
        jobs |= opened & set(new)
        finished |= set(new) - jobs
        progress.next += count
        was = progress.state
        changed = progress.advanced(jobs)
        if changed is not None:
            progress.stored(changed)
        now = progress.state
        assert now.applied.high >= was.applied.high
        for offset in range(30):
            if was.applied.done(offset):
                assert now.applied.done(offset)
            if now.applied.done(offset) and not state.applied.done(offset):
                assert offset in finished
        if now.again < 0 <= state.again:
            assert all(o in finished for o in range(max(first, state.again), state.high))
        elif state.again >= 0:
            assert all(o in finished for o in range(state.again, now.again))
        assert progress.checkpoint(jobs) <= min(jobs, default=progress.next)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 12))
def test_going_back_lasts_until_all_was_applied_again(next_: int, high: int, offset: int) -> None:
    state = PartitionState(high=high)
    progress = Progress(0, state, next_)
    back = progress.go_back(state, offset)
    assert progress.next <= next_
    if offset < max(next_, high):
        assert back.unfinished <= offset
        assert progress.next <= offset
    else:
        assert back == state
