"""The simulator: generators beside independent estimators, costs beside brute force, orders."""

import itertools
from random import Random

import numpy as np
import pytest

from ops.simulate import accounting, feeding_frenzy, paper
from ops.simulate.accounting import Prices, Work
from ops.simulate.workload import (
    AUTHORS,
    EVENTS_ZIPF,
    FOLLOWERS_ZIPF,
    FOLLOWS_ZIPF,
    PAGES_ZIPF,
    PAIRS,
    READERS,
    Workload,
    draw_graph,
    draw_workload,
)

SCALE = 0.05


@pytest.fixture(scope="module")
def graph():
    return draw_graph(seed=11, scale=SCALE)


@pytest.fixture(scope="module")
def outcome():
    return feeding_frenzy.simulate(seed=3, scale=0.02)


def exponent(values: np.ndarray) -> float:
    """Zipf's exponent by the slope between two ranks of the sums up to them: with s < 1 the first
    k of ranks hold about k^(1 - s). Shares no code with the generator and needs no fit."""
    ordered = np.sort(values)[::-1].cumsum()
    few, many = len(values) // 20, len(values) // 2
    return 1 - float(np.log(ordered[many - 1] / ordered[few - 1]) / np.log(many / few))


def test_the_graph_has_the_paper_s_sizes_means_and_skew(graph):
    assert (graph.authors, graph.readers) == (round(SCALE * AUTHORS), round(SCALE * READERS))
    pairs = set(zip(graph.author.tolist(), graph.reader.tolist(), strict=True))
    assert len(pairs) == len(graph.author) == round(SCALE * PAIRS)
    load = draw_workload(graph)
    assert load.followers.mean() == pytest.approx(15, rel=0.01)
    assert load.follows.mean() == pytest.approx(5.1, rel=0.01)
    # A sorted sample is a little more skewed than what it was drawn from.
    assert exponent(load.followers) == pytest.approx(FOLLOWERS_ZIPF, abs=0.08)
    assert exponent(load.follows) == pytest.approx(FOLLOWS_ZIPF, abs=0.08)


@pytest.mark.parametrize("ranked", [True, False])
def test_rates_have_the_paper_s_means_and_skew(graph, ranked):
    load = draw_workload(graph, ranked=ranked)
    assert load.events_per_h.mean() == pytest.approx(1.0)
    assert load.pages_per_h.mean() == pytest.approx(5.8)
    assert exponent(load.events_per_h) == pytest.approx(EVENTS_ZIPF, abs=0.05)
    assert exponent(load.pages_per_h) == pytest.approx(PAGES_ZIPF, abs=0.05)
    by_fan_out = np.argsort(-load.followers, kind="stable")
    falls = np.diff(
        load.events_per_h[by_fan_out][np.diff(load.followers[by_fan_out], append=0) < 0]
    )
    assert bool((falls <= 0).all()) == ranked


def test_the_estimator_tells_another_exponent():
    for wanted in (0.0, 0.3, 0.57, 0.65):
        ranks = np.arange(1, 5001, dtype=float)
        assert exponent(ranks**-wanted) == pytest.approx(wanted, abs=0.06)


def test_graph_and_rates_are_from_separate_streams(graph):
    """Other exponents of the rates leave the graph and the other rate as they were."""
    plain, skewed = draw_workload(graph), draw_workload(graph, events_zipf=2.0)
    assert np.array_equal(plain.author, skewed.author)
    assert np.array_equal(plain.pages_per_h, skewed.pages_per_h)
    again = draw_workload(draw_graph(seed=11, scale=SCALE))
    assert np.array_equal(plain.events_per_h, again.events_per_h)
    assert np.array_equal(plain.reader, again.reader)
    other = draw_workload(draw_graph(seed=12, scale=SCALE))
    assert not np.array_equal(plain.pages_per_h, other.pages_per_h)


def test_a_ratio_is_of_all_pages_to_all_events(graph):
    load = draw_workload(graph).at_ratio(8)
    assert load.pages_per_h.sum() == pytest.approx(8 * load.events_per_h.sum())


def tiny(rnd: Random) -> Workload:
    authors, readers = rnd.randint(1, 4), rnd.randint(1, 4)
    every = [(a, r) for a in range(authors) for r in range(readers)]
    pairs = rnd.sample(every, rnd.randint(1, min(7, len(every))))
    return Workload(
        np.array([a for a, _ in pairs]),
        np.array([r for _, r in pairs]),
        np.array([rnd.lognormvariate(0, 1) for _ in range(authors)]),
        np.array([rnd.lognormvariate(1, 1) for _ in range(readers)]),
    )


def counted(load: Workload, pushed: tuple[bool, ...]) -> Work:
    """The same one pair and one reader at a time."""
    pairs = list(zip(load.author.tolist(), load.reader.tolist(), pushed, strict=True))
    pushes = sum(load.events_per_h[a] for a, _, is_pushed in pairs if is_pushed)
    pulls = sum(load.pages_per_h[r] for _, r, is_pushed in pairs if not is_pushed)
    inboxes = full = someone = 0.0
    for r, pages in enumerate(load.pages_per_h):
        mine = [is_pushed for _, reader, is_pushed in pairs if reader == r]
        inboxes += pages if any(mine) else 0.0
        full += pages if mine and all(mine) else 0.0
        someone += pages if mine else 0.0
    return Work(sum(load.events_per_h), pushes, pulls, inboxes, full / someone)


def test_costs_are_those_counted_pair_by_pair_and_the_hybrid_is_the_least_of_all_choices():
    for seed in range(40):
        load = tiny(Random(seed))
        costs = []
        for pushed in itertools.product((True, False), repeat=len(load.author)):
            work, by_hand = accounting.work(load, np.array(pushed)), counted(load, pushed)
            for name in ("events", "pushes", "pulls", "inboxes", "full"):
                assert getattr(work, name) == pytest.approx(getattr(by_hand, name)), seed
            costs.append(3 * by_hand.pushes + by_hand.pulls)
            priced = Prices(1.0, 2.0, 3.0, 4.0).of(work)
            by_price = by_hand.events + 2 * by_hand.pushes + 3 * by_hand.pulls
            assert priced == pytest.approx(by_price + 4 * by_hand.inboxes)
        hybrid = accounting.work(load, accounting.per_pair(load, 3.0).pushed)
        assert accounting.THEOREM.of(hybrid) == pytest.approx(min(costs)), seed
        reader = accounting.work(load, accounting.per_reader(load, 3.0))
        assert accounting.THEOREM.of(reader) == pytest.approx(all_or_nothing(load)), seed


def all_or_nothing(load: Workload) -> float:
    total = 0.0
    for r, pages in enumerate(load.pages_per_h):
        followed = load.author[load.reader == r]
        total += min(3 * load.events_per_h[followed].sum(), pages * len(followed))
    return total


def test_the_policies_are_in_the_paper_s_order_at_its_ratios(outcome):
    shuffled = outcome.variants[1]
    orders = {8: "hybrid < none < all", 16: "hybrid < all < none", 24: "hybrid < all < none"}
    for priced in (shuffled.priced["theorem"], *(v.priced["fitted"] for v in outcome.variants)):
        found = {each.ratio: each.order for each in priced.costs if each.ratio in orders}
        assert found == orders
        assert 8 < priced.crossing < 16
    assert shuffled.priced["theorem"].best_threshold(16) == paper.THRESHOLD


def test_the_order_of_the_paper_s_own_costs_is_what_is_asked_for():
    for ratio, costs in paper.COSTS.items():
        said = feeding_frenzy.Costs(ratio, *costs, per_reader=0.0).order
        assert said == ("hybrid < none < all" if ratio == 8 else "hybrid < all < none")


def test_the_pure_policies_cost_the_same_at_the_crossing(graph):
    load = draw_workload(graph)
    for prices in (accounting.THEOREM, Prices(30, 3, 1, 1)):
        at = load.at_ratio(feeding_frenzy.crossing(load, prices))
        both = [
            prices.of(accounting.work(at, pushed))
            for pushed in (accounting.push_all(at), accounting.push_none(at))
        ]
        assert both[0] == pytest.approx(both[1])


def test_fitted_prices_are_found_where_costs_are_made_from_prices(graph):
    load, prices = draw_workload(graph), Prices(0.5, 0.02, 0.006, 0.006)
    made = {}
    for ratio in (8, 16, 24):
        at = load.at_ratio(ratio)
        everything, nothing = (
            prices.of(accounting.work(at, pushed))
            for pushed in (accounting.push_all(at), accounting.push_none(at))
        )
        made[ratio] = (everything, float("nan"), nothing)
    found = accounting.fitted(load, made)
    assert (found.event, found.push, found.pull) == pytest.approx((0.5, 0.02, 0.006), rel=1e-6)


def test_the_gain_grows_with_skew_and_a_flash_is_adapted_to(outcome):
    for variant in outcome.variants:
        gains = [variant.gains[skew] for skew in sorted(variant.gains)]
        assert gains == sorted(gains)
        assert gains[0] == pytest.approx(0.0, abs=1e-9)
        assert variant.full[0] == 1.0 > variant.full[2] > variant.full[3]
    for flash in outcome.flashes:
        assert flash.static[-1] == pytest.approx(paper.FLASH_STATIC)
        assert flash.settled < 1.6 < flash.static[-1]
        before = [cost for minute, cost in zip(flash.minutes, flash.adapting, strict=True)
                  if minute < 0]  # fmt: skip
        assert before == pytest.approx([1.0] * len(before))


def test_the_same_seed_gives_the_same_and_another_another():
    first, again, other = (feeding_frenzy.simulate(seed, 0.005) for seed in (1, 1, 2))
    assert first == again
    assert first.variants != other.variants
