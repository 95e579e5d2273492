"""Worker leases in an SQLite file."""

import threading
from pathlib import Path

from idgen.clock import Clock
from idgen.errors import Conflict, LeaseLost
from idgen.file_sqlite import Connection, SqliteFile
from idgen.ids import WORKERS
from idgen.worker_lease import Lease

_SCHEMA = {
    # beat grows with every write of a holder; change grows over all rows, so it orders them by
    # when they were last touched, without a clock.
    "worker_leases": """
        CREATE TABLE worker_leases (
            worker INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, holder TEXT NOT NULL,
            floor_ms INTEGER NOT NULL, reserved_ms INTEGER NOT NULL, length_ms INTEGER NOT NULL,
            beat INTEGER NOT NULL, change INTEGER NOT NULL, held INTEGER NOT NULL
        )""",
}
_NEXT_CHANGE = "(SELECT coalesce(max(change), 0) + 1 FROM worker_leases)"


class SqliteWorkerLeases:
    """The worker-lease seam on one file, for processes of one machine."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._file = SqliteFile(path, _SCHEMA)
        self._seen: dict[int, tuple[int, int, int]] = {}
        """By worker id: epoch and beat of its record, and since when (monotonic) they are that."""
        self._seen_lock = threading.Lock()

    def acquire(self, holder: str, now_ms: int, reserve_ms: int, length_ms: int) -> Lease:
        """Take a worker id: one never used, else the one released longest ago, else one whose
        holder was silent for its whole length before our eyes."""

        def job(connection: Connection) -> Lease:
            worker = self._free(connection)
            row = connection.execute(
                "SELECT epoch, reserved_ms FROM worker_leases WHERE worker = ?", (worker,)
            ).fetchone()
            epoch, floor_ms = (row[0] + 1, row[1]) if row else (1, 0)
            reserved_ms = max(now_ms, floor_ms) + reserve_ms
            connection.execute(
                f"INSERT OR REPLACE INTO worker_leases VALUES (?,?,?,?,?,?,0,{_NEXT_CHANGE},1)",  # noqa: S608 - a constant
                (worker, epoch, holder, floor_ms, reserved_ms, length_ms),
            )
            return Lease(worker, epoch, holder, floor_ms, reserved_ms, length_ms)

        return self._file.write(job)

    def _free(self, connection: Connection) -> int:
        """The worker id to give next. Raises Conflict."""
        used = connection.execute("SELECT count(*) FROM worker_leases").fetchone()[0]
        if used < WORKERS:
            # Never used ids go from 0 up, so their first is the number of the used ones.
            return int(used)
        released = connection.execute(
            "SELECT worker FROM worker_leases WHERE NOT held ORDER BY change LIMIT 1"
        ).fetchone()
        if released is not None:
            return int(released[0])
        run_out = self._run_out(connection)
        if run_out is None:
            raise Conflict(
                f"all {WORKERS:,} worker ids are held; stop processes that give ids, or wait until "
                "the leases of killed ones have run out"
            )
        return run_out

    def _run_out(self, connection: Connection) -> int | None:
        """The worker id silent longest of those unchanged for their length as seen from here."""
        now_ms = self._clock.monotonic_ms()
        found = None
        with self._seen_lock:
            rows = connection.execute(
                "SELECT worker, epoch, beat, length_ms FROM worker_leases ORDER BY change"
            )
            for worker, epoch, beat, length_ms in rows:
                seen = self._seen.get(worker)
                if seen is None or seen[:2] != (epoch, beat):
                    seen = self._seen[worker] = (epoch, beat, now_ms)
                if found is None and now_ms - seen[2] >= length_ms:
                    found = worker
        return found

    def renew(self, lease: Lease, reserve_to_ms: int) -> Lease:
        """Extend the lease, unless another epoch of the worker id has begun or it was released."""

        def job(connection: Connection) -> Lease:
            row = connection.execute(
                "UPDATE worker_leases SET beat = beat + 1, reserved_ms = max(reserved_ms, ?), "  # noqa: S608 - a constant
                f"change = {_NEXT_CHANGE} WHERE worker = ? AND epoch = ? AND held "
                "RETURNING reserved_ms",
                (reserve_to_ms, lease.worker, lease.epoch),
            ).fetchone()
            if row is None:
                raise LeaseLost(
                    f"worker id {lease.worker} is no longer held under epoch {lease.epoch}; "
                    "give no more ids under it and acquire anew"
                )
            return lease._replace(reserved_ms=row[0])

        return self._file.write(job)

    def release(self, lease: Lease, last_ms: int) -> None:
        """Give the worker id back; its next holder starts above `last_ms`."""

        def job(connection: Connection) -> None:
            connection.execute(
                "UPDATE worker_leases SET held = 0, "  # noqa: S608 - a constant
                f"reserved_ms = min(reserved_ms, max(floor_ms, ?)), change = {_NEXT_CHANGE} "
                "WHERE worker = ? AND epoch = ? AND held",
                (last_ms, lease.worker, lease.epoch),
            )

        self._file.write(job)

    def leases(self) -> list[Lease]:
        """All leases that were not released, by worker id."""
        rows = self._file.read(
            "SELECT worker, epoch, holder, floor_ms, reserved_ms, length_ms FROM worker_leases "
            "WHERE held ORDER BY worker"
        )
        return [Lease(*row) for row in rows]

    def close(self) -> None:
        """Close the file; leases stay on record until they have run out."""
        self._file.close()
