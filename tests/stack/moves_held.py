"""Moves that are held, each at another stage of another state, until all are let go at once."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from idgen.ids import spread
from ops.platform_port import Moves
from ops.wiring.stack import StackSeams
from router.carrier import MoverSettings, When
from router.move_records import MOVES, Wanted, create_move, read_move
from router.mover import Mover
from router.moves import STAGES, MoveState, Stage
from tests.contract.patience import until

WAIT_S = 240.0
"""A bound for busy machines, not an expectation."""
ON_THEIR_WAY = 4
"""So many come to their places at a time: more would keep each other's cells behind."""
KEEP_MS = 3_600_000


class Place(NamedTuple):
    """Where a move is held."""

    state: MoveState
    stage: Stage


class Way(NamedTuple):
    """How a move comes to a state: whether it waits for somebody before its switch and behind it,
    and what is done to it there."""

    stop_before_switch: bool = False
    keep_ms: int = 0
    act: str = ""


WAYS: Mapping[MoveState, Way] = {
    **dict.fromkeys(
        (
            MoveState.CREATED,
            MoveState.COPYING,
            MoveState.ARRIVING,
            MoveState.VERIFIED,
            MoveState.SWITCHED,
            MoveState.COMPLETED,
        ),
        Way(),
    ),
    MoveState.CANCELLED: Way(stop_before_switch=True, act="cancel"),
    MoveState.REVERSED: Way(keep_ms=KEEP_MS, act="reverse"),
}


def places() -> list[Place]:
    """Every stage that a mover carries, in the first state that has it, and every state."""
    found: dict[Stage, Place] = {}
    more: list[Place] = []
    for state, stages in STAGES.items():
        new = [s for s in stages if s is not Stage.FINISHED and s not in found]
        found |= {stage: Place(state, stage) for stage in new}
        if not new:
            more.append(Place(state, stages[0]))
    return [*found.values(), *more]


class MovesHeld:
    """A mover of its own session, in this process; one move to each place."""

    def __init__(self, seams: StackSeams, desk: Moves) -> None:
        self._seams = seams
        self._desk = desk
        self._held_at: dict[int, Place] = {}
        self._holds: set[int] = set()
        self._let_go = threading.Event()
        self._stop = threading.Event()
        self._mover = Mover(
            seams.registry,
            seams.cell,
            seams.checkpoints,
            seams.clock,
            "the mover of the test",
            MoverSettings(moves_at_once=2 * len(places()), sweep_after_ms=0),
            self._reach,
        )
        self._thread = threading.Thread(target=self._mover.run, args=(self._stop,), name="mover")

    @property
    def moves(self) -> dict[int, Place]:
        """The moves, and where each is held, or was."""
        return dict(self._held_at)

    @contextmanager
    def running(self) -> Iterator["MovesHeld"]:
        """While its mover runs."""
        self._thread.start()
        try:
            yield self
        finally:
            self._let_go.set()
            self._stop.set()
            self._thread.join(WAIT_S)

    def begin(self, readers: Mapping[Place, int], target_of: Callable[[int], str]) -> None:
        """Begin a move of a reader for each place; returns when each is held there."""
        for place, reader in readers.items():
            way = WAYS[place.state]
            at = spread(reader)
            wanted = Wanted(at, at, target_of(reader), reader, way.keep_ms, way.stop_before_switch)
            registry = self._seams.registry
            # Known before it is there, so that its mover cannot pass the place.
            following = max(self._held_at, default=self._last()) + 1
            self._held_at[following] = place
            move = create_move(registry, wanted, "test", self._seams.clock.now_ms())
            assert move.id == following
            self._wait_held(ON_THEIR_WAY)
        self._wait_held(1)

    def _wait_held(self, on_their_way: int) -> None:
        """Until fewer moves are on their way to where they are held."""

        def held() -> bool:
            return len(self._held_at) - self._held() < on_their_way

        try:
            until("every move is held at its place", held, WAIT_S)
        except AssertionError as error:
            found = [read_move(self._seams.registry, move).move for move in self._held_at]
            late = {self._held_at[m.id]: m for m in found if m.id not in self._holds}
            raise AssertionError(f"not held at {late}") from error

    def let_go(self) -> None:
        """Let all of them go on."""
        self._let_go.set()

    def finished(self) -> bool:
        """Whether all of them are over; none is in trouble."""
        found = [read_move(self._seams.registry, move).move for move in self._held_at]
        assert not any(move.trouble for move in found), [m for m in found if m.trouble]
        return all(move.finished for move in found)

    def _last(self) -> int:
        return max((view.move.id for view in self._desk.list()), default=0)

    def _held(self) -> int:
        """How many are held, after those that somebody has to act on were seen to."""
        for move_id, place in self._held_at.items():
            way = WAYS[place.state]
            if move_id in self._holds or not way.act:
                continue
            move = read_move(self._seams.registry, move_id).move
            waits = {"cancel": Stage.SWITCH, "reverse": Stage.KEEP}[way.act]
            if move.stage is waits and move.state is not place.state:
                self._desk.act(move_id, way.act)
        return len(self._holds)

    def _reach(self, stage: Stage, when: When) -> None:
        """Called by the thread of a move, which is named after it."""
        if when is not When.BEFORE or self._let_go.is_set():
            return
        move_id = int(threading.current_thread().name.removeprefix(f"{MOVES}/"))
        place = self._held_at.get(move_id)
        if place is None or place.stage is not stage:
            return
        if read_move(self._seams.registry, move_id).move.state is place.state:
            self._holds.add(move_id)
            self._let_go.wait()
