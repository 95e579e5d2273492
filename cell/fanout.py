"""Jobs: events with very many writes, done in chunks between other events.

The readers of a giant post are fixed, as of its offset, when it starts. Its state rows are held
back until the last chunk, and its offset stays open in the applied position.
"""

from collections.abc import Callable
from typing import NamedTuple

from cell.tables import FixedRows, Row


class JobKey(NamedTuple):
    """Which event a job is of."""

    partition: int
    offset: int


class Job:
    """The rest of an event: entries still to write, then its state rows.

    `rows` makes some of its `count` entries when they are to be written: until then a giant post
    holds no more than its readers, which posts of one author share. `edge` (follower, author) is
    set for a long unfollow.
    """

    def __init__(
        self,
        key: JobKey,
        count: int,
        rows: Callable[[slice], FixedRows],
        state: list[tuple[str, Row]],
        edge: tuple[int, int] | None = None,
    ) -> None:
        self.key = key
        self.count = count
        self.state = state
        self.edge = edge
        self._rows = rows
        self._next = 0

    @property
    def finished(self) -> bool:
        """Whether all entries were taken."""
        return self._next >= self.count

    @property
    def left(self) -> int:
        """How many entries are still to be taken."""
        return self.count - self._next

    def take(self, count: int) -> FixedRows:
        """The next `count` entries."""
        part = slice(self._next, min(self._next + count, self.count))
        self._next = part.stop
        return self._rows(part)
