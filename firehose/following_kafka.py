"""Following a Kafka topic: one consumer of several partitions, without a group."""

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from firehose.client_kafka import LOG, OUT_OF_RANGE, Heard, kafka_error, reader_config, retained
from firehose.log import Record, check_follow

TURN_S = 0.2
"""So long a wait goes on at most before it looks again where it stands."""


class KafkaFollowing:
    """See `firehose.log.Following`."""

    def __init__(
        self,
        settings: Mapping[str, str],
        admin: AdminClient,
        topic: str,
        offsets: Mapping[int, int],
        partitions: int,
        timeout_ms: int,
    ) -> None:
        self._admin = admin
        self._topic = topic
        self._partitions = partitions
        self._timeout_ms = timeout_ms
        check_follow(offsets, retained(admin, topic, partitions, timeout_ms), topic)
        self._next = dict(offsets)
        self._astray = False
        self._heard = Heard()
        self._consumer = Consumer(
            {**reader_config(settings, topic), "error_cb": self._heard}, logger=LOG
        )
        self._place(offsets)

    def poll(self, limit: int, timeout_ms: int) -> list[Record]:
        """See `Following.poll`."""
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            if self._astray:
                self._find_place()
            left_s = deadline - time.monotonic()
            records = []
            for message in self._consume(limit, max(0.0, min(left_s, TURN_S))):
                if message.error() is None:
                    records.append(_record(message))
                else:
                    self._failed(message.error())
            if records:
                self._heard.answered()
                self._next.update((record.partition, record.offset + 1) for record in records)
                return records
            if left_s <= 0 and not self._astray:
                self._heard.check_server(self._consumer, self._topic, f"following {self._topic}")
                return []

    def _consume(self, limit: int, timeout_s: float) -> list[Any]:
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        return [first, *(self._consumer.consume(limit - 1, 0) if limit > 1 else [])]

    def _failed(self, error: Any) -> None:
        if error.code() in OUT_OF_RANGE:
            self._astray = True  # librdkafka fetches no more of that partition
        elif not error.retriable():
            raise kafka_error(f"following {self._topic}", error)

    def _find_place(self) -> None:
        """Retention was quicker than the reading; or the leader has changed, and all is well."""
        spans = retained(self._admin, self._topic, self._partitions, self._timeout_ms)
        check_follow(self._next, spans, self._topic)
        self._place(self._next)

    def _place(self, offsets: Mapping[int, int]) -> None:
        self._consumer.assign([TopicPartition(self._topic, p, o) for p, o in offsets.items()])
        self._astray = False

    def close(self) -> None:
        """Leave at once."""
        self._consumer.close()


def _record(message: Any) -> Record:
    _, at_ms = message.timestamp()
    return Record(message.partition(), message.offset(), at_ms, message.value() or b"")
