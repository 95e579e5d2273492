"""One member of a consumer group that is kept in an SQLite file."""

import time
from collections.abc import Collection, Mapping

from firehose.checkpoint import Polled
from firehose.group_sqlite import SqliteGroup
from firehose.log import Record, Span
from idgen.errors import BadRequest, Conflict, CursorTooOld
from idgen.file_sqlite import Connection

OFFSET_MAX = (1 << 63) - 1


class SqliteMember:
    """The member of checkpoint's seam; made by SqliteCheckpoints.join."""

    def __init__(self, group: SqliteGroup, client: str, member: str, session_ms: int) -> None:
        self._group = group
        self._log = group.log
        self._clock = group.clock
        self._row = (member, client, session_ms)
        self._beat_every_ms = session_ms // 3
        self._left = False
        self._epochs: dict[int, int] = {}
        self._next: dict[int, int | None] = {}
        """Where to read next; None: at the start of the log, wherever that is by then."""
        self._paused: set[int] = set()
        self._assigned: set[int] = set()
        self._revoked: set[int] = set()
        self._turn = 0
        self._generation = -1
        self._beat_ms = 0
        self._attend()

    @property
    def owned(self) -> frozenset[int]:
        """The partitions owned as of the last poll."""
        return frozenset(self._next)

    # -- membership --------------------------------------------------------------------------

    def _attend(self) -> None:
        """Tell that we live, and learn what we own from the next poll on."""
        now_ms = self._clock.monotonic_ms()
        generation = self._group.generation()
        self._epochs = self._group.file.write(
            lambda connection: self._group.attend(connection, self._row)
        )
        # Read before our own write: at worst we look once more than needed, never once less.
        self._generation = generation
        self._beat_ms = now_ms

    def _refresh(self) -> None:
        """Attend when it is time, or when the group has changed; note what changed hands."""
        late = self._clock.monotonic_ms() - self._beat_ms >= self._beat_every_ms
        if late or self._group.generation() != self._generation:
            before = dict(self._epochs)
            self._attend()
            for partition, epoch in before.items():
                if partition in self._next and self._epochs.get(partition) != epoch:
                    del self._next[partition]
                    self._paused.discard(partition)
                    self._assigned.discard(partition)
                    self._revoked.add(partition)
        new = self._epochs.keys() - self._next.keys()
        if new:
            committed = self._group.committed()
            for partition in new:
                self._next[partition] = committed.get(partition)
                self._assigned.add(partition)

    def leave(self) -> None:
        """Leave the group at once."""
        if not self._left:
            self._group.file.write(lambda connection: self._group.leave(connection, self._row[0]))
            self._left = True
            self._epochs.clear()
            self._next.clear()

    def _check_member(self) -> None:
        if self._left:
            raise Conflict(f"{self._row[1]!r} has left group {self._group.name!r}; join again")

    # -- reading -----------------------------------------------------------------------------

    def poll(self, limit: int, timeout_ms: int) -> Polled:
        """Up to `limit` records; returns early, without records, when partitions change hands."""
        self._check_member()
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            rung = self._log.rung
            self._refresh()
            records = self._fetch(limit)
            left_s = deadline - time.monotonic()
            if records or self._assigned or self._revoked or left_s <= 0:
                polled = Polled(records, frozenset(self._assigned), frozenset(self._revoked))
                self._assigned.clear()
                self._revoked.clear()
                return polled
            self._log.wait(rung, left_s)

    def _fetch(self, limit: int) -> list[Record]:
        """Records of the partitions that have some, beginning with another one each time."""
        spans = self._log.spans()
        ready = [p for p in sorted(self._next) if p not in self._paused]
        for partition in ready:
            self._check_gap(partition, spans[partition])
        ready = [p for p in ready if (self._next[p] or spans[p].start) < spans[p].end]
        if not ready:
            return []
        first = next((i for i, p in enumerate(ready) if p >= self._turn), 0)
        records: list[Record] = []
        read: dict[int, int] = {}
        for partition in ready[first:] + ready[:first]:
            if len(records) >= limit:
                break
            offset = self._next[partition]
            begin = spans[partition].start if offset is None else offset
            found = self._log.read(partition, begin, limit - len(records))
            if found:
                read[partition] = found[-1].offset + 1
                self._turn = partition + 1
            records += found
        # Only now: had one of the reads failed, the others' records would have been lost.
        self._next.update(read)
        return records

    def _check_gap(self, partition: int, span: Span) -> None:
        offset = self._next[partition]
        if offset is not None and offset < span.start:
            raise CursorTooOld(
                f"group {self._group.name!r} reads partition {partition} next at {offset}, but "
                f"the log begins at {span.start}: rewind the group, knowing what is lost",
                span.start.to_bytes(8),
            )

    # -- placing -----------------------------------------------------------------------------

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Set checkpoints of partitions that have not changed hands since they were assigned."""
        for partition, offset in offsets.items():
            if not 0 <= offset <= OFFSET_MAX:
                raise BadRequest("offsets", f"{offset} of partition {partition} is no offset")
        self._check_member()
        if not offsets:
            return

        def job(connection: Connection) -> None:
            now = self._group.owned(connection, self._row[0])
            lost = sorted(
                p for p in offsets if p not in self._next or now.get(p) != self._epochs.get(p)
            )
            if lost:
                raise Conflict(
                    f"{self._row[1]!r} no longer owns partitions {lost} of group "
                    f"{self._group.name!r}; their owner reads on from the last accepted checkpoint"
                )
            self._group.store(connection, offsets)

        self._group.file.write(job)

    def seek(self, partition: int, offset: int) -> None:
        """Read an owned partition on from `offset`."""
        self._check_member()
        if not 0 <= offset <= OFFSET_MAX:
            raise BadRequest("offset", f"{offset} is no offset")
        if partition not in self._next:
            raise Conflict(f"{self._row[1]!r} does not own partition {partition}; poll first")
        self._next[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        """Give no records of these partitions until resumed, or lost and assigned anew."""
        self._paused |= self._next.keys() & set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        """Give records of these partitions again."""
        self._paused -= set(partitions)
