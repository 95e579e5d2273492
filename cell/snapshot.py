"""What a dashboard knows of its cell: who is homed here, how far it has applied, the cache's era.

Read from the cell table, at most a second old; a read that needs more waits for a position, and
for nothing else.
"""

import threading
from collections import deque
from typing import NamedTuple

from cell.residents import Homes
from cell.state import CellState, homes_now
from firehose.log import Log
from firehose.position import Applied, Position, log_fingerprint, reached_position
from idgen.clock import Clock
from idgen.errors import Behind

AGE_MS_MAX = 1_000
WAIT_FIRST_MS = 2
WAIT_MS_MAX = 50
SAMPLES_MAX = 3_600


class Snapshot(NamedTuple):
    """The cell as of one read of its table."""

    homes: Homes
    applied: dict[int, Applied]
    era: bytes
    read_ms: int


class Snapshots:
    """Keeps the snapshot fresh; used by many threads."""

    def __init__(self, state: CellState, firehose: Log, clock: Clock) -> None:
        self._state = state
        self._firehose = firehose
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: Snapshot | None = None
        self._ends_lock = threading.Lock()
        self._ends: deque[tuple[int, list[int]]] = deque(maxlen=SAMPLES_MAX)
        self.log = log_fingerprint(firehose.identity)

    def now(self) -> Snapshot:
        """A snapshot at most AGE_MS_MAX old."""
        newest = self._newest
        if newest is not None and self._clock.monotonic_ms() - newest.read_ms < AGE_MS_MAX:
            return newest
        with self._lock:
            newest = self._newest
            if newest is not None and self._clock.monotonic_ms() - newest.read_ms < AGE_MS_MAX:
                return newest
            return self._read()

    def including(self, need: Position, deadline_ms: int) -> Snapshot:
        """A snapshot that has applied `need`.

        Raises Behind, with the position reached, when `deadline_ms` (monotonic) passes before.
        """
        snapshot = self.now()
        wait_ms = WAIT_FIRST_MS
        while not need.met_by(snapshot.applied):
            left = deadline_ms - self._clock.monotonic_ms()
            if left <= 0:
                reached = reached_position(self.log, snapshot.applied).token()
                raise Behind("the cell has not applied this write yet; ask again", reached)
            self._clock.pause(min(wait_ms, left))
            wait_ms = min(wait_ms * 2, WAIT_MS_MAX)
            with self._lock:
                snapshot = self._read()
        return snapshot

    def _read(self) -> Snapshot:
        read_ms = self._clock.monotonic_ms()
        states = self._state.read()
        snapshot = Snapshot(
            homes_now(states.values()),
            {p: s.applied for p, s in states.items()},
            self._state.era(),
            read_ms,
        )
        self._newest = snapshot
        return snapshot

    def sample_end(self) -> None:
        """Note where the log ends now; called about once a second by the dashboard's process."""
        ends = [span.end for span in self._firehose.spans()]
        with self._ends_lock:
            self._ends.append((self._clock.monotonic_ms(), ends))

    def lag_ms(self) -> int:
        """How old the oldest sampled end of the log is that the cell has not applied; 0: none."""
        snapshot = self.now()
        with self._ends_lock:
            while self._ends:
                at_ms, ends = self._ends[0]
                if any(end > snapshot.applied[p].low for p, end in enumerate(ends)):
                    return max(0, self._clock.monotonic_ms() - at_ms)
                self._ends.popleft()
        return 0
