"""Worker leases in SQLite by a clock that the test moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from idgen.errors import Conflict, LeaseLost
from idgen.ids import WORKERS
from idgen.worker_lease import Lease
from idgen.worker_lease_sqlite import SqliteWorkerLeases
from tests.unit.firehose_world import NOW_MS, ManualClock

LENGTH_MS = 900_000


class Store:
    """A full store: worker 0 held for LENGTH_MS, all others for ever; askers with own clocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[SqliteWorkerLeases] = []
        self.holder = self.open(ManualClock())
        self.lease = self.holder.acquire("holder", NOW_MS, 3_000, LENGTH_MS)
        rows = [(w, 1, "for ever", 0, NOW_MS, 10**15, 0, w + 2, 1) for w in range(1, WORKERS)]
        self.holder._file.write(
            lambda c: (
                c.executemany("INSERT INTO worker_leases VALUES (?,?,?,?,?,?,?,?,?)", rows).rowcount
            )
        )

    def open(self, clock: ManualClock) -> SqliteWorkerLeases:
        self.opened.append(SqliteWorkerLeases(self.path, clock))
        return self.opened[-1]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "leases.db")
    yield store
    for each in store.opened:
        each.close()


def ask(leases: SqliteWorkerLeases, now_ms: int = NOW_MS) -> Lease | None:
    try:
        return leases.acquire("heir", now_ms, 10, LENGTH_MS)
    except Conflict:
        return None


def test_a_lease_runs_out_when_seen_unchanged_for_its_whole_length(store: Store) -> None:
    clock = ManualClock(5)
    heir = store.open(clock)
    assert ask(heir) is None
    clock.ms += LENGTH_MS - 1
    assert ask(heir) is None
    clock.ms += 1
    lease = ask(heir)
    assert lease is not None
    assert (lease.worker, lease.epoch) == (store.lease.worker, 2)
    assert lease.floor_ms == store.lease.reserved_ms
    with pytest.raises(LeaseLost, match="epoch 1"):
        store.holder.renew(store.lease, NOW_MS + 60_000)


def test_a_renewal_begins_the_watch_anew_even_if_it_reserves_nothing(store: Store) -> None:
    clock = ManualClock(5)
    heir = store.open(clock)
    assert ask(heir) is None
    clock.ms += LENGTH_MS - 1
    store.lease = store.holder.renew(store.lease, 0)
    assert ask(heir) is None
    clock.ms += LENGTH_MS - 1
    assert ask(heir) is None
    clock.ms += 1
    assert ask(heir) is not None


def test_the_wall_clock_and_what_others_saw_count_for_nothing(store: Store) -> None:
    early, late = ManualClock(5), ManualClock(10**9)
    first, second = store.open(early), store.open(late)
    assert ask(first) is None
    early.ms += LENGTH_MS
    # The second asker sees the record for the first time, however late its clocks are.
    assert ask(second, NOW_MS + 10**9) is None
    assert ask(first) is not None


def test_a_released_worker_id_is_given_at_once(store: Store) -> None:
    heir = store.open(ManualClock(5))
    store.holder.release(store.lease, NOW_MS + 1)
    lease = ask(heir, NOW_MS - 10**6)
    assert lease is not None
    assert (lease.floor_ms, lease.reserved_ms) == (NOW_MS + 1, NOW_MS + 11)


def test_a_release_gives_nothing_back_below_the_floor_and_adds_nothing(tmp_path: Path) -> None:
    leases = SqliteWorkerLeases(tmp_path / "l.db", ManualClock())
    first = leases.acquire("h", NOW_MS, 3_000, LENGTH_MS)
    leases.release(first, NOW_MS + 10**9)
    row = "SELECT reserved_ms, floor_ms FROM worker_leases"
    assert leases._file.read(row) == [(NOW_MS + 3_000, 0)]
    # A holder that gave no id at all may say so with any number.
    leases._file.write(
        lambda c: c.execute("UPDATE worker_leases SET held = 1, floor_ms = ?", (NOW_MS,)).rowcount
    )
    leases.release(first, -1)
    assert leases._file.read(row) == [(NOW_MS, NOW_MS)]
    leases.close()
