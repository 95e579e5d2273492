"""A member of a Kafka consumer group: rebalances, checkpoints and places to read, in one thread."""

import time
from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from firehose.checkpoint import Polled
from firehose.client_kafka import (
    LOG,
    OUT_OF_RANGE,
    Heard,
    gap,
    kafka_error,
    raise_placed,
    retained,
)
from firehose.log import Record
from idgen.errors import BadRequest, Conflict, DashcellError, Unavailable

COMMIT_PATIENCE_S = 5.0
"""For so long a commit is repeated while the group is between two generations."""


_LOST = frozenset(
    {
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._FENCED,  # noqa: SLF001
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001
        KafkaError._STATE,  # noqa: SLF001
    }
)
_BETWEEN = frozenset({KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION})


class KafkaMember:
    """One consumer of a group, used by one thread; rebalances are handled inside `poll`."""

    def __init__(
        self,
        config: Mapping[str, Any],
        admin: AdminClient,
        topic: str,
        partitions: int,
        timeout_ms: int,
    ) -> None:
        self._group = str(config["group.id"])
        self._admin = admin
        self._topic = topic
        self._partitions = partitions
        self._timeout_ms = timeout_ms
        self._owned: set[int] = set()
        self._reported: frozenset[int] = frozenset()
        self._taken: set[int] = set()
        self._paused: set[int] = set()
        # Where each partition is read next, once it was read or sought: the checkpoint before.
        self._next: dict[int, int] = {}
        self._stuck: dict[int, DashcellError] = {}
        # Stopped by librdkafka, and not yet told where to go on.
        self._lost: set[int] = set()
        self._fetched: list[Any] = []
        self._trouble: DashcellError | None = None
        self._heard = Heard()
        self._left = False
        try:
            self._consumer = Consumer({**config, "error_cb": self._heard}, logger=LOG)
        except KafkaException as error:
            raise BadRequest("session_ms", f"librdkafka refuses the settings: {error}") from error
        self._consumer.subscribe(
            [topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    @property
    def owned(self) -> frozenset[int]:
        """See `Member.owned`."""
        return self._reported

    # -- polling -----------------------------------------------------------------------------

    def poll(self, limit: int, timeout_ms: int) -> Polled:
        """See `Member.poll`. Raises Conflict for a checkpoint beyond the end of the log.

        Returns early, without records, when partitions came or went.
        """
        self._check_here()
        self._place_lost()
        self._raise_stuck()
        deadline = time.monotonic() + timeout_ms / 1000
        records: list[Record] = []
        while True:
            left = deadline - time.monotonic()
            # In short turns, since a rebalance is done in here but does not end the wait.
            self._fetch(limit, max(0.0, min(left, 0.1)))
            records = self._sift()
            if records or self._changed() or left <= 0:
                break
            self._place_lost()
            self._raise_stuck()
        if records:
            self._heard.answered()
        elif not self._changed():
            self._heard.check_server(self._consumer, self._topic, f"group {self._group}")
        self._next.update((record.partition, record.offset + 1) for record in records)
        return self._report(records)

    def _fetch(self, limit: int, timeout_s: float) -> None:
        """Take what has arrived; kept in `_fetched`, so that no error on the way loses any."""
        first = self._call(self._consumer.poll, timeout_s)
        if first is not None:
            self._fetched.append(first)
            if limit > 1:
                more = self._call(self._consumer.consume, limit - 1, 0)
                self._fetched += more

    def _report(self, records: list[Record]) -> Polled:
        before, now = self._reported, frozenset(self._owned)
        taken = frozenset(self._taken)
        self._taken.clear()
        self._reported = now
        return Polled(records, now - (before - taken), before & taken)

    def _changed(self) -> bool:
        return bool(self._taken) or self._owned != self._reported

    def _sift(self) -> list[Record]:
        """The records of owned partitions among what was fetched; errors are noted down."""
        fetched, self._fetched = self._fetched, []
        records = []
        for message in fetched:
            error = message.error()
            if error is None:
                if message.partition() in self._owned:
                    records.append(_record(message))
            elif error.code() in OUT_OF_RANGE:
                self._lost.add(message.partition())
            elif error.code() != KafkaError._MAX_POLL_EXCEEDED and not error.retriable():  # noqa: SLF001
                self._trouble = kafka_error(f"group {self._group}", error)
        return records

    def _place_lost(self) -> None:
        """Partitions that cannot be read where they should: begin at the start, or be stuck.

        librdkafka says the same of a partition without checkpoint, of one whose checkpoint lies
        before the start, and of one that retention has overtaken while it was read.
        """
        mine = sorted(self._owned & self._lost)
        if not mine:
            return
        places = [TopicPartition(self._topic, partition) for partition in mine]
        checkpoints = self._call(self._consumer.committed, places, self._timeout_ms / 1000)
        spans = retained(self._admin, self._topic, self._partitions, self._timeout_ms)
        raise_placed(f"checkpoints of group {self._group}", checkpoints)
        for place in checkpoints:
            partition = place.partition
            wanted = self._next.get(partition, place.offset)
            if wanted < 0:
                self._go_to(partition, OFFSET_BEGINNING)
            elif wanted < spans[partition].start:
                self._stuck[partition] = gap(self._topic, partition, wanted, spans[partition].start)
            elif wanted > spans[partition].end:
                self._stuck[partition] = Conflict(
                    f"group {self._group} reads {self._topic}/{partition} on at {wanted}, but it "
                    f"ends at {spans[partition].end}: is it another log? Rewind the group"
                )
            else:
                self._go_to(partition, wanted)
            self._lost.discard(partition)

    def _raise_stuck(self) -> None:
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble
        if self._stuck:
            raise self._stuck[min(self._stuck)]

    # -- rebalances, called within poll and leave --------------------------------------------

    def _assigned(self, consumer: Any, places: list[Any]) -> None:
        consumer.incremental_assign(places)
        self._owned.update(place.partition for place in places)

    def _revoked(self, _consumer: Any, places: list[Any]) -> None:
        self._drop({place.partition for place in places})
        for place in places:
            self._owned.discard(place.partition)
            self._paused.discard(place.partition)
            self._next.pop(place.partition, None)
            self._stuck.pop(place.partition, None)
            self._lost.discard(place.partition)
            if place.partition in self._reported:
                self._taken.add(place.partition)

    def _drop(self, partitions: set[int]) -> None:
        self._fetched = [one for one in self._fetched if one.partition() not in partitions]

    # -- checkpoints -------------------------------------------------------------------------

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See `Member.commit`."""
        self._check_here()
        for partition, offset in offsets.items():
            if offset < 0:
                raise BadRequest("offsets", f"{offset} of partition {partition} is negative")
        foreign = offsets.keys() - self._owned
        if foreign:
            raise Conflict(f"group {self._group}: partitions {sorted(foreign)} are not owned here")
        if offsets:
            self._commit([TopicPartition(self._topic, p, o) for p, o in offsets.items()])

    def _commit(self, places: list[Any]) -> None:
        deadline = time.monotonic() + COMMIT_PATIENCE_S
        while True:
            try:
                done = self._consumer.commit(offsets=places, asynchronous=False)
                failed = next((one.error for one in done if one.error is not None), None)
            except KafkaException as error:
                failed = error.args[0]
            if failed is None:
                return
            if failed.code() in _BETWEEN and time.monotonic() < deadline:
                # The next generation begins without us; what we own stays ours through it.
                time.sleep(0.05)
            elif failed.code() in _BETWEEN | _LOST:
                raise Conflict(
                    f"group {self._group} has gone on without this member ({failed.name()}): what "
                    "it owned is read again by others; poll to take part again"
                )
            else:
                raise kafka_error(f"committing for group {self._group}", failed)

    # -- where to read -----------------------------------------------------------------------

    def seek(self, partition: int, offset: int) -> None:
        """See `Member.seek`. Raises Conflict for a partition that is not owned."""
        self._check_here()
        if offset < 0:
            raise BadRequest("offset", f"{offset} is negative")
        if partition not in self._owned:
            raise Conflict(f"group {self._group}: partition {partition} is not owned here")
        self._drop({partition})
        self._go_to(partition, offset)
        self._next[partition] = offset
        self._stuck.pop(partition, None)
        self._lost.discard(partition)

    def _go_to(self, partition: int, offset: int) -> None:
        """Seek, which librdkafka does only while it fetches: not after an assignment or error.

        Taking the partition up anew works always, and forgets that it was paused.
        """
        place = TopicPartition(self._topic, partition, offset)
        try:
            self._consumer.seek(place)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:  # noqa: SLF001
                raise kafka_error(f"group {self._group}", error.args[0]) from error
            self._call(self._consumer.incremental_unassign, [place])
            self._call(self._consumer.incremental_assign, [place])
            if partition in self._paused:
                self._call(self._consumer.pause, [place])

    def pause(self, partitions: Collection[int]) -> None:
        """See `Member.pause`; partitions that are not owned (any more) are passed over."""
        self._check_here()
        fresh = (set(partitions) & self._owned) - self._paused
        if fresh:
            self._call(self._consumer.pause, [TopicPartition(self._topic, p) for p in fresh])
            self._paused |= fresh

    def resume(self, partitions: Collection[int]) -> None:
        """See `Member.resume`."""
        self._check_here()
        again = set(partitions) & self._paused
        if again:
            self._call(self._consumer.resume, [TopicPartition(self._topic, p) for p in again])
            self._paused -= again

    def leave(self) -> None:
        """See `Member.leave`."""
        if not self._left:
            self._left = True
            self._consumer.close()
            self._owned.clear()
            self._reported = frozenset()

    def _check_here(self) -> None:
        if self._left:
            raise Unavailable(f"group {self._group}: this member has left")

    def _call(self, verb: Any, *arguments: Any) -> Any:
        try:
            return verb(*arguments)
        except KafkaException as error:
            raise kafka_error(f"group {self._group}", error.args[0]) from error


def _record(message: Any) -> Record:
    return Record(
        message.partition(), message.offset(), message.timestamp()[1], message.value() or b""
    )
