"""Who is pushed to, and who pulls: rates and costs in, decisions out. No I/O, no clock, no state.

Decisions are made for many at once: every column is an array, one element for each reader, author
or pair, and `was` is what was decided last (`first` for whom nothing was).

What a page costs is modelled as: an inbox entry costs `push` when it is written; a page that pulls
costs `page` more than one that only reads the inbox, and `timeline` for each author it pulls. From
this follow the rules (Silberstein et al., SIGMOD 2010; H is the push, L the pull, phi a rate):

- per reader, Theorem 2: push iff phi_r / sum(phi_a) >= H / L, where L is what pulling all of the
  reader's page costs. It is the cheapest of all choices where `timeline` is 0 (who pulls one author
  pays for the page anyway), and the cheaper of all or nothing everywhere.
- per pair, Theorem 1: push iff phi_r / phi_a >= H / L, L being one timeline. The cheapest of all
  choices where `page` is 0. US 8156240 claims a rule of this form: it is off unless a flag says so.

Hysteresis: a decision is changed where the other is cheaper by the factor `band`, so one that is
kept costs at most `band` times the cheaper, and rates that vary by less than band * band change it
at most once. A bound on size holds at once, and ends at bound / band.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from idgen.errors import BadRequest

_RATIO_MAX = 1e18
"""Above any that is measured."""

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Rates = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]


class Pin(IntEnum):
    """What an operator has said of a user; it is above every rule."""

    NONE = 0
    PUSH = 1
    PULL = 2


class Why(IntEnum):
    """What made a decision, for `explain` and metrics."""

    USUAL = 0
    """No rule that is on says otherwise: pushed."""
    PINNED = 1
    WIDE = 2
    AWAY = 3
    HOT = 4
    RATES = 5
    HELD = 6
    """The other would be cheaper, but not by the band."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rules are on; values of flags."""

    per_reader: bool = True
    hot_author: bool = True
    away: bool = True
    wide_reader: bool = True
    per_pair: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """From where on size alone decides, and how wide the band is.

    `hot_entries_per_s`: an author's events/s x followers homed here. `wide_follows`: whom a reader
    follows. `away_ms`: since the reader's last page. Raises BadRequest.
    """

    hot_entries_per_s: float
    wide_follows: int
    away_ms: int
    band: float = 1.5

    def __post_init__(self) -> None:
        _positive("hot_entries_per_s", self.hot_entries_per_s)
        _positive("wide_follows", self.wide_follows)
        _positive("away_ms", self.away_ms)
        if not (math.isfinite(self.band) and self.band >= 1):
            raise BadRequest("band", f"{self.band} is no factor of 1 or more")


@dataclass(frozen=True, slots=True)
class Costs:
    """In one unit, whichever (seconds of a processor). Raises BadRequest."""

    push: float
    page: float
    timeline: float

    def __post_init__(self) -> None:
        _positive("push", self.push)
        for name in ("page", "timeline"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadRequest(name, f"{value} is no cost")
        _positive("page + timeline", self.page + self.timeline)


@dataclass(frozen=True, slots=True)
class Readers:
    """Columns. `follows`: everybody the reader follows; `hot`: how many of them are hot authors,
    who are pulled anyway; `events_per_s`: of the others together. `pinned`: codes of Pin."""

    pages_per_s: Rates
    events_per_s: Rates
    follows: Counts
    hot: Counts
    away_ms: Counts
    pinned: Codes
    was: "Decisions"


@dataclass(frozen=True, slots=True)
class Authors:
    """Columns. `followers`: those homed here. `pinned`: codes of Pin."""

    events_per_s: Rates
    followers: Counts
    pinned: Codes
    was: "Decisions"


@dataclass(frozen=True, slots=True)
class Decisions:
    """Columns: whether pushed, and codes of Why."""

    pushed: Bools
    why: Codes


def first(count: int) -> Decisions:
    """Of `count` for whom nothing was decided yet: pushed."""
    return Decisions(np.ones(count, np.bool_), np.full(count, Why.USUAL, np.uint8))


def pays(pages_per_s: Rates, events_per_s: Rates, ratio: float | Rates) -> Bools:
    """Whether pushing is the cheaper (or the same): phi_r / phi_a >= ratio, which is H / L."""
    return np.asarray(pages_per_s >= ratio * events_per_s)


def keeps(
    pages_per_s: Rates, events_per_s: Rates, ratio: float | Rates, band: float, pushed: Bools
) -> Bools:
    """`pays` with hysteresis: what is `pushed` stays so until pulling is cheaper by `band`."""
    worth = pays(pages_per_s, events_per_s, ratio * band)
    return np.asarray(worth | (pushed & pays(pages_per_s, events_per_s, ratio / band)))


def readers(rules: Rules, bounds: Bounds, costs: Costs, seen: Readers) -> Decisions:
    """Which readers are pushed to. Where several rules pull, the one that is first in Why is told:
    pinned, wide, away, by rates."""
    made = first(len(seen.pinned))
    if rules.per_reader:
        saved = _saved(costs, seen)
        made = _by_rates(
            seen.pages_per_s, seen.events_per_s, _ratio(costs, saved), bounds.band, seen.was
        )
    if rules.away:
        _pull(made, seen.away_ms > bounds.away_ms, Why.AWAY)
    if rules.wide_reader:
        was_wide = seen.was.why == Why.WIDE
        wide = _beyond(seen.follows, bounds.wide_follows, bounds.band, was_wide)
        _pull(made, wide, Why.WIDE)
    return _pinned(made, seen.pinned)


def authors(rules: Rules, bounds: Bounds, seen: Authors) -> Decisions:
    """Which authors are pushed; the others are hot and pulled by all."""
    made = first(len(seen.pinned))
    if rules.hot_author:
        entries_per_s = seen.events_per_s * seen.followers
        was_hot = seen.was.why == Why.HOT
        hot = _beyond(entries_per_s, bounds.hot_entries_per_s, bounds.band, was_hot)
        _pull(made, hot, Why.HOT)
    return _pinned(made, seen.pinned)


def pairs(
    rules: Rules, band: float, costs: Costs, pages_per_s: Rates, events_per_s: Rates, was: Decisions
) -> Decisions:
    """Which (reader, author) pairs are pushed, by Theorem 1; all of them while the rule is off.

    Where it is on it stands in for the rule per reader, which decides for all of a reader's pairs
    alike. Bounds and pins of readers and authors hold beside it.
    """
    if not rules.per_pair:
        return first(len(was.pushed))
    return _by_rates(pages_per_s, events_per_s, _ratio(costs, costs.timeline), band, was)


def _saved(costs: Costs, seen: Readers) -> Rates:
    """What a page costs less when its reader is pushed to. Who follows hot authors pulls those all
    the same, so only the timelines of the others are saved."""
    page = np.where(seen.hot > 0, 0.0, costs.page)
    return np.asarray(page + costs.timeline * (seen.follows - seen.hot))


def _ratio(costs: Costs, saved: float | Rates) -> Rates:
    """H / L, bounded where nothing is saved: 0 x infinity must not come into it."""
    return np.asarray(costs.push / np.maximum(saved, costs.push / _RATIO_MAX))


def _by_rates(
    pages_per_s: Rates, events_per_s: Rates, ratio: Rates, band: float, was: Decisions
) -> Decisions:
    pushed = keeps(pages_per_s, events_per_s, ratio, band, was.pushed)
    held = pushed != pays(pages_per_s, events_per_s, ratio)
    return Decisions(pushed, np.where(held, np.uint8(Why.HELD), np.uint8(Why.RATES)))


def _beyond(value: Rates | Counts, bound: float, band: float, was: Bools) -> Bools:
    """Whether above a bound, or not far enough below it for one that was."""
    return np.asarray((value > bound) | (was & (value > bound / band)))


def _pull(made: Decisions, which: Bools, reason: Why) -> None:
    made.pushed[which] = False
    made.why[which] = reason


def _pinned(made: Decisions, pins: Codes) -> Decisions:
    made.pushed[pins == Pin.PUSH] = True
    made.pushed[pins == Pin.PULL] = False
    made.why[pins != Pin.NONE] = Why.PINNED
    return made


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise BadRequest(name, f"{value} is not above 0")
