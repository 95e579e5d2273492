"""What a choice of pushed pairs costs, and the choices that are compared."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cell import materialization
from cell.materialization import Bounds, Costs, Decisions, Readers, Rules
from ops.simulate.workload import Workload

Bools = npt.NDArray[np.bool_]

MEASURED_RATIO = 3.0
"""H / L, as the paper measured it."""
_PAIRS = Rules(per_pair=True)
_READERS = Rules(hot_author=False, away=False, wide_reader=False)
_NO_BAND = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """In an hour, in expectation. `pulls`: timelines read; `inboxes`: pages of readers to whom
    anything is pushed. `full`: of the pages of those who follow anybody, the part for which
    nothing was pulled."""

    events: float
    pushes: float
    pulls: float
    inboxes: float
    full: float


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one event's own row, one push, one timeline pulled, and one inbox read."""

    event: float
    push: float
    pull: float
    inbox: float

    def of(self, work: Work) -> float:
        """The cost of it all."""
        return (
            self.event * work.events
            + self.push * work.pushes
            + self.pull * work.pulls
            + self.inbox * work.inboxes
        )


THEOREM = Prices(event=0.0, push=MEASURED_RATIO, pull=1.0, inbox=0.0)
"""What the paper's theorems count: pushes and pulls alone."""


def work(load: Workload, pushed: Bools) -> Work:
    """What is to be done where `pushed` of the pairs are pushed."""
    follows = load.follows
    pushed_to = np.bincount(load.reader[pushed], minlength=len(follows))
    pulled = follows - pushed_to
    pages = load.pages_per_h
    someone = follows > 0
    return Work(
        events=float(load.events_per_h.sum()),
        pushes=float(load.events_per_h[load.author[pushed]].sum()),
        pulls=float(pages @ pulled),
        inboxes=float(pages @ (pushed_to > 0)),
        full=float(pages @ (someone & (pulled == 0)) / (pages @ someone)),
    )


def push_all(load: Workload) -> Bools:
    """Every pair."""
    return np.ones(len(load.author), np.bool_)


def push_none(load: Workload) -> Bools:
    """No pair."""
    return np.zeros(len(load.author), np.bool_)


def per_pair(
    load: Workload, threshold: float, band: float = _NO_BAND, was: Decisions | None = None
) -> Decisions:
    """The paper's hybrid: Theorem 1 with `threshold` for H / L; 0 pushes all."""
    before = was or materialization.first(len(load.author))
    if threshold == 0:
        return before
    return materialization.pairs(
        _PAIRS,
        band,
        Costs(push=threshold, page=0.0, timeline=1.0),
        load.pages_per_h[load.reader],
        load.events_per_h[load.author],
        before,
    )


def per_reader(load: Workload, ratio: float) -> Bools:
    """Dashcell's default, Theorem 2, with `ratio` for H / L of one timeline."""
    count = len(load.pages_per_h)
    published = np.bincount(load.reader, load.events_per_h[load.author], minlength=count)
    seen = Readers(
        pages_per_s=load.pages_per_h,
        events_per_s=published.astype(np.float64),
        follows=load.follows,
        hot=np.zeros(count, np.int64),
        away_ms=np.zeros(count, np.int64),
        pinned=np.zeros(count, np.uint8),
        was=materialization.first(count),
    )
    bounds = Bounds(hot_entries_per_s=1.0, wide_follows=1, away_ms=1, band=_NO_BAND)
    costs = Costs(push=ratio, page=0.0, timeline=1.0)
    return materialization.readers(_READERS, bounds, costs, seen).pushed[load.reader]


def fitted(load: Workload, published: Mapping[int, tuple[float, float, float]]) -> Prices:
    """The prices that come closest (least squares) to published costs of push all and push none.

    `published`: costs of push all, hybrid, push none by ratio; the hybrid's are not looked at. An
    inbox costs as much to read as a timeline.
    """
    rows, costs = [], []
    for ratio, (everything, _, nothing) in published.items():
        at = load.at_ratio(ratio)
        for pushed, cost in ((push_all(at), everything), (push_none(at), nothing)):
            done = work(at, pushed)
            rows.append((done.events, done.pushes, done.pulls + done.inboxes))
            costs.append(cost)
    found, *_ = np.linalg.lstsq(np.array(rows), np.array(costs), rcond=None)
    event, push, read = (max(float(each), 0.0) for each in found)
    return Prices(event, push, read, read)
