"""The worker-lease seam over ZooKeeper: a znode per worker id, changed by versioned writes.

The znodes are persistent and not ephemeral on purpose. A session ends some seconds after its
server was stopped or cut off, while its process may go on giving ids; and what has to survive the
holder is exactly the record: its epoch and its reserve. So a lease has run out when the asker has
seen its record unchanged, by the asker's own monotonic clock, for as long as the record says; a
holder stops before that by its own. No wall clock and no session takes part, and an outage of
ZooKeeper ends no lease.

A record is JSON, for whoever looks with ZooKeeper's own tools.
"""

import random
from typing import Any

import msgspec
from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    SessionExpiredError,
)

from idgen.clock import Clock
from idgen.errors import (
    Conflict,
    Corrupt,
    LeaseLost,
    PermissionDenied,
    Unavailable,
)
from idgen.ids import WORKERS
from idgen.worker_lease import Lease

_AWAY = (ConnectionLoss, ConnectionClosedError, SessionExpiredError, OperationTimeoutError)
_WRITES_MAX = 8
"""How often a versioned write is tried that others keep overtaking."""


def answered(client: KazooClient, asked: Any, what: str, timeout_ms: int) -> Any:
    """The result of one of kazoo's asynchronous calls, waited for with a bound.

    kazoo's own blocking calls wait without end for a lost connection to come back. Raises
    Unavailable, PermissionDenied, and kazoo's other errors as they are.
    """
    try:
        return asked.get(timeout=timeout_ms / 1000)
    except _AWAY as error:
        raise Unavailable(f"{what}: ZooKeeper is away ({type(error).__name__})") from error
    except client.handler.timeout_exception as error:
        raise Unavailable(f"{what}: no answer from ZooKeeper in {timeout_ms} ms") from error
    except (NoAuthError, AuthFailedError) as error:
        raise PermissionDenied(
            f"{what}: ZooKeeper's ACL does not allow it; check zookeeper.user and "
            "zookeeper.password"
        ) from error


class _Record(msgspec.Struct):
    """What a znode holds; `reserved_ms` is the successor's floor once `held` is false."""

    epoch: int
    holder: str
    floor_ms: int
    reserved_ms: int
    length_ms: int
    held: bool


class _Seen(msgspec.Struct):
    """A record as it is in ZooKeeper: its znode's version and its last transaction."""

    record: _Record
    version: int
    zxid: int


class ZooKeeperWorkerLeases:
    """Worker leases under `root`. All verbs may be called from many threads.

    `client` is made, started and stopped by the caller.
    """

    def __init__(
        self, client: KazooClient, root: str, clock: Clock, *, timeout_ms: int = 5_000
    ) -> None:
        self._client = client
        self._root = root.rstrip("/")
        self._clock = clock
        self._timeout_ms = timeout_ms
        # By worker id: the transaction that last changed it, and since when it is unchanged.
        self._unchanged: dict[int, tuple[int, int]] = {}

    def acquire(self, holder: str, now_ms: int, reserve_ms: int, length_ms: int) -> Lease:
        """See `WorkerLeases.acquire`.

        Worker ids that were never held come first and cost two round trips; once all have been,
        every record is read and the one that was released first is taken, then one that ran out.
        """
        for _ in range(_WRITES_MAX):
            unused = sorted(set(range(WORKERS)) - self._known())
            if not unused:
                break
            # Any one will do, and askers at one moment should not all want the same.
            worker = random.choice(unused)
            record = _Record(1, holder, 0, now_ms + reserve_ms, length_ms, held=True)
            if self._create(worker, record):
                return _lease(worker, record)
        for _ in range(_WRITES_MAX):
            worker, seen = self._free_longest()
            floor = seen.record.reserved_ms
            record = _Record(
                seen.record.epoch + 1,
                holder,
                floor,
                max(now_ms, floor) + reserve_ms,
                length_ms,
                held=True,
            )
            if self._write(worker, record, seen.version):
                return _lease(worker, record)
        raise Unavailable("taking a worker id: others were faster each time", retry_after_ms=100)

    def renew(self, lease: Lease, reserve_to_ms: int) -> Lease:
        """See `WorkerLeases.renew`."""
        for _ in range(_WRITES_MAX):
            seen = self._read(lease.worker)
            if seen is None or not _is_of(seen.record, lease):
                raise LeaseLost(
                    f"worker id {lease.worker} of epoch {lease.epoch} is no longer held by "
                    f"{lease.holder}: no more ids can be given under it"
                )
            record = seen.record
            record.reserved_ms = max(record.reserved_ms, reserve_to_ms)
            if self._write(lease.worker, record, seen.version):
                return _lease(lease.worker, record)
        raise Unavailable(f"renewing worker id {lease.worker}: its record changes all the time")

    def release(self, lease: Lease, last_ms: int) -> None:
        """See `WorkerLeases.release`."""
        for _ in range(_WRITES_MAX):
            seen = self._read(lease.worker)
            if seen is None or not _is_of(seen.record, lease):
                return
            record = seen.record
            record.held = False
            record.reserved_ms = max(record.floor_ms, last_ms)
            if self._write(lease.worker, record, seen.version):
                return
        raise Unavailable(f"releasing worker id {lease.worker}: its record changes all the time")

    def leases(self) -> list[Lease]:
        """See `WorkerLeases.leases`; also those that ran out and were not taken over."""
        found = self._read_all()
        return [_lease(worker, seen.record) for worker, seen in found.items() if seen.record.held]

    def close(self) -> None:
        """See `WorkerLeases.close`: the client is its maker's."""

    # -- which to take -----------------------------------------------------------------------

    def _free_longest(self) -> tuple[int, _Seen]:
        """The worker id to take when each has been held once."""
        found = self._read_all()
        now = self._clock.monotonic_ms()
        run_out = self._observe(found, now)
        # ZooKeeper orders all transactions: the lowest is the release that was first.
        released = [(seen.zxid, worker) for worker, seen in found.items() if not seen.record.held]
        for _, worker in sorted(released) or sorted(run_out):
            return worker, found[worker]
        raise Conflict(
            f"all {WORKERS} worker ids are taken; one becomes free when its holder stops, or when "
            "its record has been seen unchanged for the length of its lease"
        )

    def _observe(self, found: dict[int, _Seen], now: int) -> list[tuple[int, int]]:
        """Remember since when each record is unchanged: (that moment, worker id) if run out."""
        run_out = []
        for worker, seen in found.items():
            zxid, since = self._unchanged.get(worker, (-1, now))
            if zxid != seen.zxid:
                since = now
                self._unchanged[worker] = (seen.zxid, since)
            if now - since > seen.record.length_ms:
                run_out.append((since, worker))
        return run_out

    # -- znodes ------------------------------------------------------------------------------

    def _path(self, worker: int) -> str:
        return f"{self._root}/{worker:04d}"

    def _ask(self, what: str, asked: Any) -> Any:
        return answered(self._client, asked, what, self._timeout_ms)

    def _known(self) -> set[int]:
        try:
            names = self._ask("listing worker ids", self._client.get_children_async(self._root))
        except NoNodeError:
            return set()
        return {int(name) for name in names if name.isdecimal()}

    def _create(self, worker: int, record: _Record) -> bool:
        data = msgspec.json.encode(record)
        try:
            self._ask(
                f"taking worker id {worker}",
                self._client.create_async(self._path(worker), data, makepath=True),
            )
        except NodeExistsError:
            return False
        return True

    def _read(self, worker: int) -> _Seen | None:
        what = f"reading worker id {worker}"
        try:
            answer = self._ask(what, self._client.get_async(self._path(worker)))
        except NoNodeError:
            return None
        return _seen(worker, answer)

    def _read_all(self) -> dict[int, _Seen]:
        """Every record there is; all are asked for at once, then waited for."""
        asked = {
            worker: self._client.get_async(self._path(worker)) for worker in sorted(self._known())
        }
        found = {}
        for worker, answer in asked.items():
            try:
                data = self._ask(f"reading worker id {worker}", answer)
            except NoNodeError:
                continue
            found[worker] = _seen(worker, data)
        return found

    def _write(self, worker: int, record: _Record, version: int) -> bool:
        """Write if the znode is of `version`; False if it is not, or is gone."""
        data = msgspec.json.encode(record)
        try:
            self._ask(
                f"writing worker id {worker}",
                self._client.set_async(self._path(worker), data, version),
            )
        except (BadVersionError, NoNodeError):
            return False
        return True


def _seen(worker: int, answer: Any) -> _Seen:
    data, stat = answer
    try:
        record = msgspec.json.decode(data, type=_Record)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"the record of worker id {worker} is no lease: {error}") from error
    return _Seen(record, stat.version, stat.mzxid)


def _is_of(record: _Record, lease: Lease) -> bool:
    return record.held and record.epoch == lease.epoch and record.holder == lease.holder


def _lease(worker: int, record: _Record) -> Lease:
    return Lease(
        worker,
        record.epoch,
        record.holder,
        record.floor_ms,
        record.reserved_ms,
        record.length_ms,
    )
