"""The policy beside brute force over every choice there is: it costs least; nothing flaps."""

import itertools
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cell import materialization as policy
from cell.materialization import Authors, Bounds, Costs, Decisions, Pin, Readers, Rules, Why
from idgen.errors import BadRequest

WIDE = 50
AWAY_MS = 1000
HOT = 100.0
BY_RATES = Rules(hot_author=False, away=False, wide_reader=False)
BY_PAIR = Rules(per_pair=True)


def bounds(band: float = 1.0) -> Bounds:
    return Bounds(HOT, WIDE, AWAY_MS, band)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def reader(
    looks: float,
    publish: float,
    follows: int = 1,
    hot: int = 0,
    away_ms: int = 0,
    pin: Pin = Pin.NONE,
    was: Decisions | None = None,
) -> Readers:
    return Readers(
        floats(looks), floats(publish), np.array([follows]), np.array([hot]),
        np.array([away_ms]), np.array([pin], np.uint8), was or policy.first(1),
    )  # fmt: skip


def author(
    events: float, followers: int, pin: Pin = Pin.NONE, was: Decisions | None = None
) -> Authors:
    pins = np.array([pin], np.uint8)
    return Authors(floats(events), np.array([followers]), pins, was or policy.first(1))


def cost(costs: Costs, looks: float, events: Sequence[float], pushed: Sequence[bool]) -> float:
    """Of one reader a second, from what the three costs mean."""
    total = 0.0
    for rate, is_pushed in zip(events, pushed, strict=True):
        total += costs.push * rate if is_pushed else costs.timeline * looks
    return total + (costs.page * looks if not all(pushed) else 0.0)


def least(costs: Costs, looks: float, events: Sequence[float], hot: Sequence[bool]) -> float:
    """Of all choices of pairs, hot authors being pulled anyway."""
    choices = itertools.product(*[(False,) if is_hot else (True, False) for is_hot in hot])
    return min(cost(costs, looks, events, choice) for choice in choices)


def graph(rnd: Random) -> list[tuple[float, list[float]]]:
    """Up to four readers, each with the pages/s and the events/s of up to six authors."""
    rates = [rnd.choice((0.0, rnd.uniform(0.01, 4), rnd.lognormvariate(0, 2))) for _ in range(6)]
    readers = range(rnd.randint(1, 4))
    return [
        (rnd.choice((0.0, rnd.lognormvariate(0, 2))), rnd.sample(rates, rnd.randint(1, 6)))
        for _ in readers
    ]


Rule = Callable[[Costs, float, list[float]], list[bool]]


def per_reader(costs: Costs, looks: float, events: list[float]) -> list[bool]:
    made = policy.readers(BY_RATES, bounds(), costs, reader(looks, sum(events), len(events)))
    return [bool(made.pushed[0])] * len(events)


def per_pair(costs: Costs, looks: float, events: list[float]) -> list[bool]:
    was, many = policy.first(len(events)), np.full(len(events), looks)
    made = policy.pairs(BY_PAIR, 1.0, costs, many, np.array(events), was)
    return [bool(each) for each in made.pushed]


def excess(rule: Rule, page: float, timeline: float, seeds: range) -> float:
    """By how much a rule costs more than the cheapest choice, at worst of all graphs."""
    worst = 0.0
    for seed in seeds:
        rnd = Random(seed)
        costs = Costs(rnd.lognormvariate(0, 1), page, timeline)
        for looks, events in graph(rnd):
            ours = cost(costs, looks, events, rule(costs, looks, events))
            best = least(costs, looks, events, [False] * len(events))
            worst = max(worst, (ours - best) / best if best else float(ours > 0))
    return worst


def test_the_rule_per_reader_costs_least_where_a_page_is_paid_for_once():
    assert excess(per_reader, 1.0, 0.0, range(300)) < 1e-9


def test_the_rule_per_pair_costs_least_where_each_timeline_is_paid_for():
    assert excess(per_pair, 0.0, 1.0, range(300)) < 1e-9


PLANTED: list[tuple[str, Rule, float, float]] = [
    ("ratio upside down", lambda c, q, e: [q * c.push >= sum(e) * c.page] * len(e), 1.0, 0.0),
    ("mean for sum", lambda c, q, e: [q * c.page >= c.push * sum(e) / len(e)] * len(e), 1.0, 0.0),
    ("pairs for readers", lambda c, q, e: [q * c.page >= c.push * a for a in e], 1.0, 0.0),
    ("readers for pairs", lambda c, q, e: [q * c.timeline >= c.push * sum(e)] * len(e), 0.0, 1.0),
    ("push all", lambda c, q, e: [True] * len(e), 0.0, 1.0),
    ("pull all", lambda c, q, e: [False] * len(e), 1.0, 0.0),
]


@pytest.mark.parametrize(("name", "rule", "page", "timeline"), PLANTED)
def test_another_rule_is_told_by_the_oracle(name, rule, page, timeline):
    assert excess(rule, page, timeline, range(300)) > 0.01, name


amounts = st.floats(1e-3, 1e3)


@settings(max_examples=40)
@given(amounts, amounts, st.floats(0, 1e3), st.floats(0, 1e3), st.lists(amounts, max_size=5),
       st.lists(amounts, max_size=3))  # fmt: skip
def test_all_or_nothing_is_the_cheaper_of_both_also_beside_hot_authors(
    push: float, looks: float, page: float, timeline: float, events: list[float], hot: list[float]
) -> None:
    costs = Costs(push, page + 0.001, timeline)
    seen = reader(looks, sum(events), len(events) + len(hot), len(hot))
    pushed = bool(policy.readers(BY_RATES, bounds(), costs, seen).pushed[0])
    rates, pulled = [*events, *hot], [False] * len(hot)
    ours = cost(costs, looks, rates, [pushed] * len(events) + pulled)
    other = cost(costs, looks, rates, [not pushed] * len(events) + pulled)
    assert ours <= other * (1 + 1e-9)


@settings(max_examples=40)
@given(st.floats(1, 4), amounts, st.lists(st.floats(0, 1), min_size=2, max_size=30), st.booleans())
def test_rates_within_the_band_change_a_decision_once_at_most(
    band: float, middle: float, noise: list[float], begun: bool
) -> None:
    """The band is wide by its square: from where pushing pays to where pulling does."""
    costs, was = Costs(1.0, 1.0, 0.0), Decisions(np.array([begun]), np.zeros(1, np.uint8))
    found = [begun]
    for each in noise:
        looks = middle * band ** (2 * 0.999 * (each - 0.5))
        was = policy.readers(BY_RATES, bounds(band), costs, reader(looks, 1.0, was=was))
        found.append(bool(was.pushed[0]))
        cheaper = min(looks, 1.0)
        assert (1.0 if found[-1] else looks) <= band * cheaper * (1 + 1e-9)
        assert (was.why[0] == Why.HELD) == (found[-1] != (looks >= 1.0))
    assert changes(found) <= 1


@settings(max_examples=40)
@given(st.floats(1, 4), st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_sizes_within_the_band_change_a_decision_once_at_most(
    band: float, noise: list[float]
) -> None:
    was_author, was_reader = policy.first(1), policy.first(1)
    hot, wide = [], []
    for each in noise:
        events = HOT * 1.2 / (band * 0.999) ** each
        was_author = policy.authors(Rules(), bounds(band), author(events, 1, was=was_author))
        hot.append(not was_author.pushed[0])
        assert hot[-1] or events <= HOT
        follows = round(WIDE * 1.2 / (band * 0.95) ** each)
        seen = reader(1e9, 0, follows, was=was_reader)
        was_reader = policy.readers(Rules(), bounds(band), Costs(1, 1, 0), seen)
        wide.append(not was_reader.pushed[0])
        assert wide[-1] or follows <= WIDE
    assert changes(hot) <= 1
    assert changes(wide) <= 1


def changes(found: Sequence[bool]) -> int:
    return sum(a != b for a, b in itertools.pairwise(found))


def test_without_a_band_the_same_noise_flaps():
    """What the properties above would notice."""
    was, found = policy.first(1), []
    for looks in (0.9, 1.1) * 5:
        was = policy.readers(BY_RATES, bounds(1.0), Costs(1, 1, 0), reader(looks, 1.0, was=was))
        found.append(bool(was.pushed[0]))
    assert changes(found) == 9


def test_who_was_pulled_by_rates_is_not_taken_for_wide_when_rates_change():
    was = policy.readers(Rules(), bounds(2), Costs(1, 1, 0), reader(0.01, 1, WIDE - 1))
    assert (was.pushed[0], was.why[0]) == (False, Why.RATES)
    now = policy.readers(Rules(), bounds(2), Costs(1, 1, 0), reader(100, 1, WIDE - 1, was=was))
    assert (now.pushed[0], now.why[0]) == (True, Why.RATES)


rules = st.builds(Rules, *[st.booleans()] * 5)
pins = st.sampled_from([Pin.PUSH, Pin.PULL])


@settings(max_examples=40)
@given(rules, pins, st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 10**6),
       st.integers(0, 10**6), st.booleans())  # fmt: skip
def test_a_pin_wins_over_every_rule(
    on: Rules, pin: Pin, looks: float, publish: float, size: int, away: int, was: bool
) -> None:
    before = Decisions(np.array([was]), np.zeros(1, np.uint8))
    seen = reader(looks, publish, size, 0, away, pin, before)
    for made in (
        policy.readers(on, bounds(2), Costs(3, 1, 0.1), seen),
        policy.authors(on, bounds(2), author(publish, size, pin, before)),
    ):
        assert (made.pushed[0], made.why[0]) == (pin == Pin.PUSH, Why.PINNED)


@settings(max_examples=40)
@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_without_rules_everything_is_pushed(
    looks: float, publish: float, size: int, away: int
) -> None:
    none = Rules(*[False] * 5)
    costs = Costs(3, 1, 0.1)
    for made in (
        policy.readers(none, bounds(), costs, reader(looks, publish, size, 0, away)),
        policy.authors(none, bounds(), author(publish, size)),
        policy.pairs(none, 1.0, costs, floats(looks), floats(publish), policy.first(1)),
    ):
        assert (made.pushed[0], made.why[0]) == (True, Why.USUAL)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (reader(1e9, 1, WIDE + 1), Why.WIDE),
        (reader(1e9, 1, 1, away_ms=AWAY_MS + 1), Why.AWAY),
        (reader(1e9, 1, WIDE + 1, away_ms=AWAY_MS + 1), Why.WIDE),
        (reader(0, 1), Why.RATES),
    ],
)
def test_whoever_is_pulled_is_told_why(seen, why):
    made = policy.readers(Rules(), bounds(), Costs(1, 1, 0), seen)
    assert (made.pushed[0], made.why[0]) == (False, why)


def test_a_silent_author_s_reader_who_never_looks_is_pushed_to_for_it_costs_nothing():
    assert policy.readers(Rules(), bounds(), Costs(1, 1, 0), reader(0, 0)).pushed[0]


@pytest.mark.parametrize("costs", [(0, 1, 1), (1, 0, 0), (1, -1, 2), (float("nan"), 1, 1)])
def test_costs_that_cannot_be_are_refused(costs):
    with pytest.raises(BadRequest):
        Costs(*costs)


@pytest.mark.parametrize("wrong", [{"band": 0.9}, {"wide_follows": 0}, {"away_ms": -1}])
def test_bounds_that_cannot_be_are_refused(wrong):
    with pytest.raises(BadRequest):
        Bounds(**{"hot_entries_per_s": 1.0, "wide_follows": 1, "away_ms": 1, **wrong})
