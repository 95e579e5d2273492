"""A clock that is moved by hand, and stores of leases that go away or have few worker ids."""

from idgen.errors import Conflict, LeaseLost, Unavailable
from idgen.worker_lease import Lease, WorkerLeases

NOW_MS = 1_700_000_000_000


class ManualClock:
    """Both clocks of a machine, moved by hand; a pause moves them too."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.wall = now_ms
        self.steady = 5_000
        self.paused: list[int] = []

    def now_ms(self) -> int:
        return self.wall

    def monotonic_ms(self) -> int:
        return self.steady

    def pause(self, ms: int) -> None:
        self.paused.append(ms)
        self.advance(ms)

    def advance(self, ms: int) -> None:
        self.wall += ms
        self.steady += ms


class Outages:
    """Leases whose store can be away."""

    def __init__(self, inner: WorkerLeases) -> None:
        self.inner = inner
        self.away = False
        self.asked = 0

    def _ask(self) -> WorkerLeases:
        self.asked += 1
        if self.away:
            raise Unavailable("the registry is away")
        return self.inner

    def acquire(self, holder: str, now_ms: int, reserve_ms: int, length_ms: int) -> Lease:
        return self._ask().acquire(holder, now_ms, reserve_ms, length_ms)

    def renew(self, lease: Lease, reserve_to_ms: int) -> Lease:
        return self._ask().renew(lease, reserve_to_ms)

    def release(self, lease: Lease, last_ms: int) -> None:
        self._ask().release(lease, last_ms)

    def leases(self) -> list[Lease]:
        return self._ask().leases()

    def close(self) -> None:
        self.inner.close()


class FewWorkers:
    """Four worker ids in memory, seen by one asker: they are used again and again."""

    def __init__(self, held: dict[int, list[object]], clock: ManualClock) -> None:
        # By worker id: lease, number of writes, whether it is held.
        self._held = held
        self._clock = clock
        self._seen: dict[int, tuple[object, int]] = {}

    def acquire(self, holder: str, now_ms: int, reserve_ms: int, length_ms: int) -> Lease:
        now = self._clock.monotonic_ms()
        for worker, (lease, writes, is_held) in self._held.items():
            if self._seen.get(worker, (None, 0))[0] != writes:
                self._seen[worker] = (writes, now)
            if not is_held or now - self._seen[worker][1] > lease.length_ms:  # type: ignore[attr-defined]
                floor = lease.reserved_ms  # type: ignore[attr-defined]
                reserved = max(now_ms, floor) + reserve_ms
                epoch = lease.epoch + 1  # type: ignore[attr-defined]
                return self._write(Lease(worker, epoch, holder, floor, reserved, length_ms), True)
        raise Conflict("all are taken")

    def renew(self, lease: Lease, reserve_to_ms: int) -> Lease:
        now: Lease = self._held[lease.worker][0]  # type: ignore[assignment]
        if now.epoch != lease.epoch or not self._held[lease.worker][2]:
            raise LeaseLost("taken over")
        return self._write(now._replace(reserved_ms=max(now.reserved_ms, reserve_to_ms)), True)

    def release(self, lease: Lease, last_ms: int) -> None:
        now: Lease = self._held[lease.worker][0]  # type: ignore[assignment]
        if now.epoch == lease.epoch and self._held[lease.worker][2]:
            self._write(now._replace(reserved_ms=max(now.floor_ms, last_ms)), False)

    def _write(self, lease: Lease, is_held: bool) -> Lease:
        writes: int = self._held[lease.worker][1]  # type: ignore[assignment]
        self._held[lease.worker] = [lease, writes + 1, is_held]
        return lease

    def leases(self) -> list[Lease]:
        return [lease for lease, _, is_held in self._held.values() if is_held]  # type: ignore[misc]

    def close(self) -> None:
        self._seen.clear()
