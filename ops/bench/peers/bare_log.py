"""The bare log: a Kafka consumer that takes bytes and drops them, or hands them to a producer.

No decoding, no groups, no commits, no order kept over failures: what these reach is the limit of
confluent-kafka, Python's loop around it, and the broker on a machine.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from ops.bench.peers.writer import PeerFailed

Spans = Mapping[int, tuple[int, int]]
"""By partition the first offset, and the one behind the last."""
RECORDS_A_BATCH = 5_000
BATCH_S_MAX = 0.05
SILENCE_S_MAX = 30.0
QUEUE_KB = 262_144
_PULL_S = 0.1


def consume(kafka: str, topic: str, spans: Spans) -> float:
    """Records a second, of one consumer, from when it asks for the first to having the last of
    these spans. Raises PeerFailed."""
    reading = _Reading(kafka, topic, spans)
    count = sum(len(batch) for batch in reading.batches())
    return _rate(count, spans, reading.began)


def copy(kafka: str, topic: str, spans: Spans, into: str) -> float:
    """The same with each value appended to `into`, in its partition, until all are acknowledged by
    as many brokers as the topic asks for."""
    producer = Producer(
        {
            "bootstrap.servers": kafka,
            "acks": "all",
            "compression.type": "lz4",
            "batch.size": 1_000_000,
            "queue.buffering.max.kbytes": QUEUE_KB,
        }
    )
    acknowledged = 0
    failures: list[KafkaError] = []

    def report(error: KafkaError | None, _message: Any) -> None:
        nonlocal acknowledged
        if error is None:
            acknowledged += 1
        else:
            failures.append(error)

    reading = _Reading(kafka, topic, spans)
    for batch in reading.batches():
        for message in batch:
            _produce(producer, into, message, report)
        producer.poll(0)
    producer.flush(SILENCE_S_MAX)
    if failures:
        raise PeerFailed(f"Kafka: {failures[0]}")
    return _rate(acknowledged, spans, reading.began)


def make_topic(kafka: str, topic: str, partitions: int) -> None:
    """Make a topic to copy into, if there is none of the name. Raises PeerFailed."""
    admin = AdminClient({"bootstrap.servers": kafka})
    if topic in admin.list_topics(timeout=SILENCE_S_MAX).topics:
        return
    wanted = NewTopic(topic, num_partitions=partitions, replication_factor=1)
    error = admin.create_topics([wanted])[topic].exception(SILENCE_S_MAX)
    if error is not None:
        raise PeerFailed(f"Kafka: {error}")


def _produce(producer: Any, into: str, message: Any, report: Any) -> None:
    until = time.monotonic() + SILENCE_S_MAX
    while True:
        try:
            producer.produce(
                into, message.value(), partition=message.partition(), on_delivery=report
            )
        except BufferError:  # its queue is full: the broker is the slower one
            if time.monotonic() > until:
                raise PeerFailed(f"Kafka took nothing for {SILENCE_S_MAX} s") from None
            producer.poll(_PULL_S)
        else:
            return


class _Reading:
    """A consumer of spans; `began`: when it asked for the first record (time.perf_counter)."""

    def __init__(self, kafka: str, topic: str, spans: Spans) -> None:
        self._topic = topic
        self._spans = spans
        self._left = {p for p, (first, end) in spans.items() if first < end}
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": "bare-log",
                "enable.auto.commit": False,
            }
        )
        self.began = 0.0

    def batches(self) -> Iterator[list[Any]]:
        """The records within the spans. Raises PeerFailed."""
        topic, consumer = self._topic, self._consumer
        try:
            consumer.list_topics(topic, timeout=SILENCE_S_MAX)  # so that it is connected
            self.began = time.perf_counter()
            starts = [TopicPartition(topic, p, self._spans[p][0]) for p in sorted(self._left)]
            consumer.assign(starts)
            heard = time.monotonic()
            while self._left:
                batch = consumer.consume(RECORDS_A_BATCH, BATCH_S_MAX)
                if not batch and time.monotonic() > heard + SILENCE_S_MAX:
                    raise PeerFailed(f"Kafka was silent for {SILENCE_S_MAX} s about {topic}")
                heard = time.monotonic() if batch else heard
                yield [message for message in batch if self._is_within(message)]
        finally:
            consumer.close()

    def _is_within(self, message: Any) -> bool:
        if message.error() is not None:
            raise PeerFailed(f"Kafka: {message.error()}")
        partition, offset = message.partition(), message.offset()
        end: int = self._spans[partition][1]
        if offset >= end - 1:
            self._left.discard(partition)
        return bool(offset < end)


def _rate(count: int, spans: Spans, began: float) -> float:
    seconds = time.perf_counter() - began
    wanted = sum(end - first for first, end in spans.values())
    if count != wanted:
        raise PeerFailed(f"{count} records where the spans have {wanted}")
    return count / seconds
