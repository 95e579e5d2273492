"""Reading a Kafka topic from any offset: a few consumers, kept where their last reads ended."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from firehose.client_kafka import LOG, OUT_OF_RANGE, gap, kafka_error, reader_config
from firehose.log import Record
from idgen.errors import DashcellError, Unavailable

READERS_MAX = 8
"""Idle consumers that are kept; each has a connection per broker and two or three threads."""


class _Reader:
    """A consumer of one partition at a time, and where it reads next."""

    def __init__(self, config: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self.consumer = Consumer(dict(config), logger=LOG)
        self.place: tuple[int, int] | None = None
        # It was sent to an offset that the log does not have, and fetches no more.
        self.stopped = False

    def go_to(self, partition: int, offset: int) -> None:
        self.consumer.assign([TopicPartition(self._topic, partition, offset)])
        self.place, self.stopped = (partition, offset), False

    def poll(self, timeout_s: float) -> Any:
        """The next message or None, also when it has just stopped."""
        message = self.consumer.poll(timeout_s)
        error = message.error() if message is not None else None
        if error is None:
            return message
        if error.code() in OUT_OF_RANGE:
            self.stopped = True
        elif not error.retriable():
            raise kafka_error(f"reading {self._topic}", error)
        return None


class KafkaReaders:
    """Consumers for `read`, preferably one that stands where the read begins.

    A read of one place is given to one consumer; at most READERS_MAX stay when idle, the one
    that was not used for longest is closed first.
    """

    def __init__(self, settings: Mapping[str, str], topic: str, timeout_ms: int) -> None:
        self._topic = topic
        self._timeout_ms = timeout_ms
        self._config = {
            **reader_config(settings, topic),
            # A fetch that waits at the end of one partition holds up the move to another.
            "fetch.wait.max.ms": 50,
            "fetch.max.bytes": 8_388_608,
            "fetch.queue.backoff.ms": 10,
        }
        self._lock = threading.Lock()
        self._idle: deque[_Reader] = deque()
        self._closed = threading.Event()

    def read(self, partition: int, offset: int, limit: int, timeout_ms: int) -> list[Record]:
        """See `Log.read`, for a partition that exists and an offset from 0 on."""
        reader = self._take((partition, offset))
        try:
            if reader.place != (partition, offset):
                reader.go_to(partition, offset)
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
        first = self._first(reader, timeout_ms)
        if first is None:
            start, end = reader.consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), self._timeout_ms / 1000
            )
            if offset < start:
                # Kafka's refusal is taken in: a consumer that is closed while it arrives hangs for
                # good (librdkafka issue 4514).
                self._first(reader, self._timeout_ms)
                raise gap(self._topic, partition, offset, start)
            if offset >= end:
                return []
            if reader.stopped:
                reader.go_to(partition, offset)
            first = self._first(reader, self._timeout_ms)
            if first is None:
                raise Unavailable(
                    f"reading {self._topic}/{partition} at {offset}: no answer from Kafka in "
                    f"{self._timeout_ms} ms"
                )
        rest = reader.consumer.consume(limit - 1, 0) if limit > 1 else []
        return [
            Record(partition, message.offset(), message.timestamp()[1], message.value() or b"")
            for message in [first, *rest]
            if message.error() is None and message.offset() >= offset
        ]

    def _first(self, reader: _Reader, timeout_ms: int) -> Any:
        """The first message, or None when there is none in time or the reader has stopped."""
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            left = deadline - time.monotonic()
            message = reader.poll(max(0.0, min(left, 0.2)))
            if self._closed.is_set():
                raise Unavailable(f"reading {self._topic}: the log is closed")
            if message is not None or left <= 0 or reader.stopped:
                return message

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
        return _Reader(self._config, self._topic)

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
        """Close the idle consumers; reads in other threads fail with Unavailable."""
        with self._lock:
            self._closed.set()
            idle = list(self._idle)
            self._idle.clear()
        for reader in idle:
            reader.consumer.close()
