"""What a push and a pull cost here, as means that decay: the H and L of `cell.materialization`.

A page that pulls `k` timelines takes page + timeline x k seconds; both are the line of least
squares through what was measured. What was never measured is as in `USUAL`, which counts like some
measurements that do not decay: so a line needs no care where all pages pull the same number.
"""

import threading
from collections.abc import Iterable
from typing import Final

import msgspec

from cell.materialization import Costs

USUAL: Final = Costs(push=1 / 131_567, page=2 / 3_000, timeline=1 / 3_000)
"""Seconds. 131,567 entries/s is the fan-out to 10,000 followers of docs/performance.md; a page
that pulls makes two calls more (coverage, whom the reader follows) and one for each timeline, at
3,000 calls/s of one connection."""
ENTRIES_USUAL: Final = 1_000
PAGES_USUAL: Final = 10
TIMELINES_USUAL: Final = (1, 64)
"""As if so much of the usual had been measured."""
LEAST_SHARE: Final = 0.01
"""No cost is told as less than this share of the usual."""


class CostSums(msgspec.Struct, frozen=True, array_like=True):
    """Decaying sums of what was measured; `products` of timelines and seconds."""

    at_ms: int = 0
    entries: float = 0.0
    push_s: float = 0.0
    pages: float = 0.0
    timelines: float = 0.0
    squares: float = 0.0
    pull_s: float = 0.0
    products: float = 0.0

    def decayed(self, now_ms: int, half_life_ms: int) -> "CostSums":
        """The same as of later."""
        factor = 2.0 ** (-max(0, now_ms - self.at_ms) / half_life_ms)
        values = (factor * value for value in _values(self))
        return CostSums(max(now_ms, self.at_ms), *values)

    def plus(self, other: "CostSums") -> "CostSums":
        """Both together, as of the same moment."""
        both = zip(_values(self), _values(other), strict=True)
        return CostSums(max(self.at_ms, other.at_ms), *(a + b for a, b in both))


def _values(sums: CostSums) -> tuple[float, ...]:
    values: tuple[float, ...] = msgspec.structs.astuple(sums)[1:]
    return values


def pulled_pages(pages: float, timelines: float, seconds: float) -> CostSums:
    """Pages that each pulled so many timelines in so many seconds."""
    squares, products = timelines * timelines, timelines * seconds
    return CostSums(
        0, 0, 0, pages, pages * timelines, pages * squares, pages * seconds, pages * products
    )


def costs_of(sums: Iterable[CostSums]) -> Costs:
    """The costs by all that was measured, which is decayed to one moment."""
    total = CostSums(0, ENTRIES_USUAL, ENTRIES_USUAL * USUAL.push)
    for timelines in TIMELINES_USUAL:
        usual_s = USUAL.page + USUAL.timeline * timelines
        total = total.plus(pulled_pages(PAGES_USUAL, timelines, usual_s))
    for each in sums:
        total = total.plus(each)
    n, x, xx = total.pages, total.timelines, total.squares
    spread = n * xx - x * x
    timeline = (n * total.products - x * total.pull_s) / spread
    timeline = max(timeline, LEAST_SHARE * USUAL.timeline)
    page = max((total.pull_s - timeline * x) / n, LEAST_SHARE * USUAL.page)
    push = max(total.push_s / total.entries, LEAST_SHARE * USUAL.push)
    return Costs(push, page, timeline)


class CostMeter:
    """What one process measures; used by many threads. Also what it has pulled since it began."""

    def __init__(self, half_life_ms: int) -> None:
        self._half_life_ms = half_life_ms
        self._lock = threading.Lock()
        self._decayed = CostSums()
        self._fresh = CostSums()
        self.pages = 0
        self.timelines = 0
        self.posts = 0

    def pushed(self, entries: int, seconds: float) -> None:
        """So many entries were written."""
        with self._lock:
            self._fresh = self._fresh.plus(CostSums(0, entries, seconds))

    def pulled(self, timelines: int, posts: int, seconds: float, *, by_time: bool) -> None:
        """A page looked up so many timelines; one that walked the index of all posts `by_time`
        tells nothing of what a timeline costs."""
        with self._lock:
            self.pages += 1
            self.timelines += timelines
            self.posts += posts
            if not by_time:
                self._fresh = self._fresh.plus(pulled_pages(1, timelines, seconds))

    def sums(self, now_ms: int) -> CostSums:
        """All that was measured, as of now."""
        with self._lock:
            decayed = self._decayed.decayed(now_ms, self._half_life_ms)
            self._decayed, self._fresh = decayed.plus(self._fresh), CostSums()
            return self._decayed
