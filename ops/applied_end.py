"""Waiting until cells have applied an end of the log: what differs then was no event under way."""

import threading
from collections.abc import Callable, Sequence

from cell.stores import CellStores

PAUSE_S = 0.05

Pause = Callable[[float], object]
"""Lets so many seconds pass."""


def system_pause(seconds: float) -> None:
    """Let time pass."""
    threading.Event().wait(seconds)


def events_left(
    cells: Sequence[CellStores], ends: Sequence[int], wait_s: float, pause: Pause = system_pause
) -> dict[str, int]:
    """How many events below `ends` each of the cells has not applied after at most so long; empty
    as soon as all are."""
    left: dict[str, int] = {}
    for _ in range(int(wait_s / PAUSE_S)):
        left = {cell.name: count for cell in cells if (count := cell.behind(ends))}
        if not left:
            break
        pause(PAUSE_S)
    return left
