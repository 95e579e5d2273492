"""The log seam: records in partitions, appended once, read from any offset, found by time.

Adapters: Kafka and SQLite, one contract suite. Records are opaque bytes here.

What is not promised: order between partitions; that offsets are dense forever (they are today in
both adapters, without transactions and compaction); that a failed append left nothing behind.
Every verb raises `Unavailable` when the log's server cannot be reached within its time-out.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

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
