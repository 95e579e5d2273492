"""One pass of decisions: what a cell's processes have measured in, what differs from now out.

Only differences are told: who is pushed and should be pulled or the other way round, and who is
pulled for another reason (the policy's hysteresis asks for it). Rules are on for shares of users,
so the policy is asked once for each set of rules that there is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cell import materialization
from cell.activity import Column, Measured
from cell.coverage import Covered
from cell.materialization import (
    Authors,
    Bools,
    Bounds,
    Codes,
    Decisions,
    Pin,
    Readers,
    Rules,
    Why,
    first,
)
from cell.reader_walk import Part
from idgen.ids import U64Array, unspread, unspread_array

RULES: Final = ("per_reader", "hot_author", "away", "wide_reader", "per_pair")
"""The rules by name; a code of rules has a bit for each, in this order."""
HOT_AUTHOR: Final = 1 << RULES.index("hot_author")
PER_PAIR: Final = 1 << RULES.index("per_pair")


class Ruling(Protocol):
    """What operators have said, as it is now: the port to flags and pins."""

    def any(self) -> int:
        """The code of the rules that are on for anybody."""
        ...

    def rules(self, users: U64Array) -> Codes:
        """The code of the rules that are on for each of some users."""
        ...

    def pins(self) -> Mapping[int, Pin]:
        """The users who are pinned, as readers and as authors."""
        ...


class Switch(NamedTuple):
    """What is told of somebody."""

    pull: bool
    why: int


Policy = Callable[[Rules, npt.NDArray[np.intp]], Decisions]
"""The decisions for some, by their indices."""


def rules_of(code: int) -> Rules:
    """The rules that a code says are on."""
    on = {name: bool(code >> i & 1) for i, name in enumerate(RULES)}
    if on["per_pair"]:
        on["per_reader"] = False  # it decides for all of a reader's pairs alike
    return Rules(**on)


class Deciding:
    """Decides by what was measured until `now_ms`."""

    def __init__(self, known: Measured, ruling: Ruling, bounds: Bounds, now_ms: int) -> None:
        self._known = known
        self._ruling = ruling
        self._bounds = bounds
        self._now_ms = now_ms
        pins = ruling.pins()
        names = np.array(sorted(pins), dtype=np.uint64)
        self._pins = Column(names, np.array([float(pins[u]) for u in sorted(pins)]))

    def authors(self, pulled: Mapping[int, Covered]) -> tuple[dict[Switch, list[int]], U64Array]:
        """Authors who were counted, pinned or are `pulled` (by all), as differences; and all who
        are pulled from now on, in order."""
        events = self._known.events_per_s
        users = np.union1d(events.names, np.array(sorted(pulled), dtype=np.uint64))
        users = np.union1d(users, self._pins.names)
        was = _was([pulled.get(user) for user in users.tolist()])
        followers = [self._known.followers.get(user, 0) for user in users.tolist()]
        seen = Authors(
            events.of(users), np.array(followers, dtype=np.int64), self._pinned(users), was
        )

        def policy(rules: Rules, which: npt.NDArray[np.intp]) -> Decisions:
            some = Authors(
                seen.events_per_s[which],
                seen.followers[which],
                seen.pinned[which],
                _some(was, which),
            )
            return materialization.authors(rules, self._bounds, some)

        made = _decided(self._ruling.rules(users), policy)
        return _differing(users, made, was), users[~made.pushed]

    def readers(self, part: Part) -> tuple[dict[Switch, list[int]], int]:
        """The readers of a part, as differences; and how many are pulled from now on."""
        users = unspread_array(part.places)
        was = _was([part.pulled.get(place) for place in part.places.tolist()])
        pages_per_s = self._known.pages_per_s.of(part.places)
        away_ms, pinned = self._away_ms(part.places), self._pinned(users)

        def policy(rules: Rules, which: npt.NDArray[np.intp]) -> Decisions:
            seen = Readers(
                pages_per_s[which],
                part.events_per_s[which],
                part.follows[which],
                part.hot[which],
                away_ms[which],
                pinned[which],
                _some(was, which),
            )
            return materialization.readers(rules, self._bounds, self._known.costs, seen)

        made = _decided(self._ruling.rules(users), policy)
        return _differing(users, made, was), int(np.count_nonzero(~made.pushed))

    def pairs(self, part: Part) -> dict[Switch, list[tuple[int, int]]]:
        """The pairs of a part, as differences. Those who do not follow any more are pushed."""
        found: dict[Switch, list[tuple[int, int]]] = {}
        left = dict(part.pulled_pairs)
        if self._ruling.any() & PER_PAIR:
            pairs = part.pairs
            names = list(zip(pairs.places.tolist(), pairs.authors.tolist(), strict=True))
            was = _was([left.pop(name, None) for name in names])
            pages_per_s = self._known.pages_per_s.of(pairs.places)

            def policy(rules: Rules, which: npt.NDArray[np.intp]) -> Decisions:
                return materialization.pairs(
                    rules,
                    self._bounds.band,
                    self._known.costs,
                    pages_per_s[which],
                    pairs.events_per_s[which],
                    _some(was, which),
                )

            readers = unspread_array(pairs.places)
            made = _decided(self._ruling.rules(readers), policy)
            users = list(zip(readers.tolist(), pairs.authors.tolist(), strict=True))
            for i in np.flatnonzero(_differs(made, was)).tolist():
                switch = Switch(not made.pushed[i], int(made.why[i]))
                found.setdefault(switch, []).append(users[i])
        if left:
            ended = found.setdefault(Switch(pull=False, why=Why.USUAL), [])
            ended += [(unspread(place), author) for place, author in left]
        return found

    def _pinned(self, users: U64Array) -> Codes:
        return self._pins.of(users).astype(np.uint8)

    def _away_ms(self, places: U64Array) -> npt.NDArray[np.int64]:
        """Since the last page; of who was never seen since pages are recorded at all."""
        last = self._known.last_page_ms.of(places).astype(np.int64)
        since_ms = self._known.since_ms or self._now_ms
        return np.asarray(np.maximum(self._now_ms - np.where(last, last, since_ms), 0))


def _was(covered: Sequence[Covered | None]) -> Decisions:
    """What holds, by the rows of coverage; None: pushed."""
    n = len(covered)
    pulled = np.fromiter((c is not None and c.pulled for c in covered), np.bool_, n)
    why = np.fromiter((c.why if c is not None else Why.USUAL for c in covered), np.uint8, n)
    return Decisions(~pulled, why)


def _some(decisions: Decisions, which: npt.NDArray[np.intp]) -> Decisions:
    return Decisions(decisions.pushed[which], decisions.why[which])


def _decided(codes: Codes, policy: Policy) -> Decisions:
    """The decisions for all, each by the rules that are on for it."""
    made = first(len(codes))
    for code in np.unique(codes).tolist():
        which = np.flatnonzero(codes == code)
        some = policy(rules_of(code), which)
        made.pushed[which], made.why[which] = some.pushed, some.why
    return made


def _differs(made: Decisions, was: Decisions) -> Bools:
    """Where another decision holds, or another reason to pull; HELD is by rates too."""
    reasons = [np.where(d.why == Why.HELD, np.uint8(Why.RATES), d.why) for d in (made, was)]
    return np.asarray((made.pushed != was.pushed) | (~made.pushed & (reasons[0] != reasons[1])))


def _differing(users: U64Array, made: Decisions, was: Decisions) -> dict[Switch, list[int]]:
    found: dict[Switch, list[int]] = {}
    for i in np.flatnonzero(_differs(made, was)).tolist():
        switch = Switch(not made.pushed[i], int(made.why[i]))
        found.setdefault(switch, []).append(int(users[i]))
    return found
