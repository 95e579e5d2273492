"""The groups of a relayed log: those of the group's topic, in root coordinates.

A checkpoint is kept as the topic offset behind the root record before it, and told as the root
offset that comes next there. So the topic's own tools show how far a cell lags behind its group.
"""

import time
from collections.abc import Collection, Mapping

from firehose.checkpoint import Checkpoints, Member, MemberInfo, Polled, clamped
from firehose.log import Log, Record
from firehose.log_relayed import RelayedLog
from firehose.relayed import Follower
from idgen.errors import BadRequest, CursorTooOld, DashcellError


class RelayedCheckpoints:
    """The checkpoint seam over the groups (`inner`) of `topic`, which `log` presents as the root.

    Verbs raise what those of `inner` and of `log` do.
    """

    def __init__(self, inner: Checkpoints, topic: Log, log: RelayedLog) -> None:
        self._inner = inner
        self._topic = topic
        self._log = log

    def join(
        self, group: str, client: str, session_ms: int = 10_000, busy_ms: int | None = None
    ) -> "RelayedMember":
        """See `Checkpoints.join`."""
        member = self._inner.join(group, client, session_ms, busy_ms)
        return RelayedMember(member, self._inner, group, self._topic, self._log)

    def committed(self, group: str) -> dict[int, int]:
        """See `Checkpoints.committed`; one among repetitions may be told too low."""
        places = self._inner.committed(group)
        spans = self._topic.spans() if places else []
        return {p: self._log.root_offset(p, place, spans[p]) for p, place in places.items()}

    def rewind(self, group: str, offsets: Mapping[int, int]) -> None:
        """See `Checkpoints.rewind`."""
        wanted = clamped(offsets, self._log.spans())
        places = {p: self._log.place(p, offset) for p, offset in wanted.items()}
        self._inner.rewind(group, places)

    def members(self, group: str) -> list[MemberInfo]:
        """See `Checkpoints.members`."""
        return self._inner.members(group)

    def groups(self) -> list[str]:
        """See `Checkpoints.groups`."""
        return self._inner.groups()

    def delete(self, group: str) -> None:
        """See `Checkpoints.delete`."""
        self._inner.delete(group)

    def close(self) -> None:
        """See `Checkpoints.close`."""
        self._inner.close()


class RelayedMember:
    """A member of a group of the topic that is given root records, each once and in order.

    `dropped` counts repetitions in the topic.
    """

    def __init__(
        self, inner: Member, groups: Checkpoints, group: str, topic: Log, log: RelayedLog
    ) -> None:
        self._inner = inner
        self._groups = groups
        self._group = group
        self._topic = topic
        self._log = log
        self._followers: dict[int, Follower] = {}
        self._assigned: set[int] = set()
        self._revoked: set[int] = set()
        self.dropped = 0

    @property
    def owned(self) -> frozenset[int]:
        """See `Member.owned`."""
        return self._inner.owned

    def poll(self, limit: int, timeout_ms: int) -> Polled:
        """See `Member.poll`. Raises RelayGap and Corrupt as `RelayedLog.read`, again and again."""
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            left_ms = max(0, round((deadline - time.monotonic()) * 1000))
            polled = self._polled(limit, left_ms)
            for partition in polled.revoked:
                self._followers.pop(partition, None)
            self._assigned = (self._assigned - polled.revoked) | polled.assigned
            self._revoked |= polled.revoked
            records = self._taken(polled.records)
            if records or self._assigned or self._revoked or left_ms == 0:
                found = Polled(records, frozenset(self._assigned), frozenset(self._revoked))
                self._assigned.clear()
                self._revoked.clear()
                return found

    def _polled(self, limit: int, timeout_ms: int) -> Polled:
        try:
            return self._inner.poll(limit, timeout_ms)
        except CursorTooOld as error:
            lost = self._lost()
            if lost is None:
                raise
            start = self._log.spans()[lost].start
            raise CursorTooOld(
                f"group {self._group!r} reads partition {lost} behind the start of the group's "
                f"log, root offset {start}: rewind the group, knowing what is lost ({error})",
                start.to_bytes(8),
            ) from error

    def _lost(self) -> int | None:
        """The first partition that is to be read where the topic has forgotten its records."""
        places = self._groups.committed(self._group)
        places |= {p: follower.place for p, follower in self._followers.items()}
        spans = self._topic.spans()
        lost = [p for p in self._inner.owned if p in places and places[p] < spans[p].start]
        return min(lost, default=None)

    def _taken(self, polled: list[Record]) -> list[Record]:
        """The root records in these; an error leaves all of them to be polled again."""
        before = {p: self._follower(p, place) for p, place in _firsts(polled).items()}
        after = {p: follower.copy() for p, follower in before.items()}
        try:
            taken = [after[record.partition].take(record) for record in polled]
        except DashcellError:
            for partition, follower in before.items():
                self._inner.seek(partition, follower.place)
            raise
        for partition, follower in after.items():
            self._followers[partition] = follower
            dropped = follower.dropped - before[partition].dropped
            self.dropped += dropped
            self._log.dropped += dropped
            self._log.heard(partition, follower.place, follower.expected)
        return [record for record in taken if record is not None]

    def _follower(self, partition: int, place: int) -> Follower:
        """Of a partition that begins where it was committed, one that knows what comes next."""
        found = self._followers.get(partition)
        if found is None:
            expected = self._log.root_offset(partition, place)
            found = Follower(self._log.root, partition, place, expected)
        return found

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See `Member.commit`. Raises CursorTooOld below what the topic retains."""
        for partition, offset in offsets.items():
            if offset < 0:
                raise BadRequest("offsets", f"{offset} of partition {partition} is negative")
        self._inner.commit({p: self._place(p, offset) for p, offset in offsets.items()})

    def _place(self, partition: int, offset: int) -> int:
        follower = self._followers.get(partition)
        known = follower.place_of(offset) if follower is not None else None
        return self._log.place(partition, offset) if known is None else known

    def seek(self, partition: int, offset: int) -> None:
        """See `Member.seek`. Raises CursorTooOld below what the topic retains."""
        if offset < 0:
            raise BadRequest("offset", f"{offset} is negative")
        place = self._log.place(partition, offset)
        self._inner.seek(partition, place)
        self._followers[partition] = Follower(self._log.root, partition, place, offset)

    def pause(self, partitions: Collection[int]) -> None:
        """See `Member.pause`."""
        self._inner.pause(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        """See `Member.resume`."""
        self._inner.resume(partitions)

    def leave(self) -> None:
        """See `Member.leave`."""
        self._inner.leave()
        self._followers.clear()


def _firsts(records: list[Record]) -> dict[int, int]:
    """The lowest offset of each partition."""
    firsts: dict[int, int] = {}
    for record in records:
        firsts.setdefault(record.partition, record.offset)
    return firsts
