"""Freshness: what a dashboard knows of its cell's changes, read from the change log as they come.

It knows up to which applied position it has seen all changes, and since when a name is unchanged.
Time here is a stamp: how many changes were seen. After anything that may have been missed (the
first word of a partition, a new owner, a step left out, a log that was trimmed) everything that was
kept so far is out of date.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from cell.changes import Change, Changed, Names, Reached, decode, reached_of
from cell.state import CellState, PartitionState
from firehose.log import Log
from firehose.position import Applied
from idgen.errors import Corrupt, CursorTooOld, DashcellError

_log = logging.getLogger(__name__)

BUCKET_BITS: Final = 20
"""A million buckets of 8 bytes, twice. At 100,000 deliveries a second a page that nobody changed is
read anew about every ten seconds, for a reader in the same bucket."""
_SHIFT: Final = 32 - BUCKET_BITS
READ_MAX: Final = 1_000
WAIT_MS: Final = 1_000


class Known(NamedTuple):
    """What was seen: how many changes, and the newest word of each partition."""

    stamp: int
    reached: Mapping[int, Reached]

    @property
    def applied(self) -> dict[int, Applied]:
        """The applied positions."""
        return {p: word.applied for p, word in self.reached.items()}

    def covers(self, states: Mapping[int, PartitionState]) -> bool:
        """Whether all is known up to the positions in `states`, as the cell's table has them."""
        return all(
            (known := self.reached.get(p)) is not None
            and (known.generation, known.step) >= (state.generation, state.step)
            for p, state in states.items()
        )


class Freshness:
    """Reads the change log in a thread of its own (`follow`); asked by any number of threads."""

    def __init__(self, log: Log, state: CellState) -> None:
        self._log = log
        self._state = state
        # Bucket by bucket the stamp of the last change of a name in it: of readers, of posts.
        self._readers = np.zeros(1 << BUCKET_BITS, dtype=np.int64)
        self._posts = np.zeros(1 << BUCKET_BITS, dtype=np.int64)
        self._void_until = 0
        self._known = Known(0, {})

    @property
    def known(self) -> Known:
        """What was seen up to now."""
        return self._known

    def unchanged(self, reader: int | None, posts: Names, since: int) -> bool:
        """Whether none of these names has changed after the stamp `since`, as far as was seen."""
        if since < self._void_until:
            return False
        if reader is not None and self._readers[reader >> _SHIFT] > since:
            return False
        return bool(self._posts[posts >> _SHIFT].max(initial=0) <= since)

    def follow(self, stop: threading.Event) -> None:
        """Read the log from its end on, until `stop`."""
        at: int | None = None
        while not stop.is_set():
            try:
                if at is None:
                    at = self._begin()
                records = self._log.read(0, at, READ_MAX, WAIT_MS)
            except CursorTooOld:
                at = None
            except DashcellError as error:
                # What is known falls behind the tables, so pages are read from them meanwhile.
                _log.warning("change log away: %s", error)
                stop.wait(WAIT_MS / 1000)
            else:
                for record in records:
                    self._take(record.value)
                    at = record.offset + 1

    def _take(self, value: bytes) -> None:
        try:
            change = decode(value)
        except Corrupt as error:
            _log.error("%s", error)
            self._void_until = self._known.stamp + 1  # it may have named anything
            self.take(Change({}, Changed()))
        else:
            self.take(change)

    def _begin(self) -> int:
        """Forget what was kept, and return where to read. What the table has by now is in all
        pages that are read from now on, and whatever comes later will be told."""
        end = self._log.spans()[0].end
        states = self._state.read()
        self._void_until = self._known.stamp + 1
        reached = {p: reached_of(state) for p, state in states.items()}
        self._known = Known(self._void_until, reached)
        return end

    def take(self, change: Change) -> None:
        """Take over one change."""
        before = self._known
        stamp = before.stamp + 1
        # First what is out of date, then that it was seen: others ask meanwhile.
        self._readers[change.changed.readers >> _SHIFT] = stamp
        self._posts[change.changed.posts >> _SHIFT] = stamp
        reached = dict(before.reached)
        for p, word in change.reached.items():
            newest = reached.get(p)
            if not _is_next(newest, word):
                self._void_until = stamp
            if newest is None or (word.generation, word.step) > (newest.generation, newest.step):
                reached[p] = word
        self._known = Known(stamp, reached)


def _is_next(known: Reached | None, word: Reached) -> bool:
    """Whether nothing can be missing between what is known of a partition and this word.

    One of an owner that was overtaken comes too late to tell anything of positions.
    """
    if known is None or word.generation > known.generation:
        return False
    return word.generation < known.generation or word.step <= known.step + 1
