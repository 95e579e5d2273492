"""When an id may be given, on a clock that the test moves and a lease in a file."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from idgen.errors import BadRequest, Conflict, LeaseLost, Unavailable
from idgen.ids import ID_EPOCH_MS, MAX_ID, SEQUENCES, at_ms, compose, decompose
from idgen.snowflake import (
    AFTER_MS_MAX,
    AHEAD_MS_MAX,
    IDS_MAX,
    LEASE_MS,
    NEXT_STATES,
    RENEW_MS,
    LeaseState,
    Snowflake,
)
from idgen.worker_lease import Lease
from idgen.worker_lease_sqlite import SqliteWorkerLeases
from tests.contract.patience import together, until
from tests.unit.snowflake_world import NOW_MS, FewWorkers, ManualClock, Outages


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def leases(tmp_path: Path, clock: ManualClock) -> Iterator[Outages]:
    leases = Outages(SqliteWorkerLeases(tmp_path / "leases.db", clock))
    yield leases
    leases.close()


@pytest.fixture
def ids(leases: Outages, clock: ManualClock) -> Snowflake:
    ids = Snowflake(leases, clock, "host:1")
    ids.tend()
    return ids


def increasing(found: list[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(found))


def test_an_id_says_when_and_where_it_was_given(ids: Snowflake, leases: Outages) -> None:
    (lease,) = leases.leases()
    assert decompose(ids.next_id()) == (NOW_MS, lease.worker, 0)
    assert decompose(ids.next_id()) == (NOW_MS, lease.worker, 1)


def test_without_a_lease_no_id_is_given(leases: Outages, clock: ManualClock) -> None:
    ids = Snowflake(leases, clock, "host:1")
    for call in (ids.next_id, lambda: ids.next_ids(3)):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.retry_after_ms > 0
    leases.away = True
    assert ids.tend() <= 1_000
    assert "away" in ids.status().trouble
    assert ids.status().state == "new"
    leases.away = False
    ids.tend()
    assert ids.next_id() > 0
    assert ids.status()[:3] == ("holding", leases.leases()[0].worker, 1)
    assert ids.status().trouble == ""


def test_a_full_millisecond_is_followed_by_the_next(ids: Snowflake, clock: ManualClock) -> None:
    found = ids.next_ids(SEQUENCES + 2)
    assert increasing(found)
    assert [at_ms(found[i]) for i in (0, SEQUENCES - 1, SEQUENCES)] == [NOW_MS, NOW_MS, NOW_MS + 1]
    assert clock.paused == [1]
    assert decompose(found[SEQUENCES]).sequence == 0


def test_the_largest_request_is_served_and_more_is_refused(ids: Snowflake) -> None:
    found = ids.next_ids(IDS_MAX)
    assert len(set(found)) == IDS_MAX
    assert increasing(found)
    for n in (0, -1, IDS_MAX + 1):
        with pytest.raises(BadRequest) as caught:
            ids.next_ids(n)
        assert caught.value.field == "n"


def test_a_small_step_back_is_waited_out(ids: Snowflake, clock: ManualClock) -> None:
    before = ids.next_id()
    clock.wall -= 7
    after = ids.next_id()
    assert clock.paused == [7]
    assert after > before


def test_a_larger_step_back_goes_on_above_the_last_id(ids: Snowflake, clock: ManualClock) -> None:
    before = ids.next_id()
    clock.wall -= AHEAD_MS_MAX
    found = ids.next_ids(3)
    assert increasing([before, *found])
    assert at_ms(found[-1]) == NOW_MS
    assert clock.paused == []


def test_a_big_step_back_is_refused_until_the_clock_is_near(
    ids: Snowflake, clock: ManualClock
) -> None:
    before = ids.next_id()
    clock.wall -= 3_600_000
    with pytest.raises(Unavailable) as caught:
        ids.next_id()
    assert caught.value.retry_after_ms == 60_000
    clock.wall = NOW_MS - AHEAD_MS_MAX
    assert ids.next_id() > before


def test_no_id_is_above_the_reserve(ids: Snowflake, leases: Outages, clock: ManualClock) -> None:
    (lease,) = leases.leases()
    clock.wall = lease.reserved_ms
    assert at_ms(ids.next_id()) == lease.reserved_ms
    # The wall clock jumps; the lease goes on by the monotonic one.
    clock.wall = lease.reserved_ms + 1
    with pytest.raises(Unavailable):
        ids.next_id()
    assert ids.tend() > 0
    assert at_ms(ids.next_id()) == lease.reserved_ms + 1
    assert leases.leases()[0].reserved_ms == lease.reserved_ms + 1 + LEASE_MS


def test_an_outage_of_ten_minutes_is_not_felt(
    ids: Snowflake, leases: Outages, clock: ManualClock
) -> None:
    leases.away = True
    found = []
    for _ in range(601):
        clock.advance(1_000)
        ids.tend()
        found.append(ids.next_id())
    assert increasing(found)
    assert "away" in ids.status().trouble
    leases.away = False
    ids.tend()
    assert ids.status().trouble == ""
    assert ids.status().lease_left_ms > LEASE_MS * 9 // 10


def test_ids_stop_before_the_lease_can_have_run_out_and_go_on_when_it_is_renewed(
    ids: Snowflake, leases: Outages, clock: ManualClock
) -> None:
    leases.away = True
    clock.wall -= 1_000_000  # a clock that is far behind does not stretch the lease
    clock.steady += LEASE_MS - LEASE_MS // 50
    with pytest.raises(Unavailable, match="ran out"):
        ids.next_id()
    assert ids.status().state == "expired"
    ids.tend()
    with pytest.raises(Unavailable, match="expired"):
        ids.next_id()
    leases.away = False
    clock.wall += 1_000_000
    ids.tend()
    assert ids.next_id() > 0
    assert ids.status().epoch == 1


def test_a_lease_is_renewed_early_and_not_more_often(
    ids: Snowflake, leases: Outages, clock: ManualClock
) -> None:
    before = leases.asked
    assert ids.tend() == RENEW_MS
    clock.advance(RENEW_MS - 1)
    assert ids.tend() == 1
    assert leases.asked == before
    clock.advance(1)
    assert ids.tend() == RENEW_MS
    assert leases.asked == before + 1
    assert leases.leases()[0].reserved_ms == NOW_MS + RENEW_MS + LEASE_MS


def test_who_lost_its_lease_goes_on_under_another_worker_id(
    ids: Snowflake, leases: Outages, clock: ManualClock
) -> None:
    before = ids.next_ids(5)
    (lease,) = leases.leases()
    leases.inner.release(lease, at_ms(before[-1]))
    clock.advance(RENEW_MS)
    clock.wall = NOW_MS
    assert ids.tend() == 0
    assert ids.status().worker == -1
    with pytest.raises(Unavailable):
        ids.next_id()
    ids.tend()
    assert leases.leases()[0].worker != lease.worker
    assert ids.next_id() > before[-1]


def test_a_successor_starts_above_all_that_may_have_been_given(clock: ManualClock) -> None:
    class OneWorker:
        """A store with worker id 3 alone, whose predecessor reserved up to 4 s from now."""

        floor_ms = NOW_MS + 4_000

        def acquire(self, holder: str, now_ms: int, reserve_ms: int, length_ms: int) -> Lease:
            reserved = max(now_ms, self.floor_ms) + reserve_ms
            return Lease(3, 2, holder, self.floor_ms, reserved, length_ms)

    ids = Snowflake(OneWorker(), clock, "host:2")  # type: ignore[arg-type]
    ids.tend()
    assert ids.next_id() == compose(NOW_MS + 4_001, 3, 0)


def test_a_worker_id_with_a_floor_far_ahead_is_given_back_for_another(
    leases: Outages, clock: ManualClock
) -> None:
    """Its last holder's clock was an hour ahead."""
    handed: list[Lease] = []
    released: list[Lease] = []

    class Spoiled(Outages):
        def acquire(self, holder: str, now_ms: int, reserve_ms: int, length_ms: int) -> Lease:
            lease = super().acquire(holder, now_ms, reserve_ms, length_ms)
            if not handed:
                lease = lease._replace(floor_ms=NOW_MS + 3_600_000)
            handed.append(lease)
            return lease

        def release(self, lease: Lease, last_ms: int) -> None:
            assert last_ms == lease.floor_ms
            released.append(lease)
            super().release(lease, last_ms)

    ids = Snowflake(Spoiled(leases), clock, "host:3")
    ids.tend()
    assert [lease.worker for lease in released] == [handed[0].worker]
    assert decompose(ids.next_id()) == (NOW_MS, handed[1].worker, 0)


def test_an_id_follows_the_one_it_is_asked_to_follow(ids: Snowflake, clock: ManualClock) -> None:
    for after in (
        compose(NOW_MS, 1_023, SEQUENCES - 1),
        compose(NOW_MS + 700, 1_023, 5),
        compose(NOW_MS - 3_000, 0, 0),
        1,
    ):
        last = ids.next_id()
        found = ids.next_id(after)
        assert found > max(after, last)
    for bad in (-1, MAX_ID + 1, compose(clock.now_ms() + AFTER_MS_MAX + 1, 0, 0)):
        with pytest.raises(BadRequest) as caught:
            ids.next_id(bad)
        assert caught.value.field == "after"


def test_a_clean_stop_gives_the_reserve_back(
    ids: Snowflake, leases: Outages, clock: ManualClock
) -> None:
    last = ids.next_ids(3)[-1]
    released: list[tuple[int, int]] = []
    inner = leases.inner

    class Recording(Outages):
        def release(self, lease: Lease, last_ms: int) -> None:
            released.append((lease.worker, last_ms))
            super().release(lease, last_ms)

    leases.inner = Recording(inner)
    ids.stop()
    ids.stop()
    assert released == [(decompose(last).worker, at_ms(last))]
    assert leases.leases() == []
    with pytest.raises(Unavailable, match="stopped"):
        ids.next_id()
    assert ids.status().state == "stopped"
    assert ids.tend() > 0
    assert leases.leases() == []


def test_a_stop_while_the_registry_is_away_leaves_the_lease_to_run_out(
    ids: Snowflake, leases: Outages
) -> None:
    leases.away = True
    ids.stop()
    leases.away = False
    assert len(leases.leases()) == 1


def test_a_started_generator_holds_a_lease_and_renews_it_by_itself(
    leases: Outages, clock: ManualClock
) -> None:
    ids = Snowflake(leases, clock, "host:1", renew_ms=20)
    assert ids.start(wait_ms=30_000)
    assert ids.next_id() > 0

    def renewed() -> bool:
        clock.advance(20)
        return leases.leases()[0].reserved_ms >= NOW_MS + 100 + LEASE_MS

    until("the lease is renewed", renewed, 30)
    ids.stop()
    assert leases.leases() == []


def test_starting_without_a_registry_is_no_failure(leases: Outages, clock: ManualClock) -> None:
    leases.away = True
    ids = Snowflake(leases, clock, "host:1")
    assert not ids.start(wait_ms=50)
    leases.away = False
    assert ids.start(wait_ms=30_000)
    ids.stop()


def test_many_threads_get_different_increasing_ids(ids: Snowflake) -> None:
    def take(seed: int) -> list[int]:
        dice = random.Random(seed)
        found: list[int] = []
        for _ in range(200):
            found += [ids.next_id()] if dice.random() < 0.5 else ids.next_ids(dice.randint(1, 60))
        return found

    taken = together([lambda s=s: take(s) for s in range(4)])  # type: ignore[misc]
    assert all(increasing(found) for found in taken)
    together_ids = [one for found in taken for one in found]
    assert len(set(together_ids)) == len(together_ids)
    assert ids.status().ids_given == len(together_ids)


class Town:
    """Three generators that share four worker ids, and all that can happen to them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clocks = [ManualClock(NOW_MS + self.dice.randint(-4_000, 4_000)) for _ in range(3)]
        self.held: dict[int, list[object]] = {
            worker: [Lease(worker, 0, "", 0, 0, 0), 0, False] for worker in range(4)
        }
        self.stores = [Outages(FewWorkers(self.held, clock)) for clock in self.clocks]
        self.running = [Snowflake(self.stores[i], self.clocks[i], f"h{i}") for i in range(3)]
        self.replaced: list[tuple[Snowflake, ManualClock]] = []
        self.last = [0, 0, 0]
        self.seen: set[int] = set()
        self.times_given = 0

    def step(self) -> None:
        i = self.dice.randrange(3)
        self.running[i].tend()
        acts = [self.give, self.wake, self.jump, self.cut, self.advance, self.restart]
        self.dice.choices(acts, weights=[3, 1, 1, 1, 2, 1])[0](i)

    def give(self, i: int) -> None:
        found = self.ask(self.running[i], self.dice.choice([1, 2, 5_000]))
        assert increasing([self.last[i], *found])
        if found:
            self.last[i] = found[-1]
            self.times_given += 1

    def wake(self, _: int) -> None:
        """One that was replaced and perhaps not stopped: its machine was only suspended."""
        if self.replaced:
            asleep, clock = self.dice.choice(self.replaced)
            clock.wall = max(clock.wall for clock in self.clocks)
            self.ask(asleep, 3)

    def ask(self, ids: Snowflake, n: int) -> list[int]:
        try:
            found = ids.next_ids(n)
        except Unavailable:
            return []
        assert self.seen.isdisjoint(found)
        self.seen.update(found)
        return found

    def restart(self, i: int) -> None:
        if self.dice.random() < 0.5:
            self.running[i].stop()
        self.replaced.append((self.running[i], self.clocks[i]))
        clock = ManualClock(self.clocks[i].wall)
        clock.steady = self.clocks[i].steady
        self.clocks[i], self.stores[i] = clock, Outages(FewWorkers(self.held, clock))
        self.running[i] = Snowflake(self.stores[i], clock, f"h{i}")
        self.last[i] = 0

    def jump(self, i: int) -> None:
        self.clocks[i].wall += self.dice.choice([-3_600_000, -200, -5, 5, 200, 3_600_000])

    def cut(self, i: int) -> None:
        self.stores[i].away = not self.stores[i].away

    def advance(self, _: int) -> None:
        step = self.dice.choice([1, 1_000, 70_000, LEASE_MS])
        for clock in self.clocks:
            clock.advance(step)
            clock.steady += self.dice.randint(0, step // 100)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_clocks_and_registry_do_ids_are_unique_and_increase(seed: int) -> None:
    """The worker ids change hands all the time, and who was replaced goes on unaware of it."""
    town = Town(seed)
    for _ in range(800):
        town.step()
    assert town.times_given > 20, "ids were given"
    assert max(lease.epoch for lease, _, _ in town.held.values()) > 1  # type: ignore[attr-defined]


def test_every_state_of_a_lease_has_its_followers() -> None:
    assert set(NEXT_STATES) == set(LeaseState)
    assert NEXT_STATES[LeaseState.STOPPED] == frozenset()


def test_conflict_and_loss_are_told_apart(clock: ManualClock) -> None:
    class Full:
        def acquire(self, *_: object) -> Lease:
            raise Conflict("all 1,024 worker ids are taken")

        def renew(self, *_: object) -> Lease:
            raise LeaseLost("gone")

    ids = Snowflake(Full(), clock, "host:1")  # type: ignore[arg-type]
    ids.tend()
    assert ids.status().trouble == "conflict: all 1,024 worker ids are taken"
    with pytest.raises(Unavailable, match="1,024"):
        ids.next_id()


def test_a_clock_before_the_first_id_is_refused(leases: Outages) -> None:
    early = ManualClock(ID_EPOCH_MS - 1_000_000)
    ids = Snowflake(leases, early, "host:1")
    ids.tend()
    with pytest.raises(Unavailable):
        ids.next_id()
