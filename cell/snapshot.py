"""What a dashboard knows of its cell: who is homed here, how far it has applied, the cache's era.

Read from the cell table, at most a second old, and brought forward by the cell's changes as they
come. A read that needs more waits for a position, and for nothing else.
"""

import threading
from typing import NamedTuple

from cell.freshness import Freshness, Known
from cell.residents import Homes
from cell.state import CellState, PartitionState, homes_now
from firehose.lag import SampledEnds
from firehose.log import Log
from firehose.position import Applied, Position, log_fingerprint, reached_position
from idgen.clock import Clock
from idgen.errors import Behind

AGE_MS_MAX = 1_000
WAIT_FIRST_MS = 2
WAIT_MS_MAX = 20
"""Between two looks at the table. Where the cell's changes tell, a look costs no call."""
WAIT_TOLD_MS_MAX = 4
LOOK_MS = AGE_MS_MAX // 2


class Snapshot(NamedTuple):
    """The cell as it is known to be. `stamp`: of what was seen of its changes; None where that is
    less than what the table says, so that nothing kept may be believed. `commands`: none from this
    offset on was obeyed for an event that is applied."""

    homes: Homes
    applied: dict[int, Applied]
    era: bytes
    stamp: int | None
    commands: int = 0


class _TableRead(NamedTuple):
    """The cell table as of one read."""

    homes: Homes
    states: dict[int, PartitionState]
    era: bytes
    read_ms: int


class Snapshots:
    """Keeps the snapshot fresh; used by many threads."""

    def __init__(self, state: CellState, freshness: Freshness, firehose: Log, clock: Clock) -> None:
        self._state = state
        self._freshness = freshness
        self._firehose = firehose
        self._clock = clock
        self._lock = threading.Lock()
        self._table: _TableRead | None = None
        self._newest: tuple[_TableRead, Known, Snapshot] | None = None
        self._token: tuple[dict[int, Applied], bytes] | None = None
        self._ends = SampledEnds(clock)
        self.log = log_fingerprint(firehose.identity)

    def now(self) -> Snapshot:
        """The cell now, by a table at most AGE_MS_MAX old."""
        table = self._recent()
        known = self._freshness.known
        newest = self._newest
        if newest is None or newest[0] is not table or newest[1] is not known:
            newest = (table, known, _snapshot(table, known))
            self._newest = newest
        return newest[2]

    def _recent(self) -> _TableRead:
        table = self._table
        if table is not None and self._clock.monotonic_ms() - table.read_ms < AGE_MS_MAX:
            return table
        with self._lock:
            table = self._table
            if table is not None and self._clock.monotonic_ms() - table.read_ms < AGE_MS_MAX:
                return table
            return self._read()

    def renewed(self) -> Snapshot:
        """The cell by a table that was read after this was asked for, once for all who ask."""
        asked_ms = self._clock.monotonic_ms()
        with self._lock:
            if self._table is None or self._table.read_ms <= asked_ms:
                self._read()
        return self.now()

    def including(self, need: Position, deadline_ms: int) -> Snapshot:
        """A snapshot that has applied `need`.

        Raises Behind, with the position reached, when `deadline_ms` (monotonic) passes before.
        """
        wait_ms = WAIT_FIRST_MS
        while not need.met_by((snapshot := self.now()).applied):
            left = deadline_ms - self._clock.monotonic_ms()
            if left <= 0:
                reached = self.token(snapshot)
                raise Behind("the cell has not applied this write yet; ask again", reached)
            self._clock.pause(min(wait_ms, left))
            told = snapshot.stamp is not None
            wait_ms = min(wait_ms * 2, WAIT_TOLD_MS_MAX if told else WAIT_MS_MAX)
            if not told:
                with self._lock:
                    self._read()
        return snapshot

    def token(self, snapshot: Snapshot) -> bytes:
        """The position of a snapshot as a token."""
        made = self._token
        if made is None or made[0] is not snapshot.applied:
            made = (snapshot.applied, reached_position(self.log, snapshot.applied).token())
            self._token = made
        return made[1]

    def _read(self) -> _TableRead:
        read_ms = self._clock.monotonic_ms()
        states = self._state.read()
        self._table = _TableRead(homes_now(states.values()), states, self._state.era(), read_ms)
        return self._table

    def look(self) -> None:
        """Read the table and note where the log ends now.

        The dashboard's process calls it every LOOK_MS, so that no page waits for a table that has
        grown old.
        """
        with self._lock:
            self._read()
        self._ends.note([span.end for span in self._firehose.spans()])

    def lag_ms(self) -> int:
        """How old the oldest sampled end of the log is that the cell has not applied; 0: none."""
        applied = self.now().applied
        return self._ends.behind_ms(
            lambda ends: any(end > applied[p].low for p, end in enumerate(ends))
        )


def _snapshot(table: _TableRead, known: Known) -> Snapshot:
    if known.covers(table.states):
        commands = max((word.commands for word in known.reached.values()), default=0)
        return Snapshot(table.homes, known.applied, table.era, known.stamp, commands)
    applied = {p: state.applied for p, state in table.states.items()}
    commands = max((state.commands for state in table.states.values()), default=0)
    return Snapshot(table.homes, applied, table.era, None, commands)
