"""Turns at reading the log, which only so many streams do at once."""

from collections import deque

from ops.stream.outlet import At, Outlet


class Turns:
    """So many at once; the others wait in a row. For the event loop's thread."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._row: deque[Outlet] = deque()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a turn."""
        return bool(self._row)

    async def take(self, outlet: Outlet, at: At) -> None:
        """Wait for a turn, with heartbeats meanwhile. To be given back; raises as Outlet does."""
        if self._free and not self._row:
            self._free -= 1
            return
        self._row.append(outlet)
        try:
            while not (self._free and self._row[0] is outlet):
                await outlet.rest(at)
        except BaseException:
            self._row.remove(outlet)
            self._wake_first()
            raise
        self._row.popleft()
        self._free -= 1
        self._wake_first()

    def give_back(self) -> None:
        """The turn is over."""
        self._free += 1
        self._wake_first()

    def _wake_first(self) -> None:
        if self._free and self._row:
            self._row[0].wake.set()
