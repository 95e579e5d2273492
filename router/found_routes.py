"""Routes worked out from what cells themselves know: for a registry that was lost. Pure.

Each cell keeps whom it is home to, with bands. Where two have the same readers a move was under
way: the newest of those that have caught up is home then, and has all that the others have.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cell.residents import Residents
from cell.state import PartitionState, homes_now
from idgen.errors import Conflict
from router.slices import EPOCH_MAX, PLACES, Slice, Slices

MARGIN = 16
"""Moves that were begun and never arrived may have drawn epochs that no cell has heard of."""

Kept = Mapping[str, Sequence[PartitionState]]
"""What the cells of a platform keep, by name."""


class FoundRoutes(NamedTuple):
    """Routes, and what cells have that is not theirs: (cell, start, last, band)."""

    slices: Slices
    left: tuple[tuple[str, int, int, int], ...]


class _Held(NamedTuple):
    start: int
    last: int
    band: int
    cell: str
    caught_up: bool


def found_routes(kept: Kept, ends: tuple[int, ...]) -> FoundRoutes | None:
    """The routes that cells know; None when no cell is home to anybody: a new platform.

    `ends`: of the log; readers who were on their way are answered after it. Readers whom no cell
    has were homed in the one that has nobody: it is lost. Raises Conflict when there is none.
    """
    held = [
        _Held(start, last, band, cell, all(s.again < 0 for s in states))
        for cell, states in kept.items()
        for start, last, band in homes_now(states).ranges
    ]
    if not held:
        return None
    empty = sorted(set(kept) - {h.cell for h in held})
    slices: list[Slice] = []
    left: list[tuple[str, int, int, int]] = []
    starts = sorted({0, *(h.start for h in held), *(h.last + 1 for h in held)} - {PLACES})
    for start, end in zip(starts, [*starts[1:], PLACES], strict=True):
        here = [h for h in held if h.start <= start <= h.last]
        drawn = min(EPOCH_MAX, _highest(kept, start, end - 1) + MARGIN)
        if not here:
            if not empty:
                raise Conflict(
                    f"no cell is home to the readers from {start:016x} on, and none has lost its "
                    "tables: start all cells that the platform had (platform.cells)"
                )
            slices.append(Slice(start, empty[0], drawn, drawn))
            continue
        home = max(here, key=lambda h: (h.caught_up, h.band))
        others = [h for h in here if h != home]
        slices.append(Slice(start, home.cell, home.band, drawn, ends if others else ()))
        left += [(h.cell, start, end - 1, h.band) for h in others]
    return FoundRoutes(Slices(slices).merged(), tuple(left))


def _highest(kept: Kept, start: int, last: int) -> int:
    """The highest band that any cell ever heard of for a range."""
    rows = (
        row
        for states in kept.values()
        for state in states
        for row in Residents(state.residents).rows
    )
    return max((r.band for r in rows if r.start <= last and start <= r.last), default=1)
