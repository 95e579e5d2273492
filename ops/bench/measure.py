"""What is measured, against whom, what is to be reached, and the figures that come of it; no I/O.

A measure has sides: the product, and peers that do the same work on the same machine. Trials of all
sides alternate (`ops.bench.interleave`), so what the machine does meanwhile falls on all of them. A
figure is a median with its spread; a ratio is the median of the ratios round by round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

PRODUCT = "dashcell"
"""The name of the product's own side."""


@dataclass(frozen=True, slots=True)
class Side:
    """Who does the work: `trial` does it once and returns the figure of that once."""

    name: str
    trial: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached: `bound` on the ratio to `peer`, or without one on the figure itself.

    At least the bound where higher is better, at most where lower is.
    """

    bound: float
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to measure. `what` says it to people, `unit` is its figures'.

    `count`: of how many things (posts, edges) a figure is, for who wants it of one; 0: not counted.
    """

    name: str
    what: str
    unit: str
    higher_is_better: bool
    sides: tuple[Side, ...] = ()
    goals: tuple[Goal, ...] = ()
    count: int = 0

    def meets(self, value: float, goal: Goal) -> bool:
        """Whether a figure or a ratio reaches the goal."""
        return value >= goal.bound if self.higher_is_better else value <= goal.bound

    def said(self, goal: Goal) -> str:
        """A goal in words."""
        sign = ">=" if self.higher_is_better else "<="
        return f"{sign} {goal.bound:g} x" if goal.peer else f"{sign} {goal.bound:g} {self.unit}"


class Spread(msgspec.Struct, frozen=True):
    """Where the trials lie: smallest, lower quartile, median, upper quartile, largest."""

    low: float
    lower: float
    median: float
    upper: float
    high: float


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report: a figure of the product, alone or beside one peer's.

    `ratio` is figure / peer_figure by rounds. `met` None: there is no goal, or nothing to compare
    with. `note` says why something is missing, or what else is to be known. `better` is "higher" or
    "lower". `count` is the measure's.
    """

    measure: str
    what: str
    figure: float | None
    unit: str
    better: str
    count: int = 0
    spread: Spread | None = None
    rounds: int = 0
    peer: str = ""
    peer_figure: float | None = None
    peer_spread: Spread | None = None
    ratio: float | None = None
    ratio_spread: Spread | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""


@dataclass(slots=True)
class Trials:
    """The figures of each side by round, and why some sides have none (or no more)."""

    by_side: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def spread_of(values: Sequence[float]) -> Spread:
    """The five numbers of at least one value; quartiles by linear interpolation."""
    return Spread(*(float(x) for x in np.percentile(values, (0, 25, 50, 75, 100))))


def paired_ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours / theirs round by round, as far as both have gone."""
    return [a / b for a, b in zip(ours, theirs, strict=False) if b > 0]


def figures_of(measure: Measure, trials: Trials, note: str = "") -> list[Figure]:
    """A line for the product's own goals, and one for every peer that ran, or should have.

    Without goals of its own and without peers the product has one line still.
    """
    ours = trials.by_side.get(PRODUCT, [])
    if not ours:
        return [failed(measure, trials.absent.get(PRODUCT, "no trial was made"))]
    own = [goal for goal in measure.goals if not goal.peer]
    peers = _peers(measure, trials)
    found = [_alone(measure, ours, goal, note) for goal in own]
    if not own and not peers:
        found = [_alone(measure, ours, None, note)]
    goals = {goal.peer: goal for goal in measure.goals if goal.peer}
    for peer in peers:
        absent = trials.absent.get(peer, "")
        theirs = trials.by_side.get(peer, [])
        said = absent or ("" if found else note)  # a note is of the measure: once is enough
        found.append(_beside(measure, (ours, theirs), peer, goals.get(peer), said))
    return found


def failed(measure: Measure, why: str) -> Figure:
    """The line of a measure that came to nothing; its goals are not met."""
    return Figure(
        measure=measure.name,
        what=measure.what,
        figure=None,
        unit=measure.unit,
        better=_better(measure),
        count=measure.count,
        goal="; ".join(measure.said(goal) for goal in measure.goals),
        met=False,
        note=why,
    )


def _better(measure: Measure) -> str:
    return "higher" if measure.higher_is_better else "lower"


def _peers(measure: Measure, trials: Trials) -> list[str]:
    """Every peer that is named anywhere, in the order of first naming."""
    names = [side.name for side in measure.sides]
    names += [goal.peer for goal in measure.goals]
    names += [*trials.by_side, *trials.absent]
    return list(dict.fromkeys(name for name in names if name and name != PRODUCT))


def _alone(measure: Measure, ours: Sequence[float], goal: Goal | None, note: str) -> Figure:
    spread = spread_of(ours)
    return Figure(
        measure=measure.name,
        what=measure.what,
        figure=spread.median,
        unit=measure.unit,
        better=_better(measure),
        count=measure.count,
        spread=spread,
        rounds=len(ours),
        goal=measure.said(goal) if goal is not None else "",
        met=measure.meets(spread.median, goal) if goal is not None else None,
        note=note,
    )


def _beside(
    measure: Measure,
    sides: tuple[Sequence[float], Sequence[float]],
    peer: str,
    goal: Goal | None,
    note: str,
) -> Figure:
    ours, theirs = sides
    ratios = paired_ratios(ours, theirs)
    ratio = spread_of(ratios) if ratios else None
    peer_spread = spread_of(theirs) if theirs else None
    return msgspec.structs.replace(
        _alone(measure, ours, goal, note),
        peer=peer,
        peer_figure=peer_spread.median if peer_spread is not None else None,
        peer_spread=peer_spread,
        ratio=ratio.median if ratio is not None else None,
        ratio_spread=ratio,
        met=measure.meets(ratio.median, goal) if goal is not None and ratio is not None else None,
        note=note if theirs else note or "it made no trial",
    )
