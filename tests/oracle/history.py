"""A recorded history: what was acknowledged and when, and what readers saw and when.

Time is a counter that every record moves on (ticks), so "before" means "known to be before". An
operation that was sent at tick 5 and acknowledged at tick 9 may have taken effect anywhere between.
Operations are recorded in an order that keeps that of every key (the driver sees to it).
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.oracle.model import Key, Line
from tests.oracle.operations import (
    NOTICES,
    POSTS,
    Operation,
    Published,
    Removed,
    Unfollowed,
    Unliked,
)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An operation, when it was sent and when its receipt came (ticks)."""

    operation: Operation
    sent: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Walk:
    """All pages of a reader's lanes from one end to the other, between two ticks.

    `pages`: entries of each page, in the order served. `includes`: every operation acknowledged
    at this tick or earlier was asked for by `at_least` (0: nothing was asked for).
    """

    reader: int
    lanes: frozenset[int]
    oldest_first: bool
    began: int
    ended: int
    pages: tuple[tuple[Line, ...], ...]
    includes: int = 0

    @property
    def keys(self) -> set[Key]:
        """What was seen."""
        return {line.key for line in self.lines()}

    def lines(self) -> Iterator[Line]:
        """All entries, in the order served."""
        for page in self.pages:
            yield from page

    @property
    def name(self) -> str:
        """How violations call this walk."""
        return f"reader {self.reader}, lanes {sorted(self.lanes)}, ticks {self.began}-{self.ended}"


@dataclass(slots=True)
class History:
    """What was done and what was seen. Any number of threads may record."""

    done: list[Acknowledged] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    _ticks: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tick(self) -> int:
        """Now; later calls give higher numbers."""
        with self._lock:
            self._ticks += 1
            return self._ticks

    def acknowledge(self, operation: Operation, sent: int) -> None:
        """An operation that was sent at tick `sent` has its receipt now."""
        with self._lock:
            self._ticks += 1
            self.done.append(Acknowledged(operation, sent, self._ticks))

    def acknowledge_all(self, operations: Sequence[Operation], sent: int) -> None:
        """Operations of one call, in the order of the call."""
        with self._lock:
            self._ticks += 1
            self.done.extend(Acknowledged(o, sent, self._ticks) for o in operations)

    def saw(self, walk: Walk) -> None:
        """A reader's walk is over."""
        with self._lock:
            self.walks.append(walk)

    def operations(self) -> list[Operation]:
        """All that was acknowledged, in an order that keeps that of every key."""
        return [entry.operation for entry in self.done]


def may_hide(operation: Operation, reader: int, key: Key) -> bool:
    """Whether the operation is one that may take the entry from the reader's pages."""
    event, lane, actor = key
    match operation:
        case Removed():
            # Of one's own post it takes the notices of its likes along, whatever their ids.
            own = lane == NOTICES and operation.author == reader
            return own or (operation.author, operation.post) == (actor, event)
        case Unfollowed():
            named = (operation.follower, operation.author)
            return lane == POSTS and named == (reader, actor)
        case Unliked():
            return lane == NOTICES and (operation.actor, operation.author) == (actor, reader)
        case _:
            return False


def concerns(operation: Operation, reader: int) -> bool:
    """Whether the operation can matter to what the reader sees, given its key's other ones."""
    match operation:
        case Published() | Removed():
            return True
        case _:
            named = (
                getattr(operation, "follower", 0),
                getattr(operation, "author", 0),
                getattr(operation, "reader", 0),
            )
            return reader in named
