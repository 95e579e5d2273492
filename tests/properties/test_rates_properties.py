"""Estimates of rates beside an oracle that keeps every event for good."""

import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cell.rates import Rates, RatesUnreadable
from idgen.errors import BadRequest

HALF_MS = 1000
KEYS = [0, 1, 7, 88, (1 << 63) - 1, (1 << 64) - 1]


def u64(*keys: int) -> np.ndarray:
    return np.array(keys, np.uint64)


class Oracle:
    """Each event by itself, and which keys are counted since when, by a list in order of touch."""

    def __init__(self, half_ms: int = HALF_MS, counters_max: int = 10**9) -> None:
        self.half_ms, self.counters_max = half_ms, counters_max
        self.events: dict[int, list[int]] = {}
        self.counted: dict[int, list[int]] = {}

    def add(self, keys: list[int], now_ms: int) -> None:
        for key in keys:
            self.events.setdefault(key, []).append(now_ms)
            self.counted.setdefault(key, []).append(now_ms)
        while len(self.counted) > self.counters_max:
            del self.counted[min(self.counted, key=lambda key: self._rank(key, now_ms))]

    def _rank(self, key: int, now_ms: int) -> tuple[int, float, int]:
        return self.counted[key][-1], self._rate(self.counted[key], now_ms), key

    def _rate(self, events: list[int], now_ms: int) -> float:
        weight = math.fsum(0.5 ** ((now_ms - at) / self.half_ms) for at in events)
        return weight * math.log(2) / (self.half_ms / 1000)

    def exact(self, key: int, now_ms: int) -> float:
        return self._rate(self.events.get(key, []), now_ms)

    def bounded(self, key: int, now_ms: int) -> float:
        return self._rate(self.counted.get(key, []), now_ms)


batches = st.lists(
    st.tuples(st.lists(st.sampled_from(KEYS), max_size=8), st.integers(0, 5 * HALF_MS)), max_size=12
)


@settings(max_examples=60)
@given(batches, st.integers(1, 7))
def test_an_estimate_is_the_decayed_count_of_what_was_touched_most_recently(
    given_batches: list[tuple[list[int], int]], counters_max: int
) -> None:
    now_ms, oracle = 10**12, Oracle(counters_max=counters_max)
    rates = Rates(HALF_MS, counters_max)
    for keys, passed in given_batches:
        now_ms += passed
        oracle.add(keys, now_ms)
        rates.add(u64(*keys), now_ms)
        assert len(rates) == len(oracle.counted) <= counters_max
        later = now_ms + passed // 2
        for key, found in zip(KEYS, rates.per_s(u64(*KEYS), later), strict=True):
            assert found == pytest.approx(oracle.bounded(key, later), rel=1e-9, abs=1e-12)
            assert found <= oracle.exact(key, later) * (1 + 1e-9)


@settings(max_examples=40)
@given(batches, st.integers(1, 3 * HALF_MS), st.integers(1, 7))
def test_what_was_saved_goes_on_as_if_nothing_had_been(
    given_batches: list[tuple[list[int], int]], half_ms: int, counters_max: int
) -> None:
    now_ms, rates = 10**12, Rates(HALF_MS, len(KEYS))
    for keys, passed in given_batches:
        now_ms += passed
        rates.add(u64(*keys), now_ms)
        other = Rates(HALF_MS, len(KEYS))
        other.load(rates.saved())
        rates = other
    oracle, plain = Oracle(), Rates(HALF_MS, len(KEYS))
    at_ms = 10**12
    for keys, passed in given_batches:
        at_ms += passed
        oracle.add(keys, at_ms)
        plain.add(u64(*keys), at_ms)
    assert rates.saved() == plain.saved()
    found = rates.per_s(u64(*KEYS), now_ms)
    assert found == pytest.approx([oracle.exact(key, now_ms) for key in KEYS], rel=1e-9, abs=1e-12)
    changed = Rates(half_ms, counters_max)
    changed.load(rates.saved())
    assert len(changed) == min(counters_max, len(rates))
    if counters_max >= len(KEYS):
        # As of when each was touched; from then on they decay by the new half-life.
        again = Rates(HALF_MS, len(KEYS))
        again.load(changed.saved())
        assert again.per_s(u64(*KEYS), now_ms) == pytest.approx(found, rel=1e-9, abs=1e-12)


def test_a_steady_rate_is_found_after_a_few_half_lives_and_forgotten_as_fast():
    rates = Rates(HALF_MS, 10)
    for ms in range(0, 4 * HALF_MS, 10):
        rates.add(u64(5), ms)
    assert rates.per_s(u64(5), 4 * HALF_MS)[0] == pytest.approx(100 * (1 - 2**-4), rel=0.01)
    rest = rates.per_s(u64(5), 14 * HALF_MS)[0]
    assert rest == pytest.approx(100 * (1 - 2**-4) * 2**-10, rel=0.01)


def test_sums_are_those_of_each_reader_s_authors():
    rnd, rates = Random(4), Rates(HALF_MS, 50)
    rates.add(u64(*[rnd.randrange(80) for _ in range(300)]), 10)
    follows = [[rnd.randrange(80) for _ in range(rnd.choice((0, 1, 9)))] for _ in range(30)]
    starts = np.cumsum([0, *map(len, follows)])[:-1]
    found = rates.sums_per_s(u64(*[a for each in follows for a in each]), starts, 500)
    for authors, total in zip(follows, found, strict=True):
        alone = math.fsum(float(rates.per_s(u64(a), 500)[0]) for a in authors)
        assert total == pytest.approx(alone, abs=1e-9)


def test_the_slow_go_and_the_busy_stay():
    """A hundred authors at 10/s among ten thousand who publish once: all of them are kept."""
    rates, busy = Rates(HALF_MS, 1000), np.arange(100, dtype=np.uint64)
    for tenth in range(100):
        once = np.arange(1000 + 100 * tenth, 1100 + 100 * tenth, dtype=np.uint64)
        rates.add(np.concatenate((busy, once)), 100 * tenth)
        assert len(rates) <= 1000
    assert rates.per_s(busy, 9_900).min() > 9.9


def test_a_clock_that_goes_back_neither_decays_nor_grows_an_estimate():
    rates = Rates(HALF_MS, 10)
    rates.add(u64(1), 10_000)
    before = rates.per_s(u64(1), 10_000)[0]
    assert rates.per_s(u64(1), 0)[0] == before
    rates.add(u64(1), 0)
    assert rates.per_s(u64(1), 0)[0] == 2 * before
    assert rates.per_s(u64(1), HALF_MS)[0] == before


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: b"",
        lambda data: data[:-9],
        lambda data: b"\xc0" + data,
        lambda data: data.replace(b"\x95\x01", b"\x95\x02"),
        lambda data: data.replace(u64(2).tobytes(), u64(9).tobytes()),
        lambda data: data.replace(np.float64(1).tobytes(), np.float64(-1).tobytes()),
        lambda data: data.replace(np.float64(1).tobytes(), np.float64("nan").tobytes()),
    ],
)
def test_bytes_that_are_no_estimates_change_nothing(harm: Callable[[bytes], bytes]) -> None:
    rates = Rates(HALF_MS, 10)
    rates.add(u64(2, 3, 4), 77)
    data = rates.saved()
    assert harm(data) != data
    with pytest.raises(RatesUnreadable):
        rates.load(harm(data))
    assert rates.saved() == data


@pytest.mark.parametrize("wrong", [(0, 1), (1, 0), (-5, 1)])
def test_bounds_that_cannot_be_are_refused(wrong):
    with pytest.raises(BadRequest):
        Rates(*wrong)


def faulty(name: str) -> Rates:
    rates = Rates(HALF_MS, 3)
    if name == "decays by e":
        rates._decayed = lambda slots, now: (
            rates._weights[slots] * np.exp(-(now - rates._touched[slots]) / HALF_MS)
        )
    elif name == "drops the newest":
        rates._trim = lambda: setattr(rates, "_weights", rates._weights)
    return rates


@pytest.mark.parametrize("name", ["sound", "decays by e", "drops the newest"])
def test_a_planted_fault_is_seen_by_the_oracle(name):
    rates, oracle, same = faulty(name), Oracle(counters_max=3), True
    for ms in range(0, 5000, 500):
        keys = [ms // 500, ms // 1000, 2]
        rates.add(u64(*keys), ms)
        oracle.add(keys, ms)
        found = rates.per_s(u64(*range(12)), ms)
        want = [oracle.bounded(key, ms) for key in range(12)]
        same &= bool(np.allclose(found, want, rtol=1e-9))
    assert same == (name == "sound")
