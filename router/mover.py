"""The mover: carries all moves that are due, and cells that are being added, several at once.

Any number of movers may run; who carries something holds an ephemeral node of it, which keeps two
from doing the same work, and nothing else (`router.carrier`).
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog

from cell.stores import CellStores
from firehose.checkpoint import Checkpoints
from idgen.clock import Clock
from idgen.errors import Conflict, DashcellError, Unavailable
from router import bootstraps, moves
from router.bootstrap_carrier import BootstrapCarrier
from router.carrier import WAIT_MS, Carrier, MoverSettings, Reach, unharmed
from router.cells import CELLS, cell_path, read_cell, read_cells
from router.holding import hold, let_go
from router.move_records import MOVES, move_path, open_moves, read_move
from router.registry import Registry

_log = structlog.get_logger(__name__)

LOOK_MS = 1_000
LOOKS_APART_MS = 200
"""Every step of every move changes the registry; a look reads all moves that are not finished."""


class Carrying(Protocol):
    """What does the stages of one record, found before."""

    def step(self, found: Any) -> int:
        """Do a stage, or a part of it, and record that; how long to wait, in ms."""
        ...

    def wait_for(self, found: Any, what: str) -> int:
        """Record what it waits for; how long to wait, in ms."""
        ...


@dataclass(frozen=True)
class Work:
    """Something that a mover carries: where its record lies, how it is read (None: nothing is due),
    and who does its stages."""

    path: str
    due: Callable[[], Any]
    carrier: Callable[[], Carrying]


class Mover:
    """Carries all that is due, several at once; `run` is its process's or thread's life."""

    def __init__(
        self,
        registry: Registry,
        cells: Callable[[str], CellStores],
        checkpoints: Callable[[str], Checkpoints],
        clock: Clock,
        name: str,
        settings: MoverSettings | None = None,
        reach: Reach = unharmed,
    ) -> None:
        self._registry = registry
        self._cells = _Kept(cells)
        self._checkpoints = checkpoints
        self._clock = clock
        self._name = name
        self._settings = settings or MoverSettings()
        self._reach = reach
        self._carried: dict[str, threading.Thread] = {}
        self._carriers: dict[str, Carrying] = {}
        self._turns: dict[str, int] = {}
        self._crowded = False
        self._changed = threading.Event()
        self.trouble = ""

    def run(self, stop: threading.Event) -> None:
        """Carry what is due until `stop`."""
        watches = [self._registry.watch(path, self._changed.set) for path in (MOVES, CELLS)]
        try:
            while not stop.is_set():
                self._changed.clear()
                try:
                    self._look(stop)
                    self.trouble = ""
                except DashcellError as error:  # all waits where it is; readiness tells
                    self.trouble = str(error)
                self._changed.wait(LOOK_MS / 1000)
                stop.wait(LOOKS_APART_MS / 1000)
        finally:
            for watch in watches:
                watch.cancel()
            for thread in self._carried.values():
                thread.join()

    @property
    def carried(self) -> int:
        """How many moves and new cells are carried now."""
        return sum(thread.is_alive() for thread in list(self._carried.values()))

    def _look(self, stop: threading.Event) -> None:
        """Begin to carry what is due and is not carried yet: what had its turn longest ago first,
        then new cells, then the oldest moves."""
        self._carried = {path: t for path, t in self._carried.items() if t.is_alive()}
        works = {work.path: work for work in self._works()}
        self._carriers = {p: c for p, c in self._carriers.items() if p in works}
        self._turns = {p: at_ms for p, at_ms in self._turns.items() if p in works}
        due = [w for p, w in works.items() if p not in self._carried and w.due() is not None]
        due.sort(key=lambda work: self._turns.get(work.path, 0))
        free = self._settings.moves_at_once - len(self._carried)
        self._crowded = len(due) > free
        for work in due[: max(0, free)]:
            carrier = self._carriers.setdefault(work.path, work.carrier())
            thread = threading.Thread(
                target=self._carry, args=(work, carrier, stop), name=work.path, daemon=True
            )
            self._carried[work.path] = thread
            thread.start()

    def _works(self) -> Iterator[Work]:
        for info in read_cells(self._registry):
            if bootstraps.is_due(info, self._clock.now_ms()):
                due = partial(self._due_cell, info.name)
                yield Work(cell_path(info.name), due, self._bootstrap_carrier)
        for move_id in open_moves(self._registry):
            yield Work(move_path(move_id), partial(self._due_move, move_id), self._move_carrier)

    def _due_cell(self, name: str) -> Any:
        found = read_cell(self._registry, name)
        return found if bootstraps.is_due(found.info, self._clock.now_ms()) else None

    def _due_move(self, move_id: int) -> Any:
        found = read_move(self._registry, move_id)
        return found if moves.is_due(found.move, self._clock.now_ms()) else None

    def _bootstrap_carrier(self) -> Carrying:
        return BootstrapCarrier(
            self._registry, self._cells, self._checkpoints, self._clock, self._name, self._settings
        )

    def _move_carrier(self) -> Carrying:
        return Carrier(
            self._registry, self._cells, self._clock, self._name, self._settings, self._reach
        )

    def _carry(self, work: Work, carrier: Carrying, stop: threading.Event) -> None:
        try:
            if not hold(self._registry, work.path, self._name):
                return
            try:
                self.carry(work, carrier, stop)
            finally:
                let_go(self._registry, work.path)
        except DashcellError as error:  # whoever looks next takes it up again
            _log.warning("a move waits", record=work.path, why=str(error))

    def carry(self, work: Work, carrier: Carrying, stop: threading.Event) -> None:
        """Take it as far as it goes without an operator, or until others wait for their turn and it
        waits for something itself: for one of them, maybe."""
        while not stop.is_set():
            found = work.due()
            if found is None:
                return
            try:
                wait_ms = carrier.step(found)
            except Conflict as error:  # somebody else has changed the record, or the routes
                _log.info("a record was changed", record=work.path, why=str(error))
                wait_ms = WAIT_MS
            except Unavailable as error:
                wait_ms = carrier.wait_for(found, str(error))
            if wait_ms == WAIT_MS and self._crowded:
                self._turns[work.path] = self._clock.monotonic_ms()
                return
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
