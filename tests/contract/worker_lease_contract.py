"""What every worker-lease adapter must do. Subclass it and override `open_leases`."""

from collections.abc import Callable
from typing import ClassVar

import pytest

from idgen.errors import Conflict, LeaseLost
from idgen.ids import WORKERS
from idgen.worker_lease import Lease, WorkerLeases
from tests.contract.patience import together, until

OpenLeases = Callable[[], WorkerLeases]
NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class WorkerLeaseContract:
    """The contract of idgen.worker_lease.WorkerLeases, with the machine's own clock."""

    patience_s: ClassVar[float] = 60.0

    @pytest.fixture
    def open_leases(self) -> OpenLeases:
        """Override: a callable that opens one more client of one store.

        The store has no leases at the start of each test. The fixture closes the clients.
        """
        raise AssertionError("the subclass gives the fixture open_leases")

    @pytest.fixture
    def store(self, open_leases: OpenLeases) -> WorkerLeases:
        return open_leases()

    def test_a_first_lease_reserves_from_now(self, store: WorkerLeases) -> None:
        assert store.leases() == []
        lease = store.acquire("host-1:99", NOW_MS, 3_000, HOUR_MS)
        assert 0 <= lease.worker < WORKERS
        assert lease.epoch >= 1
        assert lease.holder == "host-1:99"
        assert lease.floor_ms <= NOW_MS
        assert lease.reserved_ms == NOW_MS + 3_000
        assert lease.length_ms == HOUR_MS
        assert store.leases() == [lease]

    def test_every_holder_has_a_worker_id_of_its_own(
        self, store: WorkerLeases, open_leases: OpenLeases
    ) -> None:
        clients = [store, open_leases(), store, open_leases()]

        def take(client: WorkerLeases, i: int) -> list[Lease]:
            return [client.acquire(f"h{i}.{j}", NOW_MS, 1_000, HOUR_MS) for j in range(8)]

        taken = [
            lease
            for of_one in together([lambda c=c, i=i: take(c, i) for i, c in enumerate(clients)])
            for lease in of_one
        ]
        assert len({lease.worker for lease in taken}) == 32
        assert store.leases() == sorted(taken)

    def test_renewing_moves_the_reserve_up_and_never_down(
        self, store: WorkerLeases, open_leases: OpenLeases
    ) -> None:
        lease = store.acquire("h", NOW_MS, 3_000, HOUR_MS)
        renewed = store.renew(lease, NOW_MS + 9_000)
        assert renewed == lease._replace(reserved_ms=NOW_MS + 9_000)
        again = store.renew(renewed, NOW_MS + 5_000)
        assert again.reserved_ms == NOW_MS + 9_000
        assert open_leases().leases() == [again]
        assert store.renew(again, NOW_MS + 9_001).reserved_ms == NOW_MS + 9_001

    def test_a_renewal_of_an_older_view_keeps_the_reserve(self, store: WorkerLeases) -> None:
        # A reply was lost: the holder renews with what it had before.
        lease = store.acquire("h", NOW_MS, 3_000, HOUR_MS)
        store.renew(lease, NOW_MS + 9_000)
        assert store.renew(lease, NOW_MS + 5_000).reserved_ms == NOW_MS + 9_000

    def test_a_released_lease_is_gone_and_stays_gone(self, store: WorkerLeases) -> None:
        lease = store.acquire("h", NOW_MS, 3_000, HOUR_MS)
        store.release(lease, NOW_MS + 10)
        assert store.leases() == []
        with pytest.raises(LeaseLost):
            store.renew(lease, NOW_MS + 9_000)
        store.release(lease, NOW_MS + 10)
        assert store.leases() == []

    def test_a_restarted_holder_takes_another_worker_id(
        self, store: WorkerLeases, open_leases: OpenLeases
    ) -> None:
        first = store.acquire("h", NOW_MS, 3_000, HOUR_MS)
        second = open_leases().acquire("h", NOW_MS, 3_000, HOUR_MS)
        assert first.worker != second.worker

    def test_the_worker_id_that_was_free_longest_is_preferred(self, store: WorkerLeases) -> None:
        seen = set()
        for i in range(40):
            lease = store.acquire("h", NOW_MS + i, 1_000, HOUR_MS)
            assert lease.worker not in seen
            seen.add(lease.worker)
            store.release(lease, NOW_MS + i)

    def test_when_all_are_taken_only_a_released_or_run_out_one_is_given(
        self, store: WorkerLeases, open_leases: OpenLeases
    ) -> None:
        # All clauses that need 1,024 leases are in one test: taking them costs seconds.
        first = store.acquire("first", NOW_MS, 1_000, HOUR_MS)
        store.release(first, NOW_MS + 77)
        short = store.acquire("short", NOW_MS, 5_000, 400)
        held = {short.worker: short}

        def take(client: WorkerLeases) -> list[Lease]:
            return [client.acquire("h", NOW_MS, 1_000, HOUR_MS) for _ in range(255)]

        clients = [store, store, open_leases(), open_leases()]
        for of_one in together([lambda c=c: take(c) for c in clients], self.patience_s):
            held.update((lease.worker, lease) for lease in of_one)
        assert len(held) == 1_021
        # Each worker id has been held once but `first`'s, which was free for the shortest time.
        for _ in range(2):
            lease = store.acquire("h", NOW_MS, 1_000, HOUR_MS)
            held[lease.worker] = lease
        assert first.worker not in held
        last = store.acquire("last", NOW_MS - 50_000, 10, HOUR_MS)
        assert last.worker == first.worker
        assert last.epoch > first.epoch
        # A clock that is behind changes nothing: ids start above what the predecessor gave.
        assert last.floor_ms == NOW_MS + 77
        assert last.reserved_ms == NOW_MS + 87
        held[last.worker] = last
        assert len(held) == WORKERS

        lost = self.take_over(open_leases(), short)
        assert lost.epoch > short.epoch
        assert lost.floor_ms == short.reserved_ms
        assert lost.reserved_ms == short.reserved_ms + 10
        with pytest.raises(LeaseLost):
            store.renew(short, NOW_MS + 9_000)
        store.release(short, NOW_MS)
        held[lost.worker] = lost
        assert store.leases() == [held[w] for w in range(WORKERS)]
        with pytest.raises(Conflict, match=r"1,?024"):
            open_leases().acquire("one too many", NOW_MS, 10, HOUR_MS)

    def take_over(self, store: WorkerLeases, short: Lease) -> Lease:
        """Ask until the short lease, which nobody renews, is given to us."""
        refused = 0

        def ask() -> Lease | None:
            nonlocal refused
            try:
                return store.acquire("heir", NOW_MS - 9_000, 10, HOUR_MS)
            except Conflict:
                refused += 1
                return None

        lease = until("the short lease has run out", ask, self.patience_s)
        assert lease is not None
        assert refused, "a new asker has to see the record unchanged for its whole length"
        assert lease.worker == short.worker
        return lease
