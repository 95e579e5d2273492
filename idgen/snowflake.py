"""Ids, given under a leased worker id: the rules of when one may be given, and of the lease.

Nobody's clock is trusted with uniqueness. The lease holds a reserve, written before it is used: no
id is given above it, and a successor on the same worker id starts above it. So two processes that
both believe they hold a worker id still give different ids, whatever their clocks say.

The path of an id never waits for the registry: `tend` talks to it, from a thread of its own, long
before the lease or the reserve end. An outage of the registry is felt only when it lasts as long
as the lease (15 minutes) less what passes between two renewals (one minute).
"""

import enum
import logging
import threading
from typing import NamedTuple

from idgen.clock import Clock
from idgen.errors import BadRequest, DashcellError, LeaseLost, Unavailable
from idgen.ids import ID_EPOCH_MS, MAX_ID, SEQUENCES, at_ms, compose
from idgen.worker_lease import Lease, WorkerLeases

IDS_MAX = 10_000
"""As many ids as one call may ask for."""

LEASE_MS = 900_000
RENEW_MS = 60_000
RETRY_MS = 1_000
STEP_MS_MAX = 10
"""A clock that was set back by no more is waited for."""

CLOCKS_MS_MAX = 10_000
"""The clocks of two servers may differ by so much: one that is further off does not start."""

AFTER_MS_MAX = CLOCKS_MS_MAX
"""So far ahead of our clock may be the id that another is to follow: a peer may have given it."""

AHEAD_MS_MAX = AFTER_MS_MAX + 5_000
"""Ids go on above the last one up to so far ahead of the clock: as far as an id that was to be
followed has led, or a step back of the clock, and room above for a burst of ids."""

DRIFT = 50
"""Two monotonic clocks differ by less than one part in 50; a holder stops that much early."""

_WORKERS_TRIED = 3

_log = logging.getLogger(__name__)


class LeaseState(enum.Enum):
    """What a generator knows of its lease."""

    NEW = "new"  # none, or none any more
    HOLDING = "holding"
    EXPIRED = "expired"  # not renewed in time; it may still be ours
    STOPPED = "stopped"


NEXT_STATES: dict[LeaseState, frozenset[LeaseState]] = {
    LeaseState.NEW: frozenset({LeaseState.HOLDING, LeaseState.STOPPED}),
    LeaseState.HOLDING: frozenset({LeaseState.NEW, LeaseState.EXPIRED, LeaseState.STOPPED}),
    LeaseState.EXPIRED: frozenset({LeaseState.NEW, LeaseState.HOLDING, LeaseState.STOPPED}),
    LeaseState.STOPPED: frozenset(),
}


class SnowflakeStatus(NamedTuple):
    """For operators: `worker` is -1 without a lease, `trouble` empty when all is well."""

    state: str
    worker: int
    epoch: int
    holder: str
    last_ms: int
    reserved_ms: int
    lease_left_ms: int
    ids_given: int
    trouble: str
    clock_ms: int = 0
    """This machine's wall clock."""
    clock_offset_ms: int | None = None
    """The clocks of the peers less this one; None: compared with nobody's."""
    clock_peers: int = 0
    """With how many peers it was compared."""


class Snowflake:
    """Gives ids that strictly increase, from many threads; `start` it first and `stop` it last.

    `holder` names this process to people who look at the leases. Everything about time goes
    through `clock`.
    """

    def __init__(
        self,
        leases: WorkerLeases,
        clock: Clock,
        holder: str,
        *,
        lease_ms: int = LEASE_MS,
        renew_ms: int = RENEW_MS,
    ) -> None:
        self._leases = leases
        self._clock = clock
        self._holder = holder
        self._lease_ms = lease_ms
        self._renew_ms = renew_ms
        # Guards all below; never held while the registry is asked.
        self._lock = threading.Lock()
        self._state = LeaseState.NEW
        self._lease: Lease | None = None
        self._stop_at = 0  # monotonic: no id from then on
        self._renew_at = 0  # monotonic
        self._last_ms = ID_EPOCH_MS
        self._sequence = SEQUENCES  # the next one of _last_ms
        self._given = 0
        self._trouble = ""
        # Held while the registry is asked: one at a time.
        self._tending = threading.Lock()
        self._wake = threading.Event()
        self._settled = threading.Event()
        self._thread: threading.Thread | None = None

    # -- ids ---------------------------------------------------------------------------------

    def next_id(self, after: int = 0) -> int:
        """One id, above all that were given before and above `after`.

        Raises BadRequest(after) when `after` is no id or lies too far in the future, Unavailable
        while there is no lease or the clock is far behind the last id.
        """
        if not 0 <= after <= MAX_ID:
            raise BadRequest("after", f"{after} is no id: it has to be 0 to 2^63 - 1")
        with self._lock:
            ahead_ms = at_ms(after) - self._clock.now_ms()
            if ahead_ms > AFTER_MS_MAX and at_ms(after) > self._last_ms:
                raise BadRequest(
                    "after",
                    f"{after} is of {ahead_ms} ms from now, and may be of {AFTER_MS_MAX} ms at "
                    "most: give an id that a server has given, and see to the clocks of the two "
                    "machines",
                )
            while True:
                (found,) = self._give(1)
                if found > after:
                    return found
                # Another server's id of this millisecond, or of a clock that is ahead of ours.
                self._last_ms = max(self._last_ms, at_ms(after))
                self._sequence = SEQUENCES

    def next_ids(self, n: int) -> list[int]:
        """`n` ids (1 to IDS_MAX), increasing. Raises BadRequest(n) and as `next_id`."""
        if not 1 <= n <= IDS_MAX:
            raise BadRequest("n", f"{n} is not 1 to {IDS_MAX}")
        with self._lock:
            found: list[int] = []
            while len(found) < n:
                found += self._give(n - len(found))
            return found

    def _give(self, n: int) -> range:
        """Up to `n` ids of one millisecond, at least one. The lock is held."""
        lease = self._held()
        now = self._clock.now_ms()
        if self._last_ms - now > 0:
            now = self._wait_out(now)
        ms = max(now, self._last_ms)
        if ms == self._last_ms and self._sequence >= SEQUENCES:
            ms = self._following_ms()
        if ms > self._last_ms:
            self._check_reserve(lease, ms)
            self._last_ms, self._sequence = ms, 0
        first, count = self._sequence, min(n, SEQUENCES - self._sequence)
        self._sequence += count
        self._given += count
        lowest = compose(ms, lease.worker, first)
        return range(lowest, lowest + count)

    def _held(self) -> Lease:
        """The lease, when ids may be given under it at this moment."""
        if self._lease is None or self._state is not LeaseState.HOLDING:
            why = f" ({self._trouble})" if self._trouble else ""
            raise Unavailable(f"no worker id is held: {self._state.value}{why}", RETRY_MS)
        if self._clock.monotonic_ms() >= self._stop_at:
            self._move(LeaseState.EXPIRED)
            self._wake.set()
            why = f": {self._trouble}" if self._trouble else ""
            raise Unavailable(f"the lease of worker id {self._lease.worker} ran out{why}", RETRY_MS)
        return self._lease

    def _wait_out(self, now: int) -> int:
        """The clock is behind the last id. Returns the clock's time; refuses a big step."""
        behind = self._last_ms - now
        if behind <= STEP_MS_MAX:
            self._clock.pause(behind)
            return self._clock.now_ms()
        if behind > AHEAD_MS_MAX:
            raise Unavailable(
                f"the clock is {behind} ms behind the last id or the lease's floor: "
                "set it right, or wait",
                retry_after_ms=min(behind - AHEAD_MS_MAX, 60_000),
            )
        return now

    def _following_ms(self) -> int:
        """The millisecond after the last, which is full: wait for it while that can help."""
        ms = self._last_ms + 1
        now = self._clock.now_ms()
        if now < ms <= now + STEP_MS_MAX:
            self._clock.pause(ms - now)
            now = self._clock.now_ms()
        if ms > now + AHEAD_MS_MAX:
            raise Unavailable(f"the clock is {ms - now} ms behind the last id", RETRY_MS)
        return max(ms, now)

    def _check_reserve(self, lease: Lease, ms: int) -> None:
        if ms > lease.reserved_ms:
            self._renew_at = self._clock.monotonic_ms()
            self._wake.set()
            raise Unavailable(
                f"the reserve of worker id {lease.worker} ended {ms - lease.reserved_ms} ms ago by "
                "this clock; more is being asked for",
                retry_after_ms=100,
            )

    # -- the lease ---------------------------------------------------------------------------

    def tend(self) -> int:
        """Acquire or renew if it is time; returns for how many ms there is nothing to do.

        What goes wrong is kept for `status` and tried again. The thread of `start` calls this.
        """
        with self._tending:
            with self._lock:
                lease, due_ms = self._lease, self._renew_at - self._clock.monotonic_ms()
                if self._state is LeaseState.STOPPED:
                    return self._renew_ms
            if lease is not None and due_ms > 0:
                return due_ms
            try:
                self._acquire() if lease is None else self._renew(lease)
            except LeaseLost as error:
                self._lose(str(error))
                return 0
            except DashcellError as error:
                with self._lock:
                    self._trouble = f"{error.reason}: {error}"
                _log.warning("the worker id's lease: %s", error)
                return RETRY_MS
            return self._renew_ms

    def _acquire(self) -> None:
        """Take a worker id whose floor is not far ahead of our clock, if there is one."""
        taken: list[tuple[Lease, int]] = []
        try:
            while len(taken) < _WORKERS_TRIED:
                asked_at, now = self._clock.monotonic_ms(), self._clock.now_ms()
                lease = self._leases.acquire(self._holder, now, self._lease_ms, self._lease_ms)
                taken.append((lease, asked_at))
                if lease.floor_ms <= now + AHEAD_MS_MAX:
                    break
        except DashcellError:
            # What was had before will do; the best of it is as good as it gets.
            if not taken:
                raise
        best = min(taken, key=lambda one: one[0].floor_ms)
        self._hold(*best)
        for lease, _ in taken:
            if lease is not best[0]:
                self._leases.release(lease, lease.floor_ms)

    def _renew(self, lease: Lease) -> None:
        asked_at = self._clock.monotonic_ms()
        self._hold(self._leases.renew(lease, self._clock.now_ms() + self._lease_ms), asked_at)

    def _hold(self, lease: Lease, asked_at: int) -> None:
        with self._lock:
            fresh = self._lease is None
            self._lease = lease
            self._stop_at = asked_at + lease.length_ms - lease.length_ms // DRIFT
            self._renew_at = asked_at + self._renew_ms
            self._trouble = ""
            if fresh:
                # Above what predecessors gave, and above what we gave under another worker id.
                self._last_ms = max(self._last_ms, lease.floor_ms)
                self._sequence = SEQUENCES
            if self._state is not LeaseState.STOPPED:
                self._move(LeaseState.HOLDING)
        self._settled.set()
        if fresh:
            _log.info("holding worker id %d, epoch %d", lease.worker, lease.epoch)

    def _lose(self, why: str) -> None:
        with self._lock:
            self._lease = None
            self._trouble = why
            if self._state is not LeaseState.STOPPED:
                self._move(LeaseState.NEW)
        _log.warning("the worker id's lease is lost: %s", why)

    def _move(self, state: LeaseState) -> None:
        if state is not self._state:
            assert state in NEXT_STATES[self._state], (self._state, state)
            self._state = state

    # -- running -----------------------------------------------------------------------------

    def start(self, wait_ms: int = 5_000) -> bool:
        """Begin to hold a lease; True when there is one within `wait_ms`.

        False is no failure: ids are Unavailable until the registry answers.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="worker-lease", daemon=True)
            self._thread.start()
        return self._settled.wait(wait_ms / 1000)

    def _run(self) -> None:
        while self._state is not LeaseState.STOPPED:
            wait_ms = self.tend()
            self._wake.wait(wait_ms / 1000)
            self._wake.clear()

    def stop(self) -> None:
        """Give no more ids, and give the worker id and the rest of its reserve back. Idempotent."""
        with self._lock:
            self._move(LeaseState.STOPPED)
        self._wake.set()
        if self._thread is not None:
            self._thread.join(30)
        with self._tending:
            with self._lock:
                lease, self._lease = self._lease, None
                last_ms = self._last_ms
            if lease is None:
                return
            try:
                self._leases.release(lease, last_ms)
            except DashcellError as error:
                _log.warning("worker id %d was not given back: %s", lease.worker, error)

    def status(self) -> SnowflakeStatus:
        """How things are; never waits for the registry."""
        with self._lock:
            lease, state = self._lease, self._state
            left_ms = self._stop_at - self._clock.monotonic_ms() if lease else 0
            if state is LeaseState.HOLDING and left_ms <= 0:
                state = LeaseState.EXPIRED
            return SnowflakeStatus(
                state.value,
                lease.worker if lease else -1,
                lease.epoch if lease else 0,
                self._holder,
                self._last_ms if self._given else 0,
                lease.reserved_ms if lease else 0,
                max(0, left_ms),
                self._given,
                self._trouble,
                self._clock.now_ms(),
            )

    def obstacle(self) -> str:
        """Why no id can be given now; "" when one can. Asks nobody."""
        status = self.status()
        if status.state != LeaseState.HOLDING.value:
            return f"no worker id is held: {status.trouble or status.state}"
        behind_ms = self._last_ms - status.clock_ms
        if behind_ms > AHEAD_MS_MAX:
            return f"the clock is {behind_ms} ms behind the last id: set it right, or wait"
        return ""
