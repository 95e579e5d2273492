"""Where a group is to read next: from what is wanted and what is retained to a plan. Pure.

A target beyond what the log retains is clamped to it, and the plan says so; a group that must not
skip anything (a cell's) is taken no further than it has come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from firehose.log import Span
from firehose.places import Place

OLDEST, NEWEST, APPLIED = "oldest", "newest", "applied"
"""To what a target was clamped: the log's start, its end, or how far a cell has applied it."""


@dataclass(frozen=True, slots=True)
class Shift:
    """So many events on from where the group reads next in each partition; negative: back."""

    events: int


@dataclass(frozen=True, slots=True)
class Offsets:
    """The next offset to read in some partitions."""

    by_partition: Mapping[int, int]


Target = Place | Shift | Offsets


class Aim(NamedTuple):
    """Where to read next in one partition, and to what that was clamped; empty: to nothing."""

    offset: int
    clamped: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One partition of a plan: the group reads next at `offset`, and at `before` until then.

    `replayed` and `skipped`: how many events that the log retains it reads again, or never;
    `gone`: how many that it had not read the log no longer has.
    """

    partition: int
    before: int
    offset: int
    replayed: int = 0
    skipped: int = 0
    gone: int = 0
    clamped: str = ""


def next_offsets(committed: Mapping[int, int], spans: Sequence[Span]) -> dict[int, int]:
    """Where a group reads next: at its checkpoints, or at the log's start where there is none."""
    return {p: committed.get(p, span.start) for p, span in enumerate(spans)}


def aimed(wanted: Mapping[int, int], spans: Sequence[Span]) -> dict[int, Aim]:
    """Offsets by partition, clamped to what is retained."""
    return {p: _clamped(offset, spans[p]) for p, offset in wanted.items()}


def aimed_in_time(
    found: Mapping[int, int], spans: Sequence[Span], *, future: bool
) -> dict[int, Aim]:
    """Offsets that the log has found for a time; `future`: nothing was appended at it yet.

    At the start of a log that has forgotten something, what was wanted may be among that.
    """
    aims: dict[int, Aim] = {}
    for partition, offset in found.items():
        start, _ = spans[partition]
        old = OLDEST if offset == start > 0 else ""
        aims[partition] = Aim(offset, NEWEST if future else old)
    return aims


def steps(
    before: Mapping[int, int],
    aims: Mapping[int, Aim],
    spans: Sequence[Span],
    applied: Mapping[int, int] | None = None,
) -> tuple[Step, ...]:
    """The plan, in order of partitions. `applied`: how far a cell has come, which skips nothing."""
    return tuple(
        _step(
            p,
            before[p],
            _held_back(p, before[p], aims[p], spans[p], applied),
            spans[p],
            max(before[p], applied[p]) if applied is not None else before[p],
        )
        for p in sorted(aims)
    )


def _held_back(
    partition: int, before: int, aim: Aim, span: Span, applied: Mapping[int, int] | None
) -> Aim:
    if applied is None:
        return aim
    most = max(span.start, min(before, applied[partition]))
    return aim if aim.offset <= most else Aim(most, APPLIED)


def _step(partition: int, before: int, aim: Aim, span: Span, came_to: int) -> Step:
    here = _clamped(before, span).offset
    return Step(
        partition,
        before,
        aim.offset,
        max(0, here - aim.offset),
        max(0, aim.offset - here),
        max(0, span.start - came_to),
        aim.clamped,
    )


def _clamped(offset: int, span: Span) -> Aim:
    if offset < span.start:
        return Aim(span.start, OLDEST)
    if offset > span.end:
        return Aim(span.end, NEWEST)
    return Aim(offset)
