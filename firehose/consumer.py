"""A consumer whose checkpoint follows the effect: what is not done is polled again.

At least once, and nothing more: correctness rests on effects that may be repeated.
"""

from collections.abc import Iterable

from firehose.checkpoint import Member, Polled
from firehose.log import Record
from idgen.errors import Conflict


class Consumer:
    """Gives batches of a member and commits records only when they are done. For one thread.

    `dropped` counts commits that were not made because the partition had been taken away: its
    owner reads those records again, which is normal.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self._handed: dict[int, int] = {}
        """Per partition the offset after the last record handed out under this ownership."""
        self.dropped = 0

    @property
    def owned(self) -> frozenset[int]:
        """The partitions owned as of the last poll."""
        return self._member.owned

    def poll(self, limit: int, timeout_ms: int) -> Polled:
        """As `Member.poll`; what was handed out of a revoked partition can no longer be done."""
        polled = self._member.poll(limit, timeout_ms)
        for partition in polled.revoked:
            self._handed.pop(partition, None)
        for record in polled.records:
            self._handed[record.partition] = record.offset + 1
        return polled

    def done(self, records: Iterable[Record]) -> None:
        """The effects of these records, and of all before them in their partitions, are durable:
        commit. Raises Unavailable when the checkpoint store is away; try again later.
        """
        offsets: dict[int, int] = {}
        for record in records:
            after = record.offset + 1
            if after > self._handed.get(record.partition, 0):
                self.dropped += 1
            elif after > offsets.get(record.partition, 0):
                offsets[record.partition] = after
        if not offsets:
            return
        try:
            self._member.commit(offsets)
        except Conflict:
            self._commit_each(offsets)

    def _commit_each(self, offsets: dict[int, int]) -> None:
        """One lost partition must not cost the others their checkpoints."""
        for partition, offset in offsets.items():
            try:
                self._member.commit({partition: offset})
            except Conflict:
                self.dropped += 1

    def leave(self) -> None:
        """Leave the group."""
        self._member.leave()
