"""Which cell becomes home to what. Pure: routes and cells in, a decision out."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from idgen.errors import BadRequest
from router.cells import CellInfo, CellState
from router.slices import PLACES, Slices, even

WIDTH_MAX = PLACES // 64
"""The widest slice that one move takes: so each is over soon, and a cancelled one costs little."""
EVEN_ENOUGH = 0.05
"""Cells whose loads differ from the mean by less are left as they are."""


class Transfer(NamedTuple):
    """Readers at places start..last (both included) that are to be homed in `target`."""

    start: int
    last: int
    target: str


def first_routes(cells: Sequence[CellInfo]) -> Slices:
    """The routes of a new platform: equal parts for its active cells, by name, at epoch 1.

    Raises BadRequest(cells) when none is active.
    """
    return even(sorted(cell.name for cell in cells if cell.state is CellState.ACTIVE))


def takers(cells: Iterable[CellInfo]) -> list[str]:
    """The cells that may take readers in, by name: active and not cordoned."""
    return sorted(c.name for c in cells if c.state is CellState.ACTIVE and not c.cordoned)


def drained(slices: Slices, cell: str, cells: Sequence[CellInfo]) -> list[Transfer]:
    """Where all that a cell is home to goes: each part to the cell that has least then.

    Raises BadRequest(cell) when no other cell may take readers in.
    """
    widths = {name: slices.width(name) for name in takers(cells) if name != cell}
    if not widths:
        why = "no other active cell takes readers in: add one, or uncordon one"
        raise BadRequest("cell", why)
    found: list[Transfer] = []
    for start, last in parts_of(slices, cell):
        target = min(sorted(widths), key=lambda name: widths[name])
        widths[target] += last - start + 1
        found.append(Transfer(start, last, target))
    return found


def rebalanced(
    slices: Slices, cells: Sequence[CellInfo], load_of: Callable[[int, int], float]
) -> list[Transfer]:
    """The fewest parts that have to move so that the cells that take readers in have about the same
    load each. `load_of` gives the load of the readers at start..last, in any unit."""
    parts = {name: parts_of(slices, name) for name in takers(cells)}
    loads = {part: load_of(*part) for found in parts.values() for part in found}
    have = {name: sum(loads[part] for part in found) for name, found in parts.items()}
    if not have:
        return []
    mean = sum(have.values()) / len(have)
    found: list[Transfer] = []
    for part, giver in sorted(
        ((part, name) for name, each in parts.items() for part in each),
        key=lambda item: (-loads[item[0]], item),
    ):
        taker = min(sorted(have), key=lambda name: have[name])
        after = have[giver] - loads[part], have[taker] + loads[part]
        uneven = have[giver] > mean * (1 + EVEN_ENOUGH)
        if loads[part] and giver != taker and uneven and after[1] <= after[0]:
            have[giver], have[taker] = after
            found.append(Transfer(*part, taker))
    return found


def parts_of(slices: Slices, cell: str) -> list[tuple[int, int]]:
    """What a cell is home to, as (start, last) of at most WIDTH_MAX places each."""
    return [
        (start, min(start + WIDTH_MAX, end) - 1)
        for i, s in enumerate(slices)
        if s.cell == cell
        for end in [slices.end(i)]
        for start in range(s.start, end, WIDTH_MAX)
    ]
