"""A flash: a few quiet authors suddenly publish much; what it costs with and without adapting."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ops.simulate import paper
from ops.simulate.accounting import Prices, per_pair, work
from ops.simulate.workload import Ints, Workload

PART = 0.001
"""Of all authors."""
MANY = 100
"""Followers that the second choice of authors has, about."""
HALF_LIFE_MIN = 10.0
BAND = 1.5
MINUTES = range(-3, 13)


@dataclass(frozen=True, slots=True)
class Flash:
    """Of one choice of authors. Costs are over the cost before, by minute since it began.

    `followers`: of those who speed up, on average; `speed_up`: the factor of their rates;
    `fan_out`: followers of an event's author on average over events, before and in it;
    `settled`: with adapting, when the estimates have come up.
    """

    chosen: str
    authors: int
    followers: float
    speed_up: float
    fan_out: tuple[float, float]
    minutes: tuple[int, ...]
    static: tuple[float, ...]
    adapting: tuple[float, ...]
    settled: float


def flashes(load: Workload, prices: Prices, seed: int) -> Iterator[Flash]:
    """Quiet authors (of the slower half) chosen at random, and those with about MANY followers."""
    quiet = np.flatnonzero(load.events_per_h <= np.median(load.events_per_h))
    quiet = quiet[load.followers[quiet] > 0]
    count = max(1, round(PART * len(load.events_per_h)))
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    by_chance = rng.choice(quiet, count, replace=False)
    distance = np.abs(load.followers[quiet] - MANY)
    popular = quiet[np.argsort(distance, kind="stable")[:count]]
    yield _flash("by chance", load, prices, by_chance)
    yield _flash(f"with about {MANY} followers", load, prices, popular)


def _flash(chosen: str, load: Workload, prices: Prices, authors: Ints) -> Flash:
    before = per_pair(load, paper.THRESHOLD)
    usual = prices.of(work(load, before.pushed))
    # Costs are linear in the rates: how much one more times their rates adds.
    twice = _sped_up(load, authors, 2.0)
    added = prices.of(work(twice, before.pushed)) - usual
    speed_up = 1 + (paper.FLASH_STATIC - 1) * usual / added
    during = _sped_up(load, authors, speed_up)
    static, adapting, was = [], [], before
    for minute in MINUTES:
        real = during if minute >= 0 else load
        known = 1 - 0.5 ** (max(minute, 0) / HALF_LIFE_MIN)
        # What a decaying estimate is expected to say.
        estimate = _sped_up(load, authors, 1 + (speed_up - 1) * known)
        was = per_pair(estimate, paper.THRESHOLD, BAND, was)
        static.append(prices.of(work(real, before.pushed)) / usual)
        adapting.append(prices.of(work(real, was.pushed)) / usual)
    settled = per_pair(during, paper.THRESHOLD, BAND, was)
    return Flash(
        chosen=chosen,
        authors=len(authors),
        followers=float(load.followers[authors].mean()),
        speed_up=float(speed_up),
        fan_out=(_fan_out(load), _fan_out(during)),
        minutes=tuple(MINUTES),
        static=tuple(static),
        adapting=tuple(adapting),
        settled=prices.of(work(during, settled.pushed)) / usual,
    )


def _sped_up(load: Workload, authors: Ints, factor: float) -> Workload:
    rates = load.events_per_h.copy()
    rates[authors] *= factor
    return replace(load, events_per_h=rates)


def _fan_out(load: Workload) -> float:
    return float(load.events_per_h @ load.followers / load.events_per_h.sum())
