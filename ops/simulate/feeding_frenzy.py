"""The experiments of Feeding Frenzy on a drawn workload; values in, values out, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.simulate import paper
from ops.simulate.accounting import (
    THEOREM,
    Prices,
    Work,
    fitted,
    per_pair,
    per_reader,
    push_all,
    push_none,
    work,
)
from ops.simulate.flash import Flash, flashes
from ops.simulate.workload import Graph, Workload, draw_graph, draw_workload

RATIOS = (4, 8, 16, 24)
THRESHOLDS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 12.0)
BASE_RATIO = 16
SKEWS = (0, 1, 2, 4)


@dataclass(frozen=True, slots=True)
class Costs:
    """Of the policies at one ratio. `per_reader`: Dashcell's default rule, not in the paper."""

    ratio: int
    push_all: float
    hybrid: float
    push_none: float
    per_reader: float

    @property
    def gain(self) -> float:
        """What the hybrid saves of the better pure policy, as a part of one."""
        return 1 - self.hybrid / min(self.push_all, self.push_none)

    @property
    def order(self) -> str:
        """The paper's three policies, the cheapest first."""
        named = {"hybrid": self.hybrid, "all": self.push_all, "none": self.push_none}
        return " < ".join(sorted(named, key=lambda name: named[name]))


@dataclass(frozen=True, slots=True)
class Priced:
    """What was found with one set of prices. `thresholds`: cost of the hybrid by ratio, as long
    as THRESHOLDS. `crossing`: the ratio from which push none costs more than push all."""

    prices: Prices
    costs: tuple[Costs, ...]
    thresholds: dict[int, tuple[float, ...]]
    crossing: float

    def best_threshold(self, ratio: int) -> float:
        """That of the lowest cost at a ratio."""
        costs = self.thresholds[ratio]
        return THRESHOLDS[costs.index(min(costs))]


@dataclass(frozen=True, slots=True)
class Variant:
    """All of it with event rates ranked with fan-out, or shuffled.

    `full`: by threshold, the part of queries that are fully pushed, at BASE_RATIO. `gains`: by
    skew, with the theorem's prices.
    """

    ranked: bool
    priced: dict[str, Priced]
    full: dict[int, float]
    gains: dict[int, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one seed and scale."""

    seed: int
    scale: float
    authors: int
    readers: int
    pairs: int
    mean_ratio: float
    variants: tuple[Variant, Variant]
    flashes: tuple[Flash, ...]


def simulate(seed: int, scale: float) -> Outcome:
    """Every experiment. The same seed and scale give the same outcome."""
    graph = draw_graph(seed, scale)
    ranked, shuffled = (draw_workload(graph, ranked=each) for each in (True, False))
    variants = (_variant(graph, ranked, ranked=True), _variant(graph, shuffled, ranked=False))
    # Quiet authors with many followers are there only where rates are shuffled.
    prices = variants[1].priced["fitted"].prices
    return Outcome(
        seed=seed,
        scale=scale,
        authors=graph.authors,
        readers=graph.readers,
        pairs=len(graph.author),
        mean_ratio=float(ranked.pages_per_h.sum() / ranked.events_per_h.sum()),
        variants=variants,
        flashes=tuple(flashes(shuffled.at_ratio(BASE_RATIO), prices, seed)),
    )


def _variant(graph: Graph, load: Workload, *, ranked: bool) -> Variant:
    done = {ratio: _done(load.at_ratio(ratio)) for ratio in RATIOS}
    base = load.at_ratio(BASE_RATIO)
    prices = {"theorem": THEOREM, "fitted": fitted(load, paper.COSTS)}
    return Variant(
        ranked=ranked,
        priced={name: _priced(load, done, each) for name, each in prices.items()},
        full={t: work(base, per_pair(base, t).pushed).full for t in paper.FULL},
        gains={skew: _gain(graph, skew, ranked=ranked) for skew in SKEWS},
    )


@dataclass(frozen=True, slots=True)
class _Done:
    """Work at one ratio; `hybrids` as long as the thresholds."""

    push_all: Work
    push_none: Work
    per_reader: Work
    hybrids: tuple[Work, ...]


def _done(load: Workload, thresholds: Sequence[float] = THRESHOLDS) -> _Done:
    return _Done(
        push_all=work(load, push_all(load)),
        push_none=work(load, push_none(load)),
        per_reader=work(load, per_reader(load, paper.THRESHOLD)),
        hybrids=tuple(work(load, per_pair(load, each).pushed) for each in thresholds),
    )


def _priced(load: Workload, done: Mapping[int, _Done], prices: Prices) -> Priced:
    at = THRESHOLDS.index(paper.THRESHOLD)
    return Priced(
        prices=prices,
        costs=tuple(_costs(ratio, each, prices, at) for ratio, each in done.items()),
        thresholds={
            ratio: tuple(prices.of(hybrid) for hybrid in each.hybrids)
            for ratio, each in done.items()
        },
        crossing=crossing(load, prices),
    )


def _costs(ratio: int, done: _Done, prices: Prices, hybrid: int) -> Costs:
    return Costs(
        ratio=ratio,
        push_all=prices.of(done.push_all),
        hybrid=prices.of(done.hybrids[hybrid]),
        push_none=prices.of(done.push_none),
        per_reader=prices.of(done.per_reader),
    )


def crossing(load: Workload, prices: Prices) -> float:
    """The query:event ratio at which the pure policies cost the same: both costs are linear in it,
    and at ratio 0 they differ by the pushes alone."""
    at = load.at_ratio(1.0)
    everything, nothing = work(at, push_all(at)), work(at, push_none(at))
    pulled = prices.pull * nothing.pulls - prices.inbox * everything.inboxes
    return prices.push * everything.pushes / pulled


def _gain(graph: Graph, skew: float, *, ranked: bool) -> float:
    load = draw_workload(graph, ranked=ranked, events_zipf=skew, pages_zipf=skew)
    done = _done(load.at_ratio(BASE_RATIO), (paper.THRESHOLD,))
    return _costs(BASE_RATIO, done, THEOREM, 0).gain
