"""The log seam over Kafka: one topic with our own partitioning and the broker's append times.

The topic is LogAppendTime, so that a look-up by time is exact whatever clocks producers have.
Durable means what the brokers were told: with three of them replication 3 and min.insync 2; one
alone acknowledges from memory, which survives kill -9 of the broker but not a power cut.
"""

import time
from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka import TopicCollection as _Topics
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from firehose.appends_kafka import KafkaAppends
from firehose.client_kafka import (
    admitted,
    gap,
    kafka_code,
    list_offsets,
    retained,
    settled,
)
from firehose.following_kafka import KafkaFollowing
from firehose.log import RECORD_BYTES_MAX, Appended, Record, Span
from firehose.reads_kafka import KafkaReaders
from idgen.errors import BadRequest, Conflict, DashcellError, NotFound, Unavailable

WEEK_MS = 604_800_000


class KafkaLog:
    """A log that is a Kafka topic. All verbs may be called from many threads.

    `settings` are librdkafka's own keys (bootstrap.servers, security.protocol, sasl.*, ssl.*) and
    go to every client. The topic is made when it is not there. Values have at most `bytes_max`
    bytes. `gapless` is for a relay: no record lies in a partition without those that this client
    was to append there before, also when appends fail; what was not acknowledged in time may still
    come later. Raises Conflict when the topic has another number of partitions or client-given
    timestamps, Unavailable when no broker answers, and Unauthenticated when brokers refuse our
    user, password or certificate, or we theirs.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        topic: str,
        partitions: int,
        *,
        replication: int = 1,
        retention_ms: int = WEEK_MS,
        timeout_ms: int = 10_000,
        bytes_max: int = RECORD_BYTES_MAX,
        gapless: bool = False,
    ) -> None:
        self._settings = dict(settings)
        self._topic = topic
        self._bytes_max = bytes_max
        self._partitions = partitions
        self._timeout_ms = timeout_ms
        self._admin = admitted(settings, f"opening topic {topic}", timeout_ms)
        wanted = _wanted(topic, partitions, replication, retention_ms)
        self._identity = _open_topic(self._admin, wanted, timeout_ms)
        self._producer = KafkaAppends(self._settings, topic, timeout_ms, gapless=gapless)
        self._readers = KafkaReaders(self._settings, topic, timeout_ms)

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return self._partitions

    @property
    def identity(self) -> str:
        """Kafka's topic id: drawn at random when the topic is made."""
        return self._identity

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        """See `Log.append`."""
        for partition, value in records:
            if not 0 <= partition < self._partitions:
                raise BadRequest(
                    "records", f"partition {partition} is not 0..{self._partitions - 1}"
                )
            if len(value) > self._bytes_max:
                raise BadRequest("records", f"{len(value)} bytes are over {self._bytes_max}")
        return self._producer.append(records) if records else []

    def read(self, partition: int, offset: int, limit: int, timeout_ms: int = 0) -> list[Record]:
        """See `Log.read`. Reading on where the last read of a partition ended is the fast case."""
        if not 0 <= partition < self._partitions:
            raise BadRequest("partition", f"{partition} is not 0..{self._partitions - 1}")
        if limit <= 0:
            return []
        if offset < 0:
            raise gap(self._topic, partition, offset, self.spans()[partition].start)
        return self._readers.read(partition, offset, limit, timeout_ms)

    def follow(self, offsets: Mapping[int, int]) -> KafkaFollowing:
        """See `Log.follow`."""
        return KafkaFollowing(
            self._settings, self._admin, self._topic, offsets, self._partitions, self._timeout_ms
        )

    def spans(self) -> list[Span]:
        """See `Log.spans`."""
        return retained(self._admin, self._topic, self._partitions, self._timeout_ms)

    def offsets_at(self, time_ms: int) -> list[int]:
        """See `Log.offsets_at`."""
        # Negative times mean "earliest" and "latest" to Kafka.
        spec = OffsetSpec.for_timestamp(max(0, time_ms))
        (found,) = list_offsets(
            self._admin, self._topic, self._partitions, [spec], self._timeout_ms
        )
        if min(found, default=0) >= 0:
            return found
        # -1: no record is that new. The end is asked for afterwards, so what is appended in
        # between counts as before it; it was appended after the question.
        ends = [span.end for span in self.spans()]
        return [end if at < 0 else at for at, end in zip(found, ends, strict=True)]

    def trim(self, before_ms: int) -> None:
        """See `Log.trim`: the start moves at once, the disk space comes back with the segments."""
        offsets = self.offsets_at(before_ms)
        cut = [TopicPartition(self._topic, p, offset) for p, offset in enumerate(offsets)]
        futures = self._admin.delete_records(cut, request_timeout=self._timeout_ms / 1000)
        for future in futures.values():
            settled(f"trimming {self._topic}", future, self._timeout_ms)

    def close(self) -> None:
        """See `Log.close`. Idempotent."""
        self._producer.close()
        self._readers.close()


def _wanted(topic: str, partitions: int, replication: int, retention_ms: int) -> NewTopic:
    return NewTopic(
        topic,
        num_partitions=partitions,
        replication_factor=replication,
        config={
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(retention_ms),
            # Kafka forgets whole segments only, and keeps the newest: so roll them by time too.
            "segment.ms": str(max(60_000, min(86_400_000, retention_ms // 7))),
            "cleanup.policy": "delete",
            "min.insync.replicas": "2" if replication >= 3 else "1",
            "unclean.leader.election.enable": "false",
        },
    )


def _open_topic(admin: AdminClient, wanted: NewTopic, timeout_ms: int) -> str:
    """Make the topic unless it is there, wait until it has leaders, and return its id.

    Raises Conflict when it is there with another shape.
    """
    topic = wanted.topic
    made = admin.create_topics([wanted], request_timeout=timeout_ms / 1000)[topic]
    try:
        settled(f"making topic {topic}", made, timeout_ms)
    except DashcellError as error:
        if kafka_code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    identity = _described(admin, topic, wanted.num_partitions, timeout_ms)
    _check_times(admin, topic, timeout_ms)
    return identity


def _described(admin: AdminClient, topic: str, partitions: int, timeout_ms: int) -> str:
    """The id of the topic, once every partition has a leader."""
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        asked = admin.describe_topics(_Topics([topic]), request_timeout=timeout_ms / 1000)[topic]
        try:
            found = settled(f"describing topic {topic}", asked, timeout_ms)
        except NotFound:
            # A topic that was just made is told to the brokers one after the other.
            found = None
        if found is not None and len(found.partitions) != partitions:
            raise Conflict(
                f"topic {topic} has {len(found.partitions)} partitions and not {partitions}; "
                "the number is fixed for the life of a log"
            )
        if found is not None and all(one.leader is not None for one in found.partitions):
            return str(found.topic_id)
        if time.monotonic() > deadline:
            raise Unavailable(f"topic {topic} has partitions without a leader")
        time.sleep(0.02)


def _check_times(admin: AdminClient, topic: str, timeout_ms: int) -> None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    asked = admin.describe_configs([resource], request_timeout=timeout_ms / 1000)[resource]
    found = settled(f"settings of topic {topic}", asked, timeout_ms)
    if found["message.timestamp.type"].value != "LogAppendTime":
        raise Conflict(
            f"topic {topic} keeps its producers' timestamps, so times cannot be looked up: set "
            "message.timestamp.type=LogAppendTime with kafka-configs while it is empty"
        )
