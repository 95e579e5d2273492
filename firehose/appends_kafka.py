"""Appending to a Kafka topic: one idempotent producer for all threads of a process."""

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from firehose.client_kafka import LOG, client_config, kafka_error
from firehose.log import Appended
from idgen.errors import Unavailable


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


class KafkaAppends:
    """One idempotent producer for all threads, and the thread that hands out its reports.

    The thread is needed: a caller that polled for itself would be given the reports of others.
    """

    def __init__(
        self, settings: Mapping[str, str], topic: str, timeout_ms: int, *, gapless: bool = False
    ) -> None:
        self._topic = topic
        self._timeout_s = timeout_ms / 1000
        self._config = {
            **client_config(settings),
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
        if gapless:
            # Brokers refuse a batch whose predecessor they do not have. What is left is a record
            # that was given up before it was sent (so none is), and one that was refused for good
            # (which then ends the producer). Source: librdkafka's CONFIGURATION.md on this key.
            self._config |= {"enable.gapless.guarantee": True, "message.timeout.ms": 0}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._producer = Producer(self._config, logger=LOG)
        self._poller = threading.Thread(target=self._poll, name=f"append-{topic}", daemon=True)
        self._poller.start()

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        """Append (partition, value) pairs. Raises Unavailable when not all were acknowledged."""
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
                self._producer = Producer(self._config, logger=LOG)

    def _poll(self) -> None:
        while not self._closed.is_set():
            with self._lock:
                producer = self._producer
            producer.poll(0.1)
        # Whoever still waits is told now, and not by its time-out.
        producer.purge()
        producer.flush(5)

    def close(self) -> None:
        """Fail what other threads wait for, and end the thread. Idempotent."""
        self._closed.set()
        self._poller.join(10)
