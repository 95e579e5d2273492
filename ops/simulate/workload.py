"""The workload of Feeding Frenzy (Silberstein, Terrace, Cooper, Ramakrishnan, SIGMOD 2010).

Its producers are authors here, its consumers readers, its queries pages. Sizes, means and Zipf
exponents are the paper's; it says no more of its data than these.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

AUTHORS = 67_921
READERS = 200_000
PAIRS = 1_020_458
FOLLOWERS_ZIPF = 0.39
FOLLOWS_ZIPF = 0.62
EVENTS_PER_H = 1.0
EVENTS_ZIPF = 0.57
PAGES_PER_H = 5.8
PAGES_ZIPF = 0.62
SCALE_MIN = 0.002
"""Below it the mean of followers cannot be had with so few readers."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Who follows whom, and how often all publish and look.

    `author`, `reader`: of each pair, indices; no pair is there twice. `events_per_h`: of each
    author; `pages_per_h`: of each reader.
    """

    author: Ints
    reader: Ints
    events_per_h: Floats
    pages_per_h: Floats

    @property
    def followers(self) -> Ints:
        """Of each author."""
        return np.bincount(self.author, minlength=len(self.events_per_h))

    @property
    def follows(self) -> Ints:
        """Of each reader."""
        return np.bincount(self.reader, minlength=len(self.pages_per_h))

    def at_ratio(self, ratio: float) -> "Workload":
        """The same with `ratio` pages for each event, all together."""
        now = self.pages_per_h.sum() / self.events_per_h.sum()
        return replace(self, pages_per_h=self.pages_per_h * (ratio / now))


@dataclass(frozen=True, slots=True)
class Graph:
    """The pairs, and the streams of random numbers that are left for the rates."""

    author: Ints
    reader: Ints
    authors: int
    readers: int
    seeds: tuple[np.random.SeedSequence, np.random.SeedSequence]


def draw_graph(seed: int, scale: float = 1.0) -> Graph:
    """Pairs drawn with Zipf on both sides; `scale` (at most 1) is of all three sizes."""
    graph, events, pages = np.random.SeedSequence(seed).spawn(3)
    rng = np.random.default_rng(graph)
    authors, readers, count = (max(1, round(scale * n)) for n in (AUTHORS, READERS, PAIRS))
    by_author, by_reader = shares(authors, FOLLOWERS_ZIPF), shares(readers, FOLLOWS_ZIPF)
    found = np.empty(0, np.int64)
    while len(found) < count:
        more = count - len(found)
        drawn = rng.choice(readers, more, p=by_reader) * authors
        found = np.unique(np.concatenate((found, drawn + rng.choice(authors, more, p=by_author))))
    return Graph(found % authors, found // authors, authors, readers, (events, pages))


def draw_workload(
    graph: Graph,
    *,
    ranked: bool = True,
    events_zipf: float = EVENTS_ZIPF,
    pages_zipf: float = PAGES_ZIPF,
) -> Workload:
    """Rates for a graph, from random streams of their own.

    `ranked`: who has most followers publishes most; else rates are shuffled among authors. Rates
    of pages are always shuffled among readers.
    """
    events_seed, pages_seed = graph.seeds
    events = shares(graph.authors, events_zipf) * graph.authors * EVENTS_PER_H
    pages = shares(graph.readers, pages_zipf) * graph.readers * PAGES_PER_H
    shuffled = np.random.default_rng(events_seed).permutation(graph.authors)
    order = shuffled
    if ranked:
        followers = np.bincount(graph.author, minlength=graph.authors)
        order = shuffled[np.argsort(-followers[shuffled], kind="stable")]
    rates = np.empty(graph.authors)
    rates[order] = events
    of_pages = np.random.default_rng(pages_seed).permutation(pages)
    return Workload(graph.author, graph.reader, rates, of_pages)


def shares(count: int, exponent: float) -> Floats:
    """Zipf's law: of rank k = 1, 2, ... the part k^-exponent / sum."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return np.asarray(weights / weights.sum())
