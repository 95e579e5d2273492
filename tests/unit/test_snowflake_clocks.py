"""Clocks that jump, links that are cut and worker ids that change hands, by a clock of the test's.

Stores have one worker id here where it has to be that of a predecessor.
"""

import random
from pathlib import Path

import pytest

from idgen.errors import BadRequest, Unavailable
from idgen.ids import SEQUENCES, WORKERS, at_ms, compose, decompose
from idgen.snowflake import (
    AFTER_MS_MAX,
    AHEAD_MS_MAX,
    CLOCKS_MS_MAX,
    LEASE_MS,
    RENEW_MS,
    STEP_MS_MAX,
    Snowflake,
)
from idgen.worker_lease import Lease
from idgen.worker_lease_sqlite import SqliteWorkerLeases
from tests.unit.snowflake_world import NOW_MS, FewWorkers, ManualClock, Outages

HOUR_MS = 3_600_000
BACK_MS = [10, 5_000, HOUR_MS]
Held = dict[int, list[object]]


def workers(count: int) -> Held:
    return {worker: [Lease(worker, 0, "", 0, 0, 0), 0, False] for worker in range(count)}


def server(held: Held, clock: ManualClock, name: str = "h") -> tuple[Snowflake, Outages]:
    store = Outages(FewWorkers(held, clock))
    return Snowflake(store, clock, name), store


def mark_of(held: Held, worker: int) -> int:
    """Up to which time the registry says that ids may have been given."""
    lease: Lease = held[worker][0]  # type: ignore[assignment]
    return lease.reserved_ms


def refusal(ids: Snowflake, found: list[int]) -> str:
    """Take an id, or say why there is none."""
    try:
        found.append(ids.next_id())
    except Unavailable as error:
        return str(error)
    return ""


@pytest.mark.parametrize("seed", range(30))
def test_whose_link_is_cut_stops_before_another_holds_its_worker_id(seed: int) -> None:
    """Two machines; their walls differ by up to ten seconds, their seconds by up to one percent."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    held = workers(1)
    clocks = [ManualClock(NOW_MS + dice.randint(-CLOCKS_MS_MAX, 0)), ManualClock(NOW_MS)]
    speeds = [1 + dice.uniform(-0.01, 0.01) for _ in clocks]
    (old, link), (new, _) = (server(held, clock, f"h{i}") for i, clock in enumerate(clocks))
    old.tend()
    of_old: list[int] = []
    for step in range(10_000):
        for clock, speed in zip(clocks, speeds, strict=True):
            clock.advance(int(500 * speed))
        link.away = step >= 120 + seed
        old.tend()
        new.tend()
        why = refusal(old, of_old)
        assert not why or "the registry is away" in why
        mark = mark_of(held, 0)
        if new.status().state == "holding":
            break
        assert at_ms(of_old[-1]) <= mark
    assert why, "the old one has stopped when the new one begins"
    lease: Lease = held[0][0]  # type: ignore[assignment]
    assert lease.epoch == 2
    of_new: list[int] = []
    while len(of_new) < 100:
        clocks[1].advance(1_000)
        new.tend()
        try:
            of_new += new.next_ids(3)
        except Unavailable:  # the mark is ahead of its clock
            assert clocks[1].now_ms() < lease.floor_ms
        with pytest.raises(Unavailable):
            old.next_id()
    assert max(of_old) < min(of_new)
    assert at_ms(max(of_old)) <= lease.floor_ms < at_ms(min(of_new))


def test_an_old_holder_that_hears_of_it_goes_on_under_another_worker_id() -> None:
    held, clock = workers(2), ManualClock()
    old, link = server(held, clock, "old")
    old.tend()
    held[1][2] = True  # only the old one's will become free
    held[1][0] = Lease(1, 1, "other", 0, NOW_MS, 10 * LEASE_MS)
    before = old.next_id()
    link.away = True
    new, _ = server(held, clock, "new")
    new.tend()
    clock.advance(LEASE_MS + 1)
    new.tend()
    assert decompose(before).worker == new.status().worker == 0
    link.away, held[1][2] = False, False
    while old.status().state != "holding":
        old.tend()
    assert old.status().worker == 1
    clock.advance(1)
    assert old.next_id() > before


# -- steps of the clock --------------------------------------------------------------------------


@pytest.mark.parametrize("back_ms", BACK_MS)
def test_a_clock_set_back_gives_no_lower_id(back_ms: int) -> None:
    held, clock = workers(1), ManualClock()
    ids, _ = server(held, clock)
    ids.tend()
    before = ids.next_ids(SEQUENCES)  # the millisecond is full
    clock.wall -= back_ms
    if back_ms > AHEAD_MS_MAX:
        with pytest.raises(Unavailable, match="clock is 3600000 ms behind") as caught:
            ids.next_id()
        assert 0 < caught.value.retry_after_ms <= 60_000
        assert "clock" in ids.obstacle()
        clock.advance(back_ms)
        ids.tend()
    found = ids.next_ids(SEQUENCES + 1)
    assert before[-1] < found[0]
    assert found == sorted(set(found))
    assert ids.obstacle() == ""
    assert sum(clock.paused) <= 3 * STEP_MS_MAX, "nobody waits for long"


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("back_ms", BACK_MS)
def test_a_clock_set_back_across_a_restart_gives_nothing_below_the_mark(
    back_ms: int, killed: bool
) -> None:
    """The same worker id: no other is free."""
    held, clock = workers(1), ManualClock()
    first, _ = server(held, clock)
    first.tend()
    before = first.next_ids(5_000)
    again = ManualClock(clock.wall - back_ms)
    second, _ = server(held, again)
    if killed:
        second.tend()
        assert "all are taken" in second.obstacle()
        again.advance(LEASE_MS + 1)
    else:
        first.stop()
    mark = mark_of(held, 0)
    assert at_ms(before[-1]) <= mark
    second.tend()
    found: list[int] = []
    waited_ms = 0
    while not found:
        try:
            found = second.next_ids(100)
        except Unavailable:
            assert again.now_ms() <= mark - AHEAD_MS_MAX, "it is refused for no other reason"
            waited_ms += 1_000
            again.advance(1_000)
            second.tend()
    assert at_ms(found[0]) > mark
    assert set(before).isdisjoint(found)
    assert waited_ms <= back_ms + AHEAD_MS_MAX


@pytest.mark.parametrize("back_ms", BACK_MS)
def test_a_restart_takes_another_worker_id_and_does_not_wait(tmp_path: Path, back_ms: int) -> None:
    clock = ManualClock()
    leases = SqliteWorkerLeases(tmp_path / "leases.db", clock)
    killed = Snowflake(leases, clock, "killed")
    killed.tend()
    before = killed.next_ids(5_000)
    clock.wall = NOW_MS - back_ms
    again = Snowflake(leases, clock, "again")
    again.tend()
    found = again.next_ids(5_000)
    assert at_ms(found[0]) == NOW_MS - back_ms, "at once, by its own clock"
    assert set(before).isdisjoint(found)
    leases.close()


def test_an_hour_forward_and_back(tmp_path: Path) -> None:
    clock = ManualClock()
    leases = SqliteWorkerLeases(tmp_path / "leases.db", clock)
    ids = Snowflake(leases, clock, "h")
    ids.tend()
    found = ids.next_ids(10)
    clock.wall += HOUR_MS
    with pytest.raises(Unavailable, match="reserve") as caught:
        ids.next_id()
    assert caught.value.retry_after_ms <= 100, "more is being asked for"
    ids.tend()
    found += ids.next_ids(10)
    assert at_ms(found[-1]) == NOW_MS + HOUR_MS
    assert leases.leases()[0].reserved_ms >= at_ms(found[-1]), "it was written before"
    clock.wall -= HOUR_MS
    with pytest.raises(Unavailable, match="set it right"):
        ids.next_id()
    assert "clock" in ids.obstacle()
    # A restart is the way out: another worker id, whose mark is not ahead.
    ids.stop()
    again = Snowflake(leases, clock, "again")
    again.tend()
    more = again.next_ids(10)
    assert at_ms(more[0]) == NOW_MS
    assert set(found).isdisjoint(more)
    leases.close()


def test_an_id_is_followed_as_far_ahead_as_clocks_may_differ(tmp_path: Path) -> None:
    """A client took it from a server whose clock is ahead, which is gone now."""
    clock = ManualClock()
    leases = SqliteWorkerLeases(tmp_path / "leases.db", clock)
    ids = Snowflake(leases, clock, "h")
    ids.tend()
    last = compose(NOW_MS + AFTER_MS_MAX, WORKERS - 1, SEQUENCES - 1)
    for _ in range(3):
        following = ids.next_id(last)
        assert following > last
        last = following
    with pytest.raises(BadRequest, match="clocks of the two machines") as caught:
        ids.next_id(compose(NOW_MS + AFTER_MS_MAX + 2, 0, 0))
    assert caught.value.field == "after"
    assert "10002 ms" in caught.value.why
    assert ids.next_id() > last, "others' ids go on above it"
    # However many are asked for: not further ahead than is said.
    found = [last]

    def take_all() -> None:
        while len(found) < 10 * AHEAD_MS_MAX:
            found.append(ids.next_ids(SEQUENCES)[-1])

    with pytest.raises(Unavailable, match="clock"):
        take_all()
    assert at_ms(found[-1]) == NOW_MS + AHEAD_MS_MAX
    assert clock.paused == []
    leases.close()


# -- the registry ----------------------------------------------------------------------------------


def test_the_registry_gone_is_felt_when_the_lease_ends_and_then_named() -> None:
    held, clock = workers(1), ManualClock()
    ids, store = server(held, clock)
    ids.tend()
    clock.advance(RENEW_MS - 1)  # the worst moment: just before it is renewed
    store.away = True
    began = clock.steady
    found = [ids.next_id()]
    while not (why := refusal(ids, found)):
        clock.advance(1_000)
        ids.tend()
    assert "lease of worker id 0 ran out" in why
    assert "the registry is away" in why
    assert found == sorted(set(found))
    assert clock.steady - began > 10 * 60_000, "ten minutes are not felt"
    assert clock.steady - began < LEASE_MS
    assert "the registry is away" in ids.obstacle()
    store.away = False
    ids.tend()
    assert ids.next_id() > found[-1]


def test_with_all_worker_ids_taken_it_is_said_and_the_first_that_stops_leaves_one() -> None:
    held, clock = workers(4), ManualClock()
    running = [server(held, clock, f"h{i}")[0] for i in range(4)]
    for each in running:
        each.tend()
    late, _ = server(held, clock, "late")
    assert late.tend() <= 1_000, "it asks again soon"
    with pytest.raises(Unavailable, match="all are taken"):
        late.next_id()
    before = [each.next_ids(3)[-1] for each in running]
    running[2].stop()
    late.tend()
    assert late.status().worker == 2
    found = late.next_id()
    assert at_ms(found) > at_ms(before[2])
    assert found not in before
