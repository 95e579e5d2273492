"""What stands in the way of a move. Pure: facts in, every blocker out."""

from collections.abc import Sequence
from typing import NamedTuple

from router.cells import CellInfo, CellState
from router.moves import ALREADY_MOVING, under_way

LAG_S_MAX = 60.0
"""A target further behind would take long to catch up, and the move with it."""
FRAGMENTS_MAX = 5_000
"""Ranges of readers that each partition's row of a cell may list: some 40 bytes each, in a value of
at most a megabyte, read by every dashboard twice a second."""
SPACE_SHARE = 0.9
"""A disk fuller than that is not filled further."""


class CellFacts(NamedTuple):
    """A cell as far as it matters to a move.

    `lag_s` None: it cannot be reached, or nobody applies anything. `fragments`: ranges of readers
    it lists. `disk_used`: share of its disk that is used; None: not known. `lost`: it knows none of
    the readers whom the routes have there.
    """

    info: CellInfo
    lag_s: float | None
    dead_letters: int = 0
    fragments: int = 0
    disk_used: float | None = None
    lost: bool = False


class Blocker(NamedTuple):
    """Why a move may not begin: a word that stays the same, and a sentence with what to do."""

    cause: str
    why: str


def blockers(source: CellFacts, target: CellFacts, others: Sequence[int]) -> list[Blocker]:
    """All that stands in the way; `others` are moves under way in the range."""
    found = [Blocker(ALREADY_MOVING, under_way(other)) for other in others]
    return [*found, *_of_any(source), *_of_any(target), *_of_target(target)]


def donor_blockers(donor: CellFacts, disk_used: float | None) -> list[Blocker]:
    """All that stands in the way of copying a cell's posts into a new one; `disk_used`: of the disk
    on which the new one's servers are, None: not known."""
    name, found = donor.info.name, _of_any(donor)
    if donor.info.state is not CellState.ACTIVE:
        found.append(
            Blocker("not_active", f"cell {name} is {donor.info.state}: take an active one as donor")
        )
    found += _behind(donor)
    if disk_used is not None and disk_used > SPACE_SHARE:
        found.append(Blocker("no_space", f"the disk is {disk_used:.0%} full: make room"))
    return found


def _of_any(cell: CellFacts) -> list[Blocker]:
    name = cell.info.name
    if cell.lag_s is None:
        return [
            Blocker(
                "unreachable", f"cell {name} cannot be read: see `cellctl describe-cell {name}`"
            )
        ]
    found: list[Blocker] = []
    if cell.lost:
        why = f"cell {name} knows none of its readers: its tables were lost, or are being restored"
        found.append(Blocker("lost", f"{why}; `cellctl restore-cell DIR` (docs/disaster.md)"))
    if cell.dead_letters:
        found.append(
            Blocker(
                "dead_letters",
                f"cell {name} has {cell.dead_letters} open dead letters, of which the other cell "
                f"would not learn: `cellctl dead-letters list {name}`, then retry or discard them",
            )
        )
    if cell.fragments > FRAGMENTS_MAX:
        found.append(
            Blocker(
                "too_many_ranges",
                f"cell {name} lists {cell.fragments:,} ranges of readers, more than "
                f"{FRAGMENTS_MAX:,}: move whole slices, not single readers",
            )
        )
    return found


def _of_target(cell: CellFacts) -> list[Blocker]:
    name, found = cell.info.name, []
    if cell.info.state is not CellState.ACTIVE:
        found.append(
            Blocker("not_active", f"cell {name} is {cell.info.state}: only an active cell takes in")
        )
    if cell.info.cordoned:
        found.append(
            Blocker(
                "cordoned",
                f"cell {name} is cordoned: `cellctl cordon-cell {name} --undo --execute`",
            )
        )
    found += _behind(cell)
    if cell.disk_used is not None and cell.disk_used > SPACE_SHARE:
        found.append(
            Blocker("no_space", f"the disk of cell {name} is {cell.disk_used:.0%} full: make room")
        )
    return found


def _behind(cell: CellFacts) -> list[Blocker]:
    if cell.lag_s is None or cell.lag_s <= LAG_S_MAX:
        return []
    why = (
        f"cell {cell.info.name} is {cell.lag_s:.0f} s behind the firehose, more than "
        f"{LAG_S_MAX:.0f}: wait until `cellctl status` shows less"
    )
    return [Blocker("lagging", why)]
