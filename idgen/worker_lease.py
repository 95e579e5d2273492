"""The worker-lease seam: a number below 1,024 that at most one process holds at a time.

Two adapters lie beside it: ZooKeeper and SQLite. The domain logic (when to renew, when to stop
giving ids) is in `snowflake`; an adapter only keeps the record, atomically.
"""

from typing import NamedTuple, Protocol


class Lease(NamedTuple):
    """One worker id, held.

    `epoch` grows with every acquisition of this worker id and is never given twice.
    `floor_ms` is the time up to which predecessors may have given ids: ids start above it.
    `reserved_ms` is the time up to which this holder may give ids (>= floor_ms).
    `length_ms` is how long the lease runs from the moment the holder *asked* for it.
    """

    worker: int
    epoch: int
    holder: str
    floor_ms: int
    reserved_ms: int
    length_ms: int


class WorkerLeases(Protocol):
    """Acquire, renew, release, and look; each a single versioned write.

    Errors of every verb: `Unavailable` when the store cannot be reached (nothing is known of
    whether the write was done, so the holder must assume the worse).
    """

    def acquire(self, holder: str, now_ms: int, reserve_ms: int, length_ms: int) -> Lease:
        """Take a worker id that is free or whose lease has certainly run out.

        `now_ms` is the asker's wall clock; the lease records floor = the reserve left by the
        predecessors, and a reserve up to max(now_ms, floor) + reserve_ms. A lease has run out only
        when the *store's* record of it has not changed for its whole length as observed by this
        asker's monotonic clock, or its holder is provably gone (session ended, released).
        Prefers the id that has been free longest. Raises Conflict when all are taken.
        """
        ...

    def renew(self, lease: Lease, reserve_to_ms: int) -> Lease:
        """Extend the lease by its length and move the reserve up (never down).

        Raises LeaseLost when somebody else holds the worker id now or the record is gone.
        """
        ...

    def release(self, lease: Lease, last_ms: int) -> None:
        """Give the worker id back, and what of the reserve lies above `last_ms` with it.

        Releasing a lease that is lost already does nothing.
        """
        ...

    def leases(self) -> list[Lease]:
        """All leases on record now, by worker id."""
        ...

    def close(self) -> None:
        """Let go of the connection; leases that were not released run out by themselves."""
        ...
