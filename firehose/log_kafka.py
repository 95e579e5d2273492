"""The log seam over Kafka: one topic with our own partitioning and the broker's append times.

The topic is LogAppendTime, so that a look-up by time is exact whatever clocks producers have.
Durable means what the brokers were told: with three of them replication 3 and min.insync 2; one
alone acknowledges from memory, which survives kill -9 of the broker but not a power cut.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import TopicCollection as _Topics
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from firehose.log import RECORD_BYTES_MAX, Appended, Record, Span
from idgen.errors import (
    BadRequest,
    Conflict,
    CursorTooOld,
    DashcellError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

WEEK_MS = 604_800_000
READERS_MAX = 8
"""Idle consumers kept for `read`; each has a connection per broker and two or three threads."""

_log = logging.getLogger(__name__)

_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_UNKNOWN_WHO = frozenset({KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._AUTHENTICATION})  # noqa: SLF001
_NO_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001
_OUT_OF_RANGE = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})  # noqa: SLF001


def kafka_error(what: str, error: KafkaError) -> DashcellError:
    """Kafka's error as one of ours: what a client can do about it decides, not where it arose."""
    code = error.code()
    text = f"{what}: Kafka says {error.name()} ({error.str()})"
    ours: DashcellError = Unavailable(text)
    if code in _DENIED:
        ours = PermissionDenied(f"{text}; grant it with kafka-acls")
    elif code in _UNKNOWN_WHO:
        ours = Unauthenticated(f"{text}; check the sasl.* settings")
    elif code in _NO_TOPIC:
        ours = NotFound(f"{text}; it is made when the log is opened")
    ours.__cause__ = KafkaException(error)
    return ours


def gap(topic: str, partition: int, offset: int, start: int) -> CursorTooOld:
    """What is raised when `offset` is wanted and the log begins later, at `start`."""
    return CursorTooOld(
        f"{topic}/{partition} begins at {start}, {offset} is gone", start.to_bytes(8)
    )


def settled(what: str, future: "Future[Any]", timeout_ms: int) -> Any:
    """The result of an AdminClient call. Raises Unavailable when it does not come in time."""
    try:
        # librdkafka ends the request itself after its own time-out; the margin lets it say why.
        return future.result(timeout_ms / 1000 + 1)
    except KafkaException as error:
        raise kafka_error(what, error.args[0]) from error
    except FutureTimeoutError as error:
        raise Unavailable(f"{what}: no answer from Kafka in {timeout_ms} ms") from error


def admin_client(settings: Mapping[str, str], timeout_ms: int) -> AdminClient:
    """An AdminClient with these librdkafka settings whose requests end in `timeout_ms`."""
    bounds = {"socket.timeout.ms": timeout_ms, "socket.connection.setup.timeout.ms": timeout_ms}
    return AdminClient({**settings, **bounds}, logger=_log)


def retained(admin: AdminClient, topic: str, partitions: int, timeout_ms: int) -> list[Span]:
    """The offsets that the topic holds now: two requests to each leader, side by side."""
    ends = [
        _list_offsets(admin, topic, partitions, spec, timeout_ms)
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
    ]
    what = f"offsets of {topic}"
    starts, stops = (
        [settled(what, future, timeout_ms).offset for future in futures] for futures in ends
    )
    return [Span(start, end) for start, end in zip(starts, stops, strict=True)]


def _list_offsets(
    admin: AdminClient, topic: str, partitions: int, spec: Any, timeout_ms: int
) -> "list[Future[Any]]":
    asked = [TopicPartition(topic, partition) for partition in range(partitions)]
    futures = admin.list_offsets(dict.fromkeys(asked, spec), request_timeout=timeout_ms / 1000)
    return [futures[one] for one in asked]


class KafkaLog:
    """A log that is a Kafka topic. All verbs may be called from many threads.

    `settings` are librdkafka's own keys (bootstrap.servers, security.protocol, sasl.*, ssl.*) and
    go to every client. The topic is made when it is not there. Raises Conflict when it has another
    number of partitions or client-given timestamps, Unavailable when no broker answers.
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
    ) -> None:
        self._settings = dict(settings)
        self._topic = topic
        self._partitions = partitions
        self._timeout_ms = timeout_ms
        self._admin = admin_client(settings, timeout_ms)
        wanted = _wanted(topic, partitions, replication, retention_ms)
        self._identity = _open_topic(self._admin, wanted, timeout_ms)
        self._producer = _SharedProducer(self._settings, topic, timeout_ms)
        self._readers = _Readers(self._settings, topic, timeout_ms)

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
            if len(value) > RECORD_BYTES_MAX:
                raise BadRequest("records", f"{len(value)} bytes are over {RECORD_BYTES_MAX}")
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

    def spans(self) -> list[Span]:
        """See `Log.spans`."""
        return retained(self._admin, self._topic, self._partitions, self._timeout_ms)

    def offsets_at(self, time_ms: int) -> list[int]:
        """See `Log.offsets_at`."""
        # Negative times mean "earliest" and "latest" to Kafka.
        spec = OffsetSpec.for_timestamp(max(0, time_ms))
        futures = _list_offsets(self._admin, self._topic, self._partitions, spec, self._timeout_ms)
        what = f"offsets of {self._topic} at {time_ms}"
        found = [settled(what, future, self._timeout_ms).offset for future in futures]
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
        cause = error.__cause__
        if not isinstance(cause, KafkaException) or (
            cause.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS
        ):
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


class _Batch:
    """The records of one append that wait for their brokers."""

    def __init__(self, size: int) -> None:
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._left = size
        self._appended: list[Appended | None] = [None] * size
        self._error: KafkaError | None = None

    def delivered(self, index: int, error: KafkaError | None, message: Any) -> None:
        """Called by the poll thread, once per record."""
        with self._lock:
            if error is not None:
                self._error = self._error or error
            else:
                at_ms = message.timestamp()[1]
                self._appended[index] = Appended(message.partition(), message.offset(), at_ms)
            self._left -= 1
            if self._left == 0:
                self._done.set()

    def wait(self, topic: str, timeout_s: float) -> list[Appended]:
        """Raises Unavailable when not all were acknowledged."""
        finished = self._done.wait(timeout_s)
        with self._lock:
            if self._error is not None:
                raise kafka_error(f"appending to {topic}", self._error)
            whole = [one for one in self._appended if one is not None]
        if not finished or len(whole) < len(self._appended):
            raise Unavailable(f"appending to {topic}: not acknowledged in {timeout_s:.1f} s")
        return whole


class _SharedProducer:
    """One idempotent producer for all threads, and the thread that hands out its reports.

    The thread is needed: a caller that polled for itself would be given the reports of others.
    """

    def __init__(self, settings: Mapping[str, str], topic: str, timeout_ms: int) -> None:
        self._topic = topic
        self._timeout_s = timeout_ms / 1000
        self._config = {
            **settings,
            "acks": "all",
            "enable.idempotence": True,
            # Batches form by themselves while five requests are in flight; waiting only adds.
            "linger.ms": 0,
            "compression.type": "lz4",
            "message.max.bytes": 1_048_000,
            "batch.size": 1_000_000,
            "message.timeout.ms": timeout_ms,
            "queue.buffering.max.kbytes": 262_144,
        }
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._producer = Producer(self._config, logger=_log)
        self._poller = threading.Thread(target=self._poll, name=f"append-{topic}", daemon=True)
        self._poller.start()

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        batch = _Batch(len(records))
        # librdkafka gives a record up after message.timeout.ms; the margin lets it say why.
        deadline = time.monotonic() + self._timeout_s + 1
        with self._lock:
            producer = self._producer
        for index, (partition, value) in enumerate(records):
            report = partial(batch.delivered, index)
            while not self._produce(producer, partition, value, report):
                if time.monotonic() > deadline:
                    raise Unavailable(f"appending to {self._topic}: its queue stays full")
        return batch.wait(self._topic, deadline - time.monotonic())

    def _produce(self, producer: Any, partition: int, value: bytes, report: Any) -> bool:
        """Queue a record; False when the queue is full."""
        if self._closed.is_set():
            raise Unavailable(f"appending to {self._topic}: the log is closed")
        try:
            producer.produce(self._topic, value, partition=partition, on_delivery=report)
        except BufferError:
            producer.poll(0.01)
            return False
        except KafkaException as error:
            if error.args[0].fatal() or error.args[0].code() == KafkaError._FATAL:  # noqa: SLF001
                self._replace(producer)
            raise kafka_error(f"appending to {self._topic}", error.args[0]) from error
        return True

    def _replace(self, broken: Any) -> None:
        """A producer with a fatal error takes no more records: begin again with another."""
        with self._lock:
            if self._producer is broken and not self._closed.is_set():
                broken.purge()
                broken.poll(0)
                self._producer = Producer(self._config, logger=_log)

    def _poll(self) -> None:
        while not self._closed.is_set():
            with self._lock:
                producer = self._producer
            producer.poll(0.1)
        # Whoever still waits is told now, and not by its time-out.
        producer.purge()
        producer.flush(5)

    def close(self) -> None:
        self._closed.set()
        self._poller.join(10)


class _Reader:
    """A consumer of one partition at a time, and where it reads next."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.consumer = Consumer(dict(config), logger=_log)
        self.place: tuple[int, int] | None = None


class _Readers:
    """Consumers for `read`, preferably one that stands where the read begins.

    A read of one place is given to one consumer; at most READERS_MAX stay when idle, the one
    that was not used for longest is closed first.
    """

    def __init__(self, settings: Mapping[str, str], topic: str, timeout_ms: int) -> None:
        self._topic = topic
        self._timeout_ms = timeout_ms
        self._config = {
            **settings,
            # librdkafka asks for a group's name; without subscription and commit nobody sees it.
            "group.id": f"{topic}-readers",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 500,
            "fetch.message.max.bytes": 1_048_576,
            "fetch.max.bytes": 8_388_608,
            "queued.max.messages.kbytes": 8_192,
            "fetch.queue.backoff.ms": 10,
        }
        self._lock = threading.Lock()
        self._idle: deque[_Reader] = deque()
        self._closed = threading.Event()

    def read(self, partition: int, offset: int, limit: int, timeout_ms: int) -> list[Record]:
        reader = self._take((partition, offset))
        try:
            if reader.place != (partition, offset):
                reader.place = None
                reader.consumer.assign([TopicPartition(self._topic, partition, offset)])
            records = self._collect(reader, partition, offset, limit, timeout_ms)
        except KafkaException as error:
            reader.consumer.close()
            raise kafka_error(f"reading {self._topic}", error.args[0]) from error
        except DashcellError:
            reader.consumer.close()
            raise
        reader.place = (partition, records[-1].offset + 1 if records else offset)
        self._give_back(reader)
        return records

    def _collect(
        self, reader: _Reader, partition: int, offset: int, limit: int, timeout_ms: int
    ) -> list[Record]:
        """Wait for the first record, then take what has arrived with it.

        When none comes in time, the log itself is asked whether there is one: with a time-out of
        zero nothing can have been fetched yet.
        """
        first = self._poll(reader, timeout_ms)
        if not first:
            start, end = reader.consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), self._timeout_ms / 1000
            )
            if offset < start:
                raise gap(self._topic, partition, offset, start)
            if offset >= end:
                return []
            # The consumer may have met the end, or nothing at all, just before: begin anew.
            reader.consumer.assign([TopicPartition(self._topic, partition, offset)])
            first = self._poll(reader, self._timeout_ms)
            if not first:
                raise Unavailable(
                    f"reading {self._topic}/{partition} at {offset}: no answer from Kafka in "
                    f"{self._timeout_ms} ms"
                )
        rest = reader.consumer.consume(limit - 1, 0) if limit > 1 else []
        return [
            Record(partition, message.offset(), message.timestamp()[1], message.value() or b"")
            for message in [*first, *rest]
            if message.error() is None and message.offset() >= offset
        ]

    def _poll(self, reader: _Reader, timeout_ms: int) -> list[Any]:
        """The first message, or none in time, or none because the place is out of range."""
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            left = deadline - time.monotonic()
            message = reader.consumer.poll(max(0.0, min(left, 0.2)))
            if self._closed.is_set():
                raise Unavailable(f"reading {self._topic}: the log is closed")
            if message is not None:
                error = message.error()
                if error is None:
                    return [message]
                if error.code() in _OUT_OF_RANGE:
                    return []
                if not error.retriable():
                    raise kafka_error(f"reading {self._topic}", error)
            if left <= 0:
                return []

    def _take(self, place: tuple[int, int]) -> _Reader:
        with self._lock:
            if self._closed.is_set():
                raise Unavailable(f"reading {self._topic}: the log is closed")
            for reader in self._idle:
                if reader.place == place:
                    self._idle.remove(reader)
                    return reader
            if len(self._idle) >= READERS_MAX:
                return self._idle.popleft()
        return _Reader(self._config)

    def _give_back(self, reader: _Reader) -> None:
        with self._lock:
            if self._closed.is_set():
                surplus: _Reader | None = reader
            else:
                self._idle.append(reader)
                surplus = self._idle.popleft() if len(self._idle) > READERS_MAX else None
        if surplus is not None:
            surplus.consumer.close()

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            idle = list(self._idle)
            self._idle.clear()
        for reader in idle:
            reader.consumer.close()
