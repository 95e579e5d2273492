"""Moves: seconds from `rehome-user` to the switch, by entries, and slices moved at once.

Two cells of one region server each. A reader's entries come of posts of one author, through the
log; then the reader moves to the other cell, one at a time, while nothing else goes on. The slices
are an eighth of a cell each, and move all at once, as many as a mover carries. All of it is copied
and compared by one mover, through both cells' gateways.
"""

import threading
from collections.abc import Sequence

import numpy as np

from idgen.ids import spread
from ops.bench.bench import Bench
from ops.bench.load import crowd, repeated
from ops.bench.measure import PRODUCT, Figure, Measure, Trials, figures_of
from ops.bench.stage import Stage
from ops.platform_port import Moves
from router.move_records import Wanted
from router.moves import Move, MoveState
from router.slices import PLACES

NAME = "moves"
ENTRIES = (1_000, 10_000, 100_000)
ROUNDS = 3
FIRST_USER = 700_000_000
SLICES = 8
POSTS_EACH = 10
LOOK_S = 0.05
MOVE_S = 600.0


def run(bench: Bench) -> list[Figure]:
    """Seconds by entries; slices a minute and rows a second."""
    bench.close()
    stage = Stage(bench.tell, {"platform.cells": 2})
    try:
        return [*_readers(bench, stage), *_slices(bench, stage)]
    finally:
        bench.tell("stopping the stack")
        stage.close()


def _readers(bench: Bench, stage: Stage) -> list[Figure]:
    moves, found = stage.platform.moves, list[Figure]()
    for number, entries in enumerate(ENTRIES):
        author, *readers = _users_of_a(FIRST_USER + number * 1_000, ROUNDS + 1)
        stage.stop_ingest()
        stage.plant_follows([author], [np.array(readers, dtype=np.uint64)])
        stage.start_ingest()
        bench.tell(f"{entries:,} entries for {ROUNDS} readers")
        stage.deliver(stage.posts([author] * entries, "a post that moves"))
        seconds: list[float] = []
        for reader in readers:
            place = spread(reader)
            moved = _switched(moves, [Wanted(place, place, "b", reader, 0)])
            seconds.append(_seconds(moved[0]))
            bench.tell(f"{entries:,} entries moved in {seconds[-1]:.2f} s")
        measure = Measure(
            f"{NAME}-{entries}",
            f"a reader with {entries:,} entries, until the switch",
            "s",
            higher_is_better=False,
            count=entries,
        )
        found += figures_of(measure, Trials({PRODUCT: seconds}))
    return found


def _slices(bench: Bench, stage: Stage) -> list[Figure]:
    group = crowd(200, 200, 2_000, 8)
    stage.stop_ingest()
    stage.plant_follows(group.authors, list(group.followers))
    stage.start_ingest()
    bench.tell("entries for 2,000 readers, half of them in the cell")
    stage.deliver(stage.posts(repeated(group.authors, 200 * POSTS_EACH), "a post that moves"))
    width = PLACES // 2 // SLICES
    taken = {spread(user) for user in _moved_before()}
    bounds = [(i * width, (i + 1) * width - 1) for i in range(SLICES)]
    wanted = [
        Wanted(start, last, "b", 0, 0)
        for start, last in bounds
        if not any(start <= place <= last for place in taken)
    ]
    moved = _switched(stage.platform.moves, wanted)
    began = min(m.history[0].at_ms for m in moved)
    ended = max(_switched_ms(m) for m in moved)
    seconds = (ended - began) / 1000
    rows = sum(m.rows for m in moved)
    bench.tell(f"{len(moved)} slices with {rows:,} rows moved in {seconds:.1f} s")
    per_minute = Measure(
        f"{NAME}-slices", "slices moved at once", "slices/min", higher_is_better=True
    )
    per_second = Measure(
        f"{NAME}-rows", "rows of slices moved at once", "rows/s", higher_is_better=True
    )
    return [
        *figures_of(per_minute, Trials({PRODUCT: [len(moved) * 60 / seconds]})),
        *figures_of(per_second, Trials({PRODUCT: [rows / seconds]})),
    ]


def _moved_before() -> list[int]:
    """The readers that moved one by one: slices with them have several homes."""
    return [
        user
        for number in range(len(ENTRIES))
        for user in _users_of_a(FIRST_USER + number * 1_000, ROUNDS + 1)[1:]
    ]


def _users_of_a(first: int, count: int) -> list[int]:
    """Users of the lower half of the key space, which is cell a's."""
    found: list[int] = []
    user = first
    while len(found) < count:
        if spread(user) < PLACES // 2:
            found.append(user)
        user += 1
    return found


def _switched(moves: Moves, wanted: Sequence[Wanted]) -> list[Move]:
    """Begin moves, and wait until they are over or need somebody."""
    ids = [moves.begin(each).move.id for each in wanted]
    pause = threading.Event()
    for _ in range(int(MOVE_S / LOOK_S)):
        found = [moves.show(i).move for i in ids]
        stuck = [move.trouble for move in found if move.trouble]
        if stuck:
            raise RuntimeError(stuck[0])
        if all(any(h.state == MoveState.SWITCHED for h in move.history) for move in found):
            return found
        pause.wait(LOOK_S)
    raise RuntimeError(f"{len(ids)} moves have not switched in {MOVE_S:.0f} s")


def _switched_ms(move: Move) -> int:
    return next(h.at_ms for h in move.history if h.state == MoveState.SWITCHED)


def _seconds(move: Move) -> float:
    return (_switched_ms(move) - move.history[0].at_ms) / 1000
