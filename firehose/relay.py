"""The relay of a cell group: reads the root once, for all cells of the group, into its topic.

Where it goes on is told by the topic alone: there is no second place that could disagree with it.
The checkpoint that it commits at the root is for people who look how far it is, and for a relay
that finds the topic empty: what lay between it and the root's start was lost. Any number of
relays share the partitions; for one that is killed another repeats at most a batch, and two that
both believe they own a partition write repetitions (`firehose.relayed` says why never a gap).
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from firehose.checkpoint import Checkpoints, Member
from firehose.lag import SampledEnds
from firehose.log import Appended, Log, Record
from firehose.position import log_fingerprint
from firehose.relayed import (
    BATCH_RECORDS,
    RelayGap,
    beginning_value,
    relayed_end,
    relayed_value,
)
from idgen.clock import Clock
from idgen.errors import Conflict, CursorTooOld, Unavailable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`poll_ms`: how long to wait for news; `look_ms`: how often to look whether retention has
    emptied a partition of the topic; `pause_ms`: how long to wait after a failure. The session is
    as a cell's worker's.
    """

    poll_ms: int = 200
    look_ms: int = 1_000
    pause_ms: int = 500
    session_ms: int = 10_000
    busy_ms: int = 60_000


@dataclass(slots=True)
class RelayStats:
    """What a relay has done since it started; read by metrics.

    `payload_bytes` with envelopes; `overtaken` counts appends that met those of another relay.
    """

    records: int = 0
    payload_bytes: int = 0
    beginnings: int = 0
    overtaken: int = 0
    recoveries: int = 0


def group_of(cells: str) -> str:
    """The root's consumer group of the relay of a group of cells."""
    return f"relay-{cells}"


class Relay:
    """One relay from `root` (with its `checkpoints`) to `topic`, for the group named `cells`.

    `topic` has the root's number of partitions, keeps records at least as long as the root, holds
    values of `RELAYED_BYTES_MAX`, and on Kafka is opened gapless. Memory: one batch. Raises
    Conflict for another number of partitions.
    """

    def __init__(
        self,
        root: Log,
        checkpoints: Checkpoints,
        topic: Log,
        cells: str,
        client: str,
        clock: Clock,
        settings: RelaySettings | None = None,
    ) -> None:
        if root.partitions != topic.partitions:
            raise Conflict(
                f"the topic of group {cells!r} has {topic.partitions} partitions, the root "
                f"{root.partitions}: make the topic anew with as many"
            )
        self._root = root
        self._checkpoints = checkpoints
        self._topic = topic
        self._group = group_of(cells)
        self._client = client
        self._clock = clock
        self._settings = settings or RelaySettings()
        self._fingerprint = log_fingerprint(root.identity)
        self._next: dict[int, int] = {}
        """Per owned partition the root offset to relay next."""
        self._ends: dict[int, int] = {}
        """Per owned partition where the topic ends, if nobody else appends to it."""
        self._reached: Mapping[int, int] = {}
        """As `_next`, and not forgotten while the relay recovers."""
        self._look_at_ms = 0
        self._seen = SampledEnds(clock)
        self.stats = RelayStats()
        self.begun = False
        """Whether it runs, and has polled."""
        self.trouble = ""

    @property
    def lag_ms(self) -> int:
        """How old the oldest end of the root is, among those that were noted, that it has not come
        to in its partitions; 0: none, and where it stands by."""
        reached = self._reached
        return self._seen.behind_ms(lambda ends: any(ends[p] > at for p, at in reached.items()))

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop`. Raises what must not be passed over: RelayGap when the root has
        forgotten what was not relayed yet, Corrupt for a topic that no relay of this root wrote.
        """
        member = self.join()
        try:
            while not stop.is_set():
                try:
                    self.step(member)
                    self.begun, self.trouble = True, ""
                except (Unavailable, Conflict) as error:
                    _log.warning("relay %s recovers: %s", self._group, error)
                    self.stats.recoveries += 1
                    self.trouble = str(error)
                    self._next = {}  # the next step, after a poll, sees that it has to take over
                    stop.wait(self._settings.pause_ms / 1000)
        finally:
            self.begun = False
            member.leave()

    def join(self) -> Member:
        """A member of the relay's group at the root, for `step`."""
        return self._checkpoints.join(
            self._group, self._client, self._settings.session_ms, self._settings.busy_ms
        )

    def step(self, member: Member) -> None:
        """Poll, append, commit: one batch."""
        self._look(member)
        try:
            polled = member.poll(BATCH_RECORDS, self._settings.poll_ms)
        except CursorTooOld:
            self._take_over(member)  # which says what is lost, or seeks to where nothing is
            return
        if polled.assigned or polled.revoked or member.owned != self._next.keys():
            self._take_over(member)
        elif polled.records:
            self._relay(member, polled.records)

    # Where to go on.

    def _take_over(self, member: Member) -> None:
        """Ownership changed, or is in doubt: ask the topic how far each partition is."""
        self._next = {}
        spans, roots = self._topic.spans(), self._root.spans()
        committed = self._checkpoints.committed(self._group)
        starts: dict[int, int] = {}
        begin: list[int] = []
        for partition in sorted(member.owned):
            span, root = spans[partition], roots[partition]
            if span.start < span.end:
                start = relayed_end(self._fingerprint, self._topic, partition, span)
            else:
                begin.append(partition)
                start = min(root.start, committed.get(partition, root.start))
            if start < root.start:
                raise self._lost(partition, start, root.start)
            if start > root.end:
                raise Conflict(
                    f"partition {partition}: {start} was relayed to the group's topic, but the "
                    f"root ends at {root.end}: it lost its end, or waits to be restored"
                )
            starts[partition] = start
            self._ends[partition] = span.end
        self._begin({p: starts[p] for p in begin})
        member.commit(starts)
        for partition, start in starts.items():
            member.seek(partition, start)
        self._next = self._reached = starts
        self._look_at_ms = self._clock.monotonic_ms() + self._settings.look_ms

    def _lost(self, partition: int, start: int, found: int) -> RelayGap:
        return RelayGap(
            partition,
            start,
            found,
            "the root has forgotten them before they were relayed, so cells of the group that have "
            "not got them otherwise have to be restored or added anew. Stop its relays, delete its "
            f"topic and, by `cellctl firehose delete {self._group} --execute`, how far they were, "
            "and let a relay fill it anew",
        )

    def _begin(self, starts: Mapping[int, int]) -> None:
        """Say in empty partitions of the topic where it begins, or goes on after all was
        forgotten: who reads it could not tell."""
        values = [(p, beginning_value(self._fingerprint, start)) for p, start in starts.items()]
        for appended in self._topic.append(values):
            self._ends[appended.partition] = appended.offset + 1
            self.stats.beginnings += 1

    def _look(self, member: Member) -> None:
        """Every so often: note where the root ends, and begin again what retention has emptied."""
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._look_at_ms:
            return
        self._look_at_ms = now_ms + self._settings.look_ms
        self._seen.note([span.end for span in self._root.spans()])
        if not self._next:
            return
        spans = self._topic.spans()
        owned = self._next.keys() & member.owned
        self._begin({p: self._next[p] for p in sorted(owned) if spans[p].start == spans[p].end})

    # A batch.

    def _relay(self, member: Member, records: Sequence[Record]) -> None:
        """Append records in the order of their partitions; then the checkpoints."""
        following = dict(self._next)
        values = []
        for record in records:
            expected = following[record.partition]
            if record.offset > expected:
                raise self._lost(record.partition, expected, record.offset)
            if record.offset < expected:
                continue
            following[record.partition] += 1
            values.append((record.partition, relayed_value(self._fingerprint, record)))
        appended = self._topic.append(values)
        self._next = self._reached = following
        self.stats.records += len(appended)
        self.stats.payload_bytes += sum(len(value) for _, value in values)
        self._make_way(member, appended)
        touched = {record.partition for record in records}
        member.commit({p: self._next[p] for p in touched})

    def _make_way(self, member: Member, appended: Sequence[Appended]) -> None:
        """Where another relay has appended too, go on behind both: one that is slower would repeat
        all that the other wrote."""
        overtaken = set()
        for partition, offset, _ in appended:
            if offset != self._ends[partition]:
                overtaken.add(partition)
            self._ends[partition] = offset + 1
        spans = self._topic.spans() if overtaken else []
        for partition in overtaken:
            self.stats.overtaken += 1
            end = relayed_end(self._fingerprint, self._topic, partition, spans[partition])
            self._ends[partition] = spans[partition].end
            if end != self._next[partition]:
                member.seek(partition, end)
                self._next[partition] = end
