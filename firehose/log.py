"""The log seam: records in partitions, appended once, read from any offset, found by time.

Adapters: Kafka and SQLite, one contract suite. Records are opaque bytes here.

What is not promised: order between partitions; that offsets are dense forever (they are today in
both adapters, without transactions and compaction); that a failed append left nothing behind.
Every verb raises `Unavailable` when the log's server cannot be reached within its time-out.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from idgen.errors import BadRequest, CursorTooOld

RECORD_BYTES_MAX = 1_000_000
"""A record's value: an event's own limits keep it under 200 KB; Kafka's default limit is 1 MiB."""


class Record(NamedTuple):
    """One record as read: `at_ms` is the log's own append time (milliseconds since 1970)."""

    partition: int
    offset: int
    at_ms: int
    value: bytes


class Appended(NamedTuple):
    """Where a record went; it is durable and will be seen by every reader."""

    partition: int
    offset: int
    at_ms: int


class Span(NamedTuple):
    """The retained offsets of a partition: [start, end)."""

    start: int
    end: int


class Following(Protocol):
    """Some partitions of a log, read on and on from where each of them is; for one thread."""

    def poll(self, limit: int, timeout_ms: int) -> list[Record]:
        """Up to `limit` records, in the order of their offsets in each partition; waits up to
        `timeout_ms` for the first.

        Nothing is given twice, and nothing is left out: raises CursorTooOld (floor: the start
        offset, 8 bytes big-endian) when a partition is read so late that the log has forgotten
        what comes next; Unavailable, after which it may be asked again.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def check_follow(offsets: Mapping[int, int], spans: Sequence[Span], what: str) -> None:
    """Whether all of `offsets` can be followed; `what` names the log. Raises as `Log.follow`."""
    if not offsets:
        raise BadRequest("offsets", "follow at least one partition")
    for partition, offset in offsets.items():
        if not 0 <= partition < len(spans):
            raise BadRequest("offsets", f"there is no partition {partition} of {len(spans)}")
        start, end = spans[partition]
        if offset < start:
            raise CursorTooOld(
                f"{what}/{partition} begins at {start}, {offset} is gone", start.to_bytes(8)
            )
        if offset > end:
            raise BadRequest("offsets", f"{what}/{partition} ends at {end}, before {offset}")


class Log(Protocol):
    """One named log of a fixed number of partitions.

    Opening a log that exists with another number of partitions raises Conflict.
    """

    @property
    def partitions(self) -> int:
        """How many partitions; fixed when the log is created."""
        ...

    @property
    def identity(self) -> str:
        """Never the same for two logs, also not for one deleted and made again by this name."""
        ...

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        """Append (partition, value) pairs; returns in their order once all are durable.

        Records of one call keep their order within a partition. An empty list returns at once.
        Raises BadRequest(records) for a partition that does not exist or a value over
        RECORD_BYTES_MAX, before anything is written; Unavailable when not all were acknowledged
        in time: any of them may have been written.
        """
        ...

    def read(self, partition: int, offset: int, limit: int, timeout_ms: int = 0) -> list[Record]:
        """Up to `limit` records from `offset` on; waits up to `timeout_ms` for the first.

        Large records may be fewer. At or beyond the end: empty. Raises CursorTooOld (floor: the
        start offset, 8 bytes big-endian) when `offset` lies before the start (also one below 0);
        BadRequest(partition) for an unknown partition.
        """
        ...

    def follow(self, offsets: Mapping[int, int]) -> Following:
        """Read partitions on, each from its offset, all in one: what is there already, and then
        what comes.

        Raises CursorTooOld as `read` does; BadRequest(offsets) when there are none, for a partition
        that does not exist, and for an offset beyond the end.
        """
        ...

    def spans(self) -> list[Span]:
        """The retained offsets of every partition, by partition number."""
        ...

    def offsets_at(self, time_ms: int) -> list[int]:
        """Per partition the first offset whose append time is >= `time_ms`.

        Before the first record: the start. After the last: the end.
        """
        ...

    def trim(self, before_ms: int) -> None:
        """Forget records appended before `before_ms` (the log may keep some longer)."""
        ...

    def close(self) -> None:
        """Let go of connections; unfinished appends of other threads fail with Unavailable."""
        ...
