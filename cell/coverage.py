"""Coverage: who is pulled and since when, as spans between switches. Pure; and the rows of it.

Everybody is pushed unless a *switch* says otherwise: a command (cell.commands.Switched) that names
readers, authors, or pairs of both. A switch is known by its number, its offset in the cell's
command log. Each worker *stamps* it in each of its partitions with the `at` (cell.versions) of the
first event for which it holds there. So one row tells for all partitions when a reader was pulled,
in switches, and the stamps of a switch are shared by all whom it names.

A post is in a reader's inbox iff neither its author nor its reader nor their pair was pulled at it,
or it was backfilled (and always in its author's own). Pages look up the others at their authors.
Coverage may be told too small, never too large: a span whose beginning is not stamped yet began
before everything, and one whose end is not stamped yet goes on.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from cell.materialization import Why
from cell.versions import AT_MAX
from idgen.errors import Corrupt
from idgen.ids import U64Array

FORMAT: Final = 1
OPEN: Final = -1
NO_SWITCH: Final = -1
EVERYBODY: Final = 0
"""In place of an author, in the key of a row that is of a reader and all authors."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Pulled from the switch `since` until the switch `until`; OPEN: still."""

    since: int
    until: int = OPEN


class Brought(msgspec.Struct, frozen=True, array_like=True):
    """Pulled in a cell before this one: the events with since <= at < until, by partition."""

    since: tuple[int, ...]
    until: tuple[int, ...]


class Covered(msgspec.Struct, frozen=True, array_like=True):
    """What a row says of a reader, of an author or of a pair.

    `why` (cell.materialization) and `at_ms` are those of the newest switch; `spans` in order.
    """

    why: int = Why.USUAL
    at_ms: int = 0
    spans: tuple[Span, ...] = ()
    brought: tuple[Brought, ...] = ()

    @property
    def pulled(self) -> bool:
        """Whether from the newest switch on it is pulled."""
        return bool(self.spans) and self.spans[-1].until == OPEN

    @property
    def switches(self) -> tuple[int, ...]:
        """The switches that are named."""
        named = (each for span in self.spans for each in (span.since, span.until))
        return tuple(switch for switch in named if switch != OPEN)


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    format: int
    covered: Covered


_DECODER: msgspec.msgpack.Decoder[_Packed] = msgspec.msgpack.Decoder(_Packed)


def encode(covered: Covered) -> bytes:
    """The value of a row."""
    return msgspec.msgpack.encode(_Packed(FORMAT, covered))


def decode(value: bytes) -> Covered:
    """What a row says. Raises Corrupt for anything else."""
    try:
        packed = _DECODER.decode(value)
    except (msgspec.DecodeError, ValueError) as e:
        raise Corrupt(f"no row of coverage: {e}") from e
    if packed.format != FORMAT:
        raise Corrupt(f"format {packed.format} of coverage, not {FORMAT}; upgrade the cell first")
    return packed.covered


def switched(covered: Covered, switch: int, *, pull: bool, why: int, at_ms: int) -> Covered:
    """After a switch; one that pulls what is pulled (or pushes what is pushed) tells a new reason
    and no more."""
    spans = covered.spans
    if pull and not covered.pulled:
        spans = (*spans, Span(switch))
    elif not pull and covered.pulled:
        spans = (*spans[:-1], Span(spans[-1].since, switch))
    if spans == covered.spans and why == covered.why:
        return covered
    return msgspec.structs.replace(covered, why=why, at_ms=at_ms, spans=spans)


def filled(covered: Covered, until: int) -> Covered:
    """After what was pulled in spans that ended by the switch `until`, and in cells before this
    one, was written into the inbox."""
    left = tuple(s for s in covered.spans if s.until == OPEN or s.until > until)
    return msgspec.structs.replace(covered, spans=left, brought=())


class Stamps:
    """The stamps of switches in one partition: at which `at` each holds. They never fall."""

    def __init__(self, stamps: Mapping[int, int] | None = None) -> None:
        self._at = dict(sorted((stamps or {}).items()))
        self._switches: U64Array | None = None
        self._ats: U64Array | None = None

    def add(self, stamps: Mapping[int, int]) -> None:
        """Take over more of them."""
        if not stamps.keys() <= self._at.keys():
            self._at = dict(sorted({**self._at, **stamps}.items()))
            self._switches = self._ats = None

    def at(self, switch: int) -> int | None:
        """From which `at` on a switch holds; None: not stamped yet."""
        return self._at.get(switch)

    def newest(self, at: int) -> int:
        """The newest switch that holds for the event `at`; NO_SWITCH: none does."""
        if not self._at:
            return NO_SWITCH
        if self._switches is None or self._ats is None:
            self._switches = np.array(list(self._at), dtype=np.uint64)
            self._ats = np.array(list(self._at.values()), dtype=np.uint64)
        i = int(np.searchsorted(self._ats, np.uint64(at), side="right")) - 1
        return int(self._switches[i]) if i >= 0 else NO_SWITCH

    @property
    def switches(self) -> Collection[int]:
        """The switches that are stamped."""
        return self._at.keys()


class Events(NamedTuple):
    """Events with since <= at < until; both by partition."""

    since: U64Array
    until: U64Array

    def contain(self, partition: int, at: int) -> bool:
        """Whether they have the event `at` of a partition."""
        return bool(self.since[partition] <= at < self.until[partition])

    def any(self) -> bool:
        """Whether there are any in a partition."""
        return bool((self.since < self.until).any())


class PulledEvents:
    """The events at which somebody is pulled, as far as is known."""

    def __init__(self, parts: Sequence[Events]) -> None:
        self.parts = tuple(part for part in parts if part.any())

    def __bool__(self) -> bool:
        return bool(self.parts)

    def contain(self, partition: int, at: int) -> bool:
        """Whether the event `at` of a partition is one of them."""
        return any(part.contain(partition, at) for part in self.parts)

    def floor(self) -> int:
        """The first of them in any partition."""
        return min((int(part.since.min()) for part in self.parts), default=0)

    def contained(self, partitions: U64Array, ats: U64Array) -> npt.NDArray[np.bool_]:
        """`contain` for each of some events."""
        found = np.zeros(len(ats), dtype=np.bool_)
        for part in self.parts:
            found |= (part.since[partitions] <= ats) & (ats < part.until[partitions])
        return found

    def within(self, partition: int) -> tuple[tuple[int, int], ...]:
        """Those of one partition, as (since, until)."""
        bounds = ((int(p.since[partition]), int(p.until[partition])) for p in self.parts)
        return tuple((since, until) for since, until in bounds if since < until)


def pulled_events(covered: Covered, stamps: Sequence[Stamps]) -> PulledEvents:
    """When somebody was pulled, told rather too long than too short; `stamps` by partition."""
    parts = [
        Events(_bounds(span.since, stamps, 0), _bounds(span.until, stamps, AT_MAX + 1))
        for span in covered.spans
    ]
    parts += [
        Events(np.array(b.since, dtype=np.uint64), np.array(b.until, dtype=np.uint64))
        for b in covered.brought
    ]
    return PulledEvents(parts)


def _bounds(switch: int, stamps: Sequence[Stamps], unknown: int) -> U64Array:
    found = (each.at(switch) for each in stamps)
    return np.array([unknown if at is None else at for at in found], dtype=np.uint64)
