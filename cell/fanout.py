"""Jobs: events with very many writes, done in chunks between other events.

The readers of a giant post are fixed, as of its offset, when it starts. Its state rows are held
back until the last chunk, and its offset stays open in the applied position.
"""

from typing import NamedTuple

from cell.tables import FixedRows, Row


class JobKey(NamedTuple):
    """Which event a job is of."""

    partition: int
    offset: int


class Job:
    """The rest of an event: entries still to write, then its state rows.

    `edge` (follower, author) is set for a long unfollow.
    """

    def __init__(
        self,
        key: JobKey,
        rows: FixedRows,
        state: list[tuple[str, Row]],
        edge: tuple[int, int] | None = None,
    ) -> None:
        self.key = key
        self.rows = rows
        self.state = state
        self.edge = edge
        self._next = 0

    @property
    def finished(self) -> bool:
        """Whether all entries were taken."""
        return self._next >= len(self.rows.versions)

    @property
    def left(self) -> int:
        """How many entries are still to be taken."""
        return len(self.rows.versions) - self._next

    def take(self, count: int) -> FixedRows:
        """The next `count` entries."""
        part = slice(self._next, self._next + count)
        self._next += count
        keys, versions, values = self.rows
        return FixedRows(keys[part], versions[part], values[part])
