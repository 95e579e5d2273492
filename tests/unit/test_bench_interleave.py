"""Sides of a measure in turns, and the figures that come of their trials."""

import random

import pytest

from ops.bench.interleave import interleave
from ops.bench.measure import (
    PRODUCT,
    Goal,
    Measure,
    Side,
    Trials,
    figures_of,
    paired_ratios,
    spread_of,
)
from ops.bench.peers.writer import PeerMissing


@pytest.fixture(autouse=True)
def nothing_to_collect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each collection would walk all that the other tests of this process hold."""
    monkeypatch.setattr("ops.bench.interleave.gc.collect", lambda: 0)


def silent(_: str) -> None:
    """Nobody looks."""


def rate_measure(*goals: Goal) -> Measure:
    return Measure("fanout", "deliveries", "1/s", higher_is_better=True, goals=goals)


def latency_measure(*goals: Goal) -> Measure:
    return Measure("page", "a page", "ms", higher_is_better=False, goals=goals)


class Machine:
    """A machine that gets slower and faster while sides of constant speed run on it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.speed = 1.0

    def side(self, name: str, rate: float) -> Side:
        def trial() -> float:
            # It drifts over rounds by a factor of three, and jitters by one percent.
            self.speed *= self._random.uniform(0.93, 1.0)
            return rate * self.speed * self._random.uniform(0.99, 1.01)

        return Side(name, trial)


def test_sides_take_turns_and_warm_ups_are_not_kept():
    order = []

    def side(name: str) -> Side:
        def trial() -> float:
            order.append(name)
            return float(len(order))

        return Side(name, trial)

    trials = interleave([side(PRODUCT), side("b"), side("c")], 2, silent)
    assert order == [PRODUCT, "b", "c"] * 3
    assert trials.by_side == {PRODUCT: [4.0, 7.0], "b": [5.0, 8.0], "c": [6.0, 9.0]}


def test_ratios_are_of_trials_of_the_same_round():
    assert paired_ratios([10.0, 40.0], [5.0, 10.0, 99.0]) == [2.0, 4.0]


def test_ratios_hold_on_a_machine_that_gets_slower():
    machine = Machine(1)
    sides = [machine.side(PRODUCT, 85.0), machine.side("bare", 100.0)]
    trials = interleave(sides, 15, silent)
    figure = figures_of(rate_measure(Goal(0.8, "bare")), trials)[0]
    assert figure.ratio == pytest.approx(0.88, abs=0.05)
    assert figure.spread is not None
    # The figures themselves wander far more than the ratio does.
    assert figure.spread.high / figure.spread.low > 1.5
    assert figure.ratio_spread is not None
    assert figure.ratio_spread.high / figure.ratio_spread.low < 1.2


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_regression_is_noticed(seed: int):
    machine = Machine(seed)
    measure = rate_measure(Goal(0.85, "bare"))
    good = interleave([machine.side(PRODUCT, 95), machine.side("bare", 100)], 11, silent)
    bad = interleave([machine.side(PRODUCT, 70), machine.side("bare", 100)], 11, silent)
    assert figures_of(measure, good)[0].met is True
    assert figures_of(measure, bad)[0].met is False


def test_a_lower_figure_is_better_where_it_is_said():
    trials = Trials({PRODUCT: [1.0, 2.0, 3.0], "bare": [2.0, 2.0, 2.0]})
    own, beside = figures_of(latency_measure(Goal(1.5), Goal(1.3, "bare")), trials)
    assert (own.figure, own.goal, own.met) == (2.0, "<= 1.5 ms", False)
    assert (beside.ratio, beside.goal, beside.met) == (1.0, "<= 1.3 x", True)


def test_a_spread_has_quartiles_and_ends():
    spread = spread_of([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (spread.low, spread.lower, spread.median, spread.upper, spread.high) == (1, 2, 3, 4, 5)


def test_a_peer_that_fails_is_named_and_the_others_go_on():
    def missing() -> float:
        raise PeerMissing("there is no Java here")

    sides = [Side(PRODUCT, lambda: 2.0), Side("java", missing), Side("bare", lambda: 4.0)]
    trials = interleave(sides, 3, silent)
    java, bare = figures_of(rate_measure(Goal(1.5, "java"), Goal(0.4, "bare")), trials)
    assert (java.peer, java.ratio, java.met) == ("java", None, None)
    assert "no Java" in java.note
    assert (bare.ratio, bare.met) == (0.5, True)


def test_a_peer_that_fails_late_leaves_no_half_comparison():
    answers = iter([1.0, 1.0])
    sides = [Side(PRODUCT, lambda: 2.0), Side("peer", lambda: next(answers))]
    trials = interleave(sides, 3, silent)
    assert "peer" not in trials.by_side
    assert trials.absent["peer"].startswith("StopIteration")


def test_what_the_product_raises_is_raised():
    def broken() -> float:
        raise ValueError("rows are missing")

    with pytest.raises(ValueError, match="rows are missing"):
        interleave([Side(PRODUCT, broken)], 1, silent)


def test_a_peer_with_a_goal_that_never_ran_has_a_line():
    (line,) = figures_of(rate_measure(Goal(1.5, "java")), Trials({PRODUCT: [1.0]}))
    assert (line.peer, line.ratio, line.met) == ("java", None, None)
    assert line.note


def test_a_product_without_a_figure_has_not_met_its_goals():
    (line,) = figures_of(rate_measure(Goal(1.5, "java")), Trials(absent={PRODUCT: "it died"}))
    assert (line.figure, line.met, line.note) == (None, False, "it died")
