"""Readers and slices that move to the other cell and back, again and again, during a load."""

import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from idgen.errors import Unavailable
from idgen.ids import spread
from ops.platform_port import Moves
from router.move_records import Wanted
from router.moves import MoveState, Refused
from tests.contract.patience import until
from tests.higgs.driver import insist
from tests.higgs.platform import Platform

MOVE_S = 300.0
PLACES = 1 << 64
WIDTH = PLACES >> 9
"""Of a slice: one of 512, some hundreds of the readers of the Higgs week."""


@dataclass(frozen=True, slots=True)
class Moving:
    """How many readers and slices move at a time; how often they were there and back."""

    readers: int
    slices: int


@contextmanager
def moving(platform: Platform, what: Moving, watched: Sequence[int], seed: int) -> Iterator[None]:
    """While this lasts, readers (the watched ones among them) and slices move there and back, at
    least once; whatever goes wrong with a move is raised at the end."""
    over = threading.Event()
    rnd = random.Random(seed)
    rounds = 0

    def go_on() -> None:
        nonlocal rounds
        while not over.is_set() or not rounds:
            _there_and_back(platform, what, watched, rnd)
            rounds += 1
            print(f"{what} were there and back {rounds} times")

    with ThreadPoolExecutor(1, "moving") as pool:
        done = pool.submit(go_on)
        try:
            yield
        finally:
            over.set()
        done.result()


def _there_and_back(
    platform: Platform, what: Moving, watched: Sequence[int], rnd: random.Random
) -> None:
    here, there = rnd.sample(platform.cells, 2)
    starts = [s * WIDTH for s in rnd.sample(range(PLACES // WIDTH), what.slices * 8)]
    slices = [s for s in starts if platform.home(s) == here][: what.slices]
    readers = [r for r in watched if platform.home(spread(r)) == here]
    while len(readers) < what.readers:
        place = rnd.randrange(PLACES)
        found = insist(partial(platform.reader_after, here, place))
        if found and platform.home(spread(found)) == here:
            readers.append(found)
    readers = [r for r in dict.fromkeys(readers) if not _within(spread(r), slices)]
    for target in (there, here):
        wanted = [Wanted(s, s + WIDTH - 1, target, 0, 0) for s in slices]
        wanted += [
            Wanted(spread(r), spread(r), target, r, 0)
            for r in readers
            if platform.home(spread(r)) != target
        ]
        _move_all(platform, wanted)


def _move_all(platform: Platform, wanted: Sequence[Wanted]) -> None:
    desk = platform.moves()
    ids = [until("a move begins", partial(_begun, desk, each), MOVE_S) for each in wanted]

    def all_over() -> bool:
        views = [insist(partial(desk.show, i)).move for i in ids]
        assert not any(m.trouble for m in views), [m for m in views if m.trouble]
        return all(m.finished for m in views)

    until(f"{len(ids)} moves are over", all_over, MOVE_S)
    assert all(desk.show(i).move.state is MoveState.COMPLETED for i in ids)


def _begun(desk: Moves, wanted: Wanted) -> int:
    """The id of a move; 0 while a cell does not answer, which is what a fault does to it."""
    try:
        return desk.begin(wanted).move.id
    except Unavailable:
        return 0
    except Refused as refused:
        if refused.cause not in ("unreachable", "lagging"):
            raise
        return 0


def _within(place: int, slices: Sequence[int]) -> bool:
    return any(start <= place < start + WIDTH for start in slices)
