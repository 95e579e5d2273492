"""The checkpoint seam: consumer groups that share a log's partitions and remember where to read.

A checkpoint is where a group reads next in a partition. It may be rewound; it is not proof of what
has been applied (a cell keeps that in its own tables). Adapters: Kafka and SQLite, one contract.

At least once: what was polled and not committed is polled again by whoever owns the partition
next. Two members may both believe they own a partition for a while (a stopped process); only the
commit of the true owner is accepted. Every verb raises `Unavailable` when the server is away.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from firehose.log import Record, Span
from idgen.errors import BadRequest


def clamped(offsets: Mapping[int, int], spans: Sequence[Span]) -> dict[int, int]:
    """Offsets by partition, clamped to what a log retains. Raises BadRequest(offsets) for a
    partition that does not exist."""
    for partition in offsets:
        if not 0 <= partition < len(spans):
            raise BadRequest("offsets", f"there is no partition {partition} of {len(spans)}")
    return {p: min(max(offset, spans[p].start), spans[p].end) for p, offset in offsets.items()}


class Polled(NamedTuple):
    """What a poll brought: records in offset order per partition, and changes of ownership.

    `assigned` and `revoked` happened before the records; a partition may be in both (taken away
    and given back: what was known of it is void). Records are of owned partitions only.
    """

    records: list[Record]
    assigned: frozenset[int]
    revoked: frozenset[int]


class MemberInfo(NamedTuple):
    """A live member of a group and what it owns."""

    client: str
    partitions: tuple[int, ...]


class Member(Protocol):
    """One member of a group, used by one thread. Polling keeps it alive."""

    @property
    def owned(self) -> frozenset[int]:
        """The partitions owned as of the last poll."""
        ...

    def poll(self, limit: int, timeout_ms: int) -> Polled:
        """Up to `limit` records of owned, not paused partitions; waits for the first.

        A partition begins at its checkpoint, or at the log's start where there is none. Raises
        CursorTooOld when a checkpoint lies before the log's start: a retention gap is never
        skipped silently.
        """
        ...

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Set the checkpoints (next offset to read) of owned partitions.

        Raises Conflict when one is no longer owned: its new owner will read again from the last
        accepted checkpoint. Raises BadRequest(offsets) for a negative one.
        """
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Read an owned partition on from `offset`; records polled but not returned are dropped."""
        ...

    def pause(self, partitions: Collection[int]) -> None:
        """Give no records of these (owned) partitions until resumed; the member stays alive."""
        ...

    def resume(self, partitions: Collection[int]) -> None:
        """Undo `pause`."""
        ...

    def leave(self) -> None:
        """Leave the group at once; its partitions go to the others. Idempotent."""
        ...


class Checkpoints(Protocol):
    """The consumer groups of one log."""

    def join(
        self, group: str, client: str, session_ms: int = 10_000, busy_ms: int | None = None
    ) -> Member:
        """Become a member. Silent for `session_ms`, a member loses its partitions to others.

        Where the adapter can tell a process that is busy from one that died or was stopped, the
        busy one keeps them for `busy_ms` between two polls (None: `session_ms`).
        """
        ...

    def committed(self, group: str) -> dict[int, int]:
        """The group's checkpoints by partition; partitions without one are left out."""
        ...

    def rewind(self, group: str, offsets: Mapping[int, int]) -> None:
        """Set checkpoints of a group without live members. Raises Conflict when it has some.

        Offsets are clamped to what the log retains. Raises BadRequest for unknown partitions.
        """
        ...

    def members(self, group: str) -> list[MemberInfo]:
        """The live members; none for an unknown group."""
        ...

    def groups(self) -> list[str]:
        """Names of all groups that have members or checkpoints, sorted."""
        ...

    def delete(self, group: str) -> None:
        """Forget a group. Raises Conflict when it has live members; unknown: nothing happens."""
        ...

    def close(self) -> None:
        """Let go of connections; members leave by themselves."""
        ...
