"""What a cell is made of: its tables, its cache, and the logs it reads and writes."""

from collections.abc import Sequence
from dataclasses import dataclass

from cell.post_cache import PostCache
from cell.state import CellState
from cell.tables import Tables
from firehose.dead_letters import DeadLetters
from firehose.log import Log


@dataclass(frozen=True, slots=True)
class CellStores:
    """Everything a cell keeps its data in. `log_base` is added to all offsets in versions.

    `firehose` is where its workers read events: the root, or what the relay of its group has
    brought of it, with the root's offsets, times and identity. `relayed_from` is the root then, and
    None otherwise.
    """

    name: str
    tables: Tables
    cache: PostCache
    firehose: Log
    commands: Log
    changes: Log
    dead_letters: DeadLetters
    log_base: int = 0
    relayed_from: Log | None = None

    @property
    def root(self) -> Log:
        """The firehose itself: where events are appended, and whose ends are what has happened by
        now, however far a relay is."""
        return self.relayed_from or self.firehose

    def state(self) -> CellState:
        """The rows of its cell table."""
        return CellState(self.tables, self.firehose.partitions)

    def ends(self) -> tuple[int, ...]:
        """Where the firehose ends now, by partition: what is to be applied."""
        return tuple(span.end for span in self.root.spans())

    def behind(self, ends: Sequence[int]) -> int:
        """How many events below `ends` it has not applied yet, or not yet again for a slice that
        arrived."""
        states = self.state().read()
        return sum(max(0, end - states[p].unfinished) for p, end in enumerate(ends))
