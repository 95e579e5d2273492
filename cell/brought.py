"""Coverage as it is brought to another cell, or to another log: in events instead of switches.

A switch is of one cell and one command log. What is copied from there tells by partition which
events were not pushed, and only of those below the position from which the log is applied again;
all from there on is pushed. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cell.coverage import OPEN, Brought, Covered, Stamps

PARTS_MAX: Final = 50
"""So many spans are kept in one partition; of more, the oldest are told as one, which is longer."""

Part = tuple[int, int]
"""Events with since <= at < until."""


class Below(NamedTuple):
    """What is known of a cell's switches below a position; all by partition.

    `stamps`: all of the switches below `commands`; the others hold at the position at the earliest.
    `until`: the position, as in versions.
    """

    stamps: Sequence[Stamps]
    commands: Sequence[int]
    until: Sequence[int]


def brought(covered: Sequence[Covered], below: Below, only: int | None = None) -> Covered:
    """What rows together tell of the events below a position. `only`: the one partition that an
    author's posts are in; None: all of them."""
    partitions = range(len(below.until))
    wanted = partitions if only is None else (only,)
    parts = {p: _union(_parts(covered, below, p)) for p in wanted}
    nothing = [until if only is None else 0 for until in below.until]
    return Covered(brought=_packed(parts, nothing))


def repartitioned(covered: Covered, partitions: int, only: int | None = None) -> Covered:
    """The same in a log of so many partitions, told rather too long than too short."""
    if all(len(each.since) == partitions for each in covered.brought):
        return covered
    found = [
        part for each in covered.brought for part in zip(each.since, each.until, strict=True)
    ]
    union = _union(found)
    wanted = range(partitions) if only is None else (only,)
    return Covered(brought=_packed(dict.fromkeys(wanted, union), [0] * partitions))


def _parts(covered: Sequence[Covered], below: Below, partition: int) -> Iterable[Part]:
    end = below.until[partition]
    for each in covered:
        for span in each.spans:
            since = _since(span.since, below, partition)
            until = None if span.until == OPEN else below.stamps[partition].at(span.until)
            yield since, end if until is None else min(until, end)
        for b in each.brought:
            yield b.since[partition], min(b.until[partition], end)


def _since(switch: int, below: Below, partition: int) -> int:
    at = below.stamps[partition].at(switch)
    if at is not None:
        return at
    return 0 if switch < below.commands[partition] else below.until[partition]


def _union(parts: Iterable[Part]) -> list[Part]:
    """The same events in disjoint parts, in order."""
    found: list[Part] = []
    for since, until in sorted(part for part in parts if part[0] < part[1]):
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    if len(found) > PARTS_MAX:
        oldest = found[: len(found) - PARTS_MAX + 1]
        found = [(oldest[0][0], oldest[-1][1]), *found[len(oldest) :]]
    return found


def _packed(parts: dict[int, list[Part]], nothing: Sequence[int]) -> tuple[Brought, ...]:
    """Vectors over all partitions; where a partition has fewer parts, they are empty at `nothing`:
    who asks for the first event of all must not find an earlier one there."""
    found = []
    for i in range(max(map(len, parts.values()), default=0)):
        bounds = [(at, at) for at in nothing]
        for partition, some in parts.items():
            if i < len(some):
                bounds[partition] = some[i]
        since, until = zip(*bounds, strict=True)
        found.append(Brought(since, until))
    return tuple(found)
