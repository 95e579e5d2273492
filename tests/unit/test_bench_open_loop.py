"""An open loop: what is due is counted, also while a server stalls."""

import itertools
import threading

import pytest

from ops.bench.open_loop import Call, Latencies, due_times, run_open_loop


class ScriptedTime:
    """A clock that goes on only when somebody waits or works."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def until(self, at: float) -> None:
        self.at = max(self.at, at)


def slow_server(time: ScriptedTime, stalls: dict[int, float]) -> Call:
    """Answers in a millisecond, but for the named requests."""

    def call(number: int) -> None:
        time.at += stalls.get(number, 0.001)

    return call


def run(rate: float, seconds: float, stalls: dict[int, float]) -> Latencies:
    time = ScriptedTime()
    due = due_times(rate, seconds, poisson=False)
    return run_open_loop(due, 0.0, [slow_server(time, stalls)], time)


def test_a_quick_server_is_quick():
    found = run(100, 10, {})
    assert found.count == 1000
    assert found.ms(50) == pytest.approx(1, rel=0.01)
    assert found.ms(99.9) == pytest.approx(1, rel=0.01)


def test_a_stall_of_a_second_is_felt_by_all_who_came_meanwhile():
    found = run(100, 20, {500: 1.0})
    # 100 of 2,000 requests were due during the stall and waited up to a second for it.
    assert found.ms(99) > 750
    assert found.ms(96) > 100
    assert found.ms(90) == pytest.approx(1, rel=0.01)
    assert found.ms(100) == pytest.approx(1000, rel=0.01)
    # A closed loop would have seen one slow request, and a perfect p99.
    assert found.closed_ms(99) == pytest.approx(1, rel=0.01)


def test_nothing_that_was_due_is_left_out_by_a_server_that_never_catches_up():
    stalls = dict.fromkeys(range(100), 0.02)  # 50/s where 100/s are due
    found = run(100, 1, stalls)
    assert found.count == 100
    assert found.ms(100) == pytest.approx(1000, rel=0.05)


def test_failures_are_counted_and_timed():
    time = ScriptedTime()

    def call(number: int) -> None:
        time.at += 0.5
        if number == 1:
            raise ConnectionError("cut")

    found = run_open_loop([0.0, 1.0, 2.0], 0.0, [call], time)
    assert (found.count, found.errors, found.first_error) == (3, 1, "ConnectionError: cut")
    assert found.ms(100) == pytest.approx(500, rel=0.01)


def test_several_threads_share_what_is_due_and_one_that_hangs_holds_up_nobody():
    let_go = threading.Event()
    seen: list[int] = []

    def call(number: int) -> None:
        seen.append(number)
        if number == 0:
            assert let_go.wait(30)
        elif len(seen) == 200:
            let_go.set()

    due = [n / 100_000 for n in range(200)]
    found = run_open_loop(due, 0.0, [call] * 4)
    assert sorted(seen) == list(range(200))
    assert (found.count, found.errors) == (200, 0)


def test_even_arrivals_are_even():
    assert due_times(4, 1.5, poisson=False) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_poisson_arrivals_have_the_rate_and_are_drawn_from_the_seed():
    times = due_times(500, 20, poisson=True, seed=7)
    assert len(times) == pytest.approx(10_000, rel=0.05)
    assert times == sorted(times)
    assert times[-1] < 20
    gaps = [b - a for a, b in itertools.pairwise(times)]
    # Of exponential gaps 1 - 1/e are below the mean.
    assert sum(gap < 1 / 500 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.02)
    assert times == due_times(500, 20, poisson=True, seed=7)
    assert times != due_times(500, 20, poisson=True, seed=8)


def test_arrivals_without_a_rate_are_refused():
    with pytest.raises(ValueError, match="above 0"):
        due_times(0, 1, poisson=False)


def test_latencies_of_other_processes_can_be_added():
    one, other = run(100, 1, {}), run(100, 1, {50: 0.3})
    there_and_back = Latencies.unpacked(other.packed())
    one.add(there_and_back)
    assert one.count == 200
    assert one.ms(100) == pytest.approx(300, rel=0.01)
    assert one.closed_ms(100) == pytest.approx(300, rel=0.01)
