"""The log of a cell group: the group's topic as the root that it was relayed from.

Offsets, append times and identity are the root's, so that versions, positions and tokens are the
same behind a group as at the root. Duplicates in the topic are passed over.
"""

import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

from firehose.log import Following, Log, Record, Span, check_follow
from firehose.position import log_fingerprint
from firehose.relayed import (
    BATCH_RECORDS,
    Follower,
    Relayed,
    open_relayed,
    relayed_end,
    topic_records,
)
from idgen.errors import BadRequest, CursorTooOld, Unavailable


class RelayedLog:
    """The log seam, for reading, over a group's topic. Verbs may be called from many threads.

    `identity` is that of the root. Where the relay has not begun, verbs raise Unavailable. They
    raise RelayGap when records are missing in the topic, and Corrupt for damaged or foreign ones.
    """

    def __init__(self, topic: Log, identity: str) -> None:
        self._topic = topic
        self._identity = identity
        self.root = log_fingerprint(identity)
        self.dropped = 0
        """Repetitions passed over by reads and by members."""
        # Taken out while they are used: one thread each. The others hold values that never change.
        self._idle: dict[int, Follower] = {}
        self._floors: dict[int, tuple[int, int]] = {}
        self._ends: dict[int, tuple[int, int]] = {}

    @property
    def partitions(self) -> int:
        """How many partitions: those of the root."""
        return self._topic.partitions

    @property
    def identity(self) -> str:
        """The root's."""
        return self._identity

    def append(self, records: Sequence[tuple[int, bytes]]) -> NoReturn:
        """Refused: raises BadRequest(records)."""
        raise BadRequest(
            "records",
            f"a group's log is written by its relay alone; append these {len(records)} to the root",
        )

    def read(self, partition: int, offset: int, limit: int, timeout_ms: int = 0) -> list[Record]:
        """See `Log.read`. Reading on where the last read of a partition ended is the fast case."""
        self._check(partition)
        deadline = time.monotonic() + timeout_ms / 1000
        follower = self._idle.pop(partition, None)
        if follower is None or follower.expected != offset:
            follower = self._placed(partition, offset)
        records: list[Record] = []
        while limit > 0 and not records:
            left_ms = max(0, round((deadline - time.monotonic()) * 1000))
            try:
                found = self._topic.read(partition, follower.place, limit, left_ms)
            except CursorTooOld:
                follower = self._placed(partition, offset)
                continue
            if not found and left_ms == 0:
                break
            before = follower.dropped
            taken = [follower.take(record) for record in found]
            records = [record for record in taken if record is not None]
            self.dropped += follower.dropped - before
            self.heard(partition, follower.place, follower.expected)
        self._idle[partition] = follower
        return records

    def follow(self, offsets: Mapping[int, int]) -> "RelayedFollowing":
        """See `Log.follow`."""
        check_follow(offsets, self.spans(), "the group's log")
        followers = {p: self._placed(p, offset) for p, offset in offsets.items()}
        places = {p: follower.place for p, follower in followers.items()}
        return RelayedFollowing(self, self._topic.follow(places), followers)

    def spans(self) -> list[Span]:
        """See `Log.spans`."""
        return [self._span(p, span) for p, span in enumerate(self._topic.spans())]

    def offsets_at(self, time_ms: int) -> list[int]:
        """See `Log.offsets_at`: by the root's append times."""
        spans = self._topic.spans()
        hints = self._topic.offsets_at(time_ms)
        return [
            self._first_at(p, self._span(p, span), self.root_offset(p, hint, span), time_ms)
            for p, (span, hint) in enumerate(zip(spans, hints, strict=True))
        ]

    def _first_at(self, partition: int, span: Span, hint: int, time_ms: int) -> int:
        """Bisection that begins at the hint (records are relayed soon after their append) and goes
        away from it in growing steps."""
        low, high = span
        probe, step = hint, 1
        while low < high:
            if not low <= probe < high:
                probe = (low + high) // 2
            records = self.read(partition, probe, 1)
            if not records or records[0].at_ms >= time_ms:
                high, probe = probe, probe - step
            else:
                low, probe = probe + 1, probe + step
            step *= 2
        return low

    def trim(self, before_ms: int) -> None:
        """See `Log.trim`; the topic's own append times are later, so some more is kept."""
        self._topic.trim(before_ms)

    def close(self) -> None:
        """See `Log.close`: closes the topic."""
        self._topic.close()

    # -- between root and topic --------------------------------------------------------------

    def place(self, partition: int, offset: int) -> int:
        """The topic offset to read at for the root's `offset` to be next; beyond the end: the
        topic's end. Raises CursorTooOld as `read`.
        """
        self._check(partition)
        return self._placed(partition, offset).place

    def root_offset(self, partition: int, place: int, span: Span | None = None) -> int:
        """The root offset that comes next when the topic (which retains `span`) is read at `place`.

        Exact at what `place` returns; among repetitions it may be too low, which is harmless.
        """
        span = span or self._topic.spans()[partition]
        known = self._span(partition, span)
        if place >= span.end:
            return known.end
        if place <= span.start:
            return max(0, known.start - (span.start - place))
        before, at = (self._open(partition, one) for one in (place - 1, place))
        return max(before.next, at.offset)

    def _placed(self, partition: int, offset: int) -> Follower:
        """A follower whose next record is the root's `offset`, or that waits for it at the end.

        What lies in the topic between two root records is at least what lies between them in the
        root, so nothing is passed over by beginning that far behind the first; only where retention
        has cut through what several relays wrote does it have to begin at the first.
        """
        span = self._topic.spans()[partition]
        known = self._span(partition, span)
        if offset < known.start:
            raise CursorTooOld(
                f"partition {partition} of the group's log begins at root offset {known.start}, "
                f"{offset} was trimmed",
                known.start.to_bytes(8),
            )
        if offset >= known.end:
            return Follower(self.root, partition, span.end, offset)
        place = self._find(partition, offset, span.start + offset - known.start, span.end)
        if place is None:
            place = self._find(partition, offset, span.start, span.end)
        # Not found at all: who reads from the start is told what is missing.
        return Follower(self.root, partition, span.start if place is None else place, offset)

    def _find(self, partition: int, offset: int, place: int, end: int) -> int | None:
        """Where in the topic, from `place` on and before `end`, the root's `offset` comes before
        any higher one."""
        while place < end:
            for record in topic_records(self._topic, partition, place, BATCH_RECORDS):
                found = open_relayed(self.root, record)
                if found.next > offset:
                    return record.offset if found.offset == offset else None
                place = record.offset + 1
        return None

    def heard(self, partition: int, place: int, end: int) -> None:
        """Somebody has read the topic up to `place`, where the root's `end` comes next: so much
        has not to be looked at again.
        """
        known_place, known_end = self._ends.get(partition, (0, 0))
        if place > known_place:
            self._ends[partition] = (place, max(end, known_end))

    def _span(self, partition: int, span: Span) -> Span:
        """The root offsets in what the topic retains: the first, and the one after the last."""
        if span.start == span.end:
            raise Unavailable(
                f"partition {partition} of the group's topic is empty: is its relay running?"
            )
        place, start = self._floors.get(partition, (-1, 0))
        if place != span.start:
            start = self._open(partition, span.start).offset
            self._floors[partition] = (span.start, start)
        place, end = self._ends.get(partition, (0, 0))
        if place != span.end:
            unseen = Span(max(place, span.start), span.end)
            end = relayed_end(self.root, self._topic, partition, unseen, end)
            self._ends[partition] = (span.end, end)
        return Span(start, end)

    def _open(self, partition: int, place: int) -> Relayed:
        return open_relayed(self.root, topic_records(self._topic, partition, place, 1)[0])

    def _check(self, partition: int) -> None:
        if not 0 <= partition < self.partitions:
            raise BadRequest("partition", f"there is no {partition} of {self.partitions}")


class RelayedFollowing:
    """See `firehose.log.Following`: the topic's, each root record of it once."""

    def __init__(
        self, log: RelayedLog, following: Following, followers: Mapping[int, Follower]
    ) -> None:
        self._log = log
        self._following = following
        self._followers = dict(followers)

    def poll(self, limit: int, timeout_ms: int) -> list[Record]:
        """See `Following.poll`. Raises as `RelayedLog` too."""
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            left_ms = max(0, round((deadline - time.monotonic()) * 1000))
            found = self._poll(limit, left_ms)
            taken = [self._followers[record.partition].take(record) for record in found]
            records = [record for record in taken if record is not None]
            if records or not found:
                return records

    def _poll(self, limit: int, timeout_ms: int) -> list[Record]:
        try:
            return self._following.poll(limit, timeout_ms)
        except CursorTooOld:  # it tells the topic's offsets
            expected = {p: follower.expected for p, follower in self._followers.items()}
            check_follow(expected, self._log.spans(), "the group's log")
            raise

    def close(self) -> None:
        """Close the topic's."""
        self._following.close()
