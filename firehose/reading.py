"""Reading the firehose from one place on: to another place, or on and on.

What lies in the log already and what comes are read by the same offsets, so there is no moment at
which one becomes the other, and nothing to be lost or doubled there.
"""

from collections.abc import Mapping
from typing import NamedTuple

from firehose.cursor import Cursor, cursor_of
from firehose.event import Event
from firehose.event_json import read_event
from firehose.log import Following, Log, Record
from firehose.places import gap_before
from firehose.selection import Selection
from idgen.errors import CursorTooOld


class Batch(NamedTuple):
    """Events that are wanted, in the order of their offsets in each partition; and how many records
    were looked at for them."""

    events: list[tuple[Record, Event | str]]
    looked_at: int


class Reading:
    """One pass over some partitions of a log; for one thread.

    `start`: the offset to begin at in each of them. `until`: where each ends, not read any more;
    None: it goes on and on. Raises as `Log.follow`.
    """

    def __init__(
        self,
        log: Log,
        selection: Selection,
        start: Mapping[int, int],
        until: Mapping[int, int] | None = None,
    ) -> None:
        self._log = log
        self._identity = log.identity
        self._selection = selection
        self._next = dict(start)
        self._until = until
        self._following: Following | None = None

    @property
    def cursor(self) -> Cursor:
        """Where it stands: all before is in the batches so far, as far as it is wanted."""
        return cursor_of(self._identity, self._log.partitions, self._next)

    @property
    def done(self) -> bool:
        """Whether it has come to `until` everywhere."""
        return not self._open()

    def read(self, limit: int, timeout_ms: int) -> Batch:
        """What comes next, of at most `limit` records; waits up to `timeout_ms` for the first.

        Raises CursorTooOld (see `firehose.places.gap_before`) when the log forgot what comes next;
        Unavailable, and may be asked again then.
        """
        open_ = self._open()
        if not open_:
            return Batch([], 0)
        if self._following is None:
            self._following = self._log.follow(open_)
        records = self._polled(self._following, limit, timeout_ms)
        found: list[tuple[Record, Event | str]] = []
        for record in records:
            if self._until is not None and record.offset >= self._until[record.partition]:
                continue
            self._next[record.partition] = record.offset + 1
            event = read_event(record)
            if self._selection.wants(event):
                found.append((record, event))
        if self._open().keys() != open_.keys():
            self.close()  # what is done is not to be read on for nothing
        return Batch(found, len(records))

    def _polled(self, following: Following, limit: int, timeout_ms: int) -> list[Record]:
        try:
            return following.poll(limit, timeout_ms)
        except CursorTooOld as of_partition:
            raise gap_before(self.cursor, self._log.spans()) or of_partition from None

    def _open(self) -> dict[int, int]:
        if self._until is None:
            return self._next
        return {p: offset for p, offset in self._next.items() if offset < self._until[p]}

    def close(self) -> None:
        """Let go of connections."""
        if self._following is not None:
            self._following.close()
            self._following = None
