"""The mover: carries all moves that are due, several at once.

Any number of movers may run; who carries a move holds an ephemeral node of it, which keeps two from
doing the same work, and nothing else (`router.carrier`).
"""

import threading
from collections.abc import Callable

import structlog

from cell.stores import CellStores
from idgen.clock import Clock
from idgen.errors import Conflict, DashcellError, Unavailable
from router.carrier import WAIT_MS, Carrier, MoverSettings
from router.move_records import MOVES, hold, let_go, open_moves, read_move
from router.moves import is_due
from router.registry import Registry

_log = structlog.get_logger(__name__)

LOOK_MS = 1_000
LOOKS_APART_MS = 200
"""Every step of every move changes the registry; a look reads all moves that are not finished."""


class Mover:
    """Carries all moves that are due, several at once; `run` is its process's or thread's life."""

    def __init__(
        self,
        registry: Registry,
        cells: Callable[[str], CellStores],
        clock: Clock,
        name: str,
        settings: MoverSettings | None = None,
    ) -> None:
        self._registry = registry
        self._cells = _Kept(cells)
        self._clock = clock
        self._name = name
        self._settings = settings or MoverSettings()
        self._carried: dict[int, threading.Thread] = {}
        self._changed = threading.Event()
        self.trouble = ""

    def run(self, stop: threading.Event) -> None:
        """Carry moves until `stop`."""
        watch = self._registry.watch(MOVES, self._changed.set)
        try:
            while not stop.is_set():
                self._changed.clear()
                try:
                    self._look(stop)
                    self.trouble = ""
                except DashcellError as error:  # moves wait where they are; readiness tells
                    self.trouble = str(error)
                self._changed.wait(LOOK_MS / 1000)
                stop.wait(LOOKS_APART_MS / 1000)
        finally:
            watch.cancel()
            for thread in self._carried.values():
                thread.join()

    @property
    def carried(self) -> int:
        """How many moves are carried now."""
        return sum(thread.is_alive() for thread in list(self._carried.values()))

    def _look(self, stop: threading.Event) -> None:
        """Begin to carry what is due and is not carried yet, the oldest first."""
        self._carried = {i: t for i, t in self._carried.items() if t.is_alive()}
        for move_id in open_moves(self._registry):
            if len(self._carried) >= self._settings.moves_at_once:
                return
            if move_id in self._carried:
                continue
            if is_due(read_move(self._registry, move_id).move, self._clock.now_ms()):
                thread = threading.Thread(
                    target=self._carry, args=(move_id, stop), name=f"move {move_id}", daemon=True
                )
                self._carried[move_id] = thread
                thread.start()

    def _carry(self, move_id: int, stop: threading.Event) -> None:
        try:
            if not hold(self._registry, move_id, self._name):
                return
            try:
                self.carry(move_id, stop)
            finally:
                let_go(self._registry, move_id)
        except DashcellError as error:  # whoever looks next takes it up again
            _log.warning("a move waits", move=move_id, why=str(error))

    def carry(self, move_id: int, stop: threading.Event) -> None:
        """Take a move as far as it goes without an operator."""
        carrier = Carrier(self._registry, self._cells, self._clock, self._name, self._settings)
        while not stop.is_set():
            found = read_move(self._registry, move_id)
            if not is_due(found.move, self._clock.now_ms()):
                return
            try:
                wait_ms = carrier.step(found)
            except Conflict as error:  # somebody else has changed the move, or the routes
                _log.info("a move was changed", move=move_id, why=str(error))
                wait_ms = WAIT_MS
            except Unavailable as error:
                wait_ms = carrier.wait_for(found, str(error))
            if wait_ms:
                stop.wait(wait_ms / 1000)


class _Kept:
    """The stores of cells, each opened once, for many threads."""

    def __init__(self, cells: Callable[[str], CellStores]) -> None:
        self._cells = cells
        self._lock = threading.Lock()
        self._found: dict[str, CellStores] = {}

    def __call__(self, name: str) -> CellStores:
        with self._lock:
            if name not in self._found:
                self._found[name] = self._cells(name)
            return self._found[name]
