"""Who is homed in a cell, and how far it has applied."""

from collections.abc import Sequence
from itertools import pairwise

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
slices = st.tuples(st.integers(0, SMALL), st.integers(0, SMALL)).map(lambda ab: (min(ab), max(ab)))
steps = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "leave"]),
        slices,
        st.integers(1, 6),  # band
        st.integers(0, 20),  # offset
    ),
    max_size=12,
)

Step = tuple[str, tuple[int, int], int, int]


def told(residents: Residents, step: Step) -> Residents:
    what, (start, last), band, offset = step
    if what == "arrive":
        return residents.arrived(start, last, band, offset)
    return residents.left(start, last, band, offset)


def lived(moves: Sequence[Step]) -> tuple[Residents, list[tuple[int, int]]]:
    """Residents after the moves, and a model: of each place its band (0: not here) and since."""
    residents = Residents()
    here = [(0, 0)] * (SMALL + 1)
    highest = [0] * (SMALL + 1)
    for what, (start, last), band, offset in moves:
        within = range(start, last + 1)
        residents = told(residents, (what, (start, last), band, offset))
        taken = what == "arrive" and all(highest[place] < band for place in within)
        for place in within:
            if taken:
                here[place] = (band, offset)
            elif what == "leave" and here[place][0] == band:
                here[place] = (0, 0)
            if taken or what == "leave":
                highest[place] = max(highest[place], band)
    return residents, here


@given(steps, st.integers(0, 25))
def test_residents_are_those_whose_newest_band_has_not_left(
    moves: list[Step], offset: int
) -> None:
    residents, here = lived(moves)
    homes = residents.at(offset)
    for place, (band, since) in enumerate(here):
        assert homes.band(place) == (band if since <= offset else 0)
        assert residents.now().band(place) == band
    limit = residents.until(offset)
    for later in range(offset, 25 if limit is None else limit):
        assert residents.at(later) is homes


@given(steps)
def test_commands_done_twice_are_done_once(moves: list[Step]) -> None:
    once, twice = Residents(), Residents()
    for what, slice_, band, offset in moves:
        once = told(once, (what, slice_, band, offset))
        twice = told(twice, (what, slice_, band, offset))
        assert told(twice, (what, slice_, band, offset + 1)) is twice
    assert once.rows == twice.rows


@given(steps)
def test_a_band_that_left_never_arrives_again(moves: list[Step]) -> None:
    residents, _ = lived(moves)
    for row in residents.rows:
        if row.until >= 0:
            assert residents.arrived(row.start, row.last, row.band, 0) is residents


@given(steps)
def test_rows_are_as_many_as_there_are_slices_and_not_as_moves(moves: list[Step]) -> None:
    residents, _ = lived(moves)
    for a, b in pairwise(residents.rows):
        assert a.last < b.start or a.band != b.band
        both_left = a.until >= 0 and b.until >= 0
        assert not (both_left and (a.last + 1, a.band) == (b.start, b.band))
    cuts = {p for _, (start, last), _, _ in moves for p in (start, last + 1)}
    assert len(residents.rows) <= 2 * (len(cuts) + 1)


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


@given(st.lists(steps, max_size=4))
def test_a_reader_is_here_when_every_partition_has_stored_it(lives: list[list[Step]]) -> None:
    partitions = [lived(moves) for moves in lives]
    homes = common([residents.now() for residents, _ in partitions])
    for place in range(SMALL + 1):
        bands = {here[place][0] for _, here in partitions}
        assert homes.band(place) == (bands.pop() if len(bands) == 1 else 0)


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
