"""The checkpoint seam over Kafka's consumer groups, by their own names: Kafka's tools see them.

Partitions move by the cooperative-sticky protocol. A partition that is taken away takes its
owner's memory with it, and the eager protocols take all of them from everybody whenever somebody
comes or goes; with this one whoever stays keeps what it has and goes on reading meanwhile.

Kafka checks a commit by the member and the generation of the group, not by who owns the partition:
so a member looks at its own partitions first, and a group moves on to a new generation only after
every live member has been told in `poll` what it lost.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from firehose.checkpoint import MemberInfo, clamped
from firehose.client_kafka import (
    LOG,
    Heard,
    admin_client,
    client_config,
    kafka_code,
    kafka_error,
    raise_placed,
    retained,
    settled,
)
from firehose.member_kafka import KafkaMember
from idgen.errors import Conflict, DashcellError

_LIVE = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP})

AHEAD = 20_000
"""Records that a member has waiting before it asks for no more, all partitions together."""


class KafkaCheckpoints:
    """The consumer groups of one topic. All verbs may be called from many threads.

    `settings` are librdkafka's own keys; the topic is made by whoever opens the log. Verbs raise
    Unavailable when Kafka does not answer within `timeout_ms`.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        topic: str,
        partitions: int,
        *,
        timeout_ms: int = 10_000,
    ) -> None:
        self._settings = dict(settings)
        self._topic = topic
        self._partitions = partitions
        self._timeout_ms = timeout_ms
        self._admin = admin_client(settings, timeout_ms)

    def join(
        self, group: str, client: str, session_ms: int = 10_000, busy_ms: int | None = None
    ) -> KafkaMember:
        """See `Checkpoints.join`. Kafka allows sessions from group.min.session.timeout.ms on."""
        config = {
            **client_config(self._settings),
            "group.id": group,
            "client.id": client,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # A checkpoint before the start must be told; where there is none, we begin ourselves.
            "auto.offset.reset": "error",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": session_ms,
            # A heartbeat's answer is how a member hears that the group shares out anew.
            "heartbeat.interval.ms": max(100, min(500, session_ms // 4)),
            # Heartbeats go on in the background while the caller is busy, or hangs.
            "max.poll.interval.ms": max(session_ms, busy_ms or session_ms),
            "socket.timeout.ms": max(self._timeout_ms, session_ms),
            # What is fetched ahead is bounded: 16 MiB, and 1 MiB a partition and request.
            "queued.max.messages.kbytes": 16_384,
            # With so many records waiting, a partition is left alone until they are taken. At
            # librdkafka's own 100,000 a busy member is sent every few new records by themselves,
            # which took Kafka twice the CPU and producers twice the time (64 partitions).
            "queued.min.messages": max(300, AHEAD // self._partitions),
            "fetch.message.max.bytes": 1_048_576,
            "fetch.max.bytes": 8_388_608,
            "fetch.queue.backoff.ms": 10,
        }
        return KafkaMember(config, self._admin, self._topic, self._partitions, self._timeout_ms)

    def committed(self, group: str) -> dict[int, int]:
        """See `Checkpoints.committed`."""
        places = [TopicPartition(self._topic, p) for p in range(self._partitions)]
        what = f"checkpoints of group {group}"
        with self._asking(group, what) as consumer:
            found = consumer.committed(places, self._timeout_ms / 1000)
        raise_placed(what, found)
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def rewind(self, group: str, offsets: Mapping[int, int]) -> None:
        """See `Checkpoints.rewind`. Kafka itself refuses it while there are live members."""
        if not offsets:
            return
        spans = retained(self._admin, self._topic, self._partitions, self._timeout_ms)
        wanted = clamped(offsets, spans).items()
        places = [TopicPartition(self._topic, partition, offset) for partition, offset in wanted]
        what = f"rewinding group {group}"
        try:
            with self._asking(group, what) as consumer:
                done = consumer.commit(offsets=places, asynchronous=False)
            raise_placed(what, done)
        except DashcellError as error:
            self._raise_if_live(group, "rewound", error)
            raise

    def members(self, group: str) -> list[MemberInfo]:
        """See `Checkpoints.members`; sorted by client."""
        return sorted(
            info for found in self._list(group) if found.id == group for info in self._infos(found)
        )

    def groups(self) -> list[str]:
        """See `Checkpoints.groups`: of those that Kafka knows, the ones that read this topic."""
        return sorted(
            found.id
            for found in self._list(None)
            if any(info.partitions for info in self._infos(found)) or self.committed(found.id)
        )

    def delete(self, group: str) -> None:
        """See `Checkpoints.delete`. A group of this name on other topics goes with it."""
        if all(found.id != group for found in self._list(group)):
            return
        futures = self._admin.delete_consumer_groups(
            [group], request_timeout=self._timeout_ms / 1000
        )
        try:
            settled(f"deleting group {group}", futures[group], self._timeout_ms)
        except DashcellError as error:
            if kafka_code(error) == KafkaError.GROUP_ID_NOT_FOUND:
                return
            self._raise_if_live(group, "deleted", error)
            raise

    def close(self) -> None:
        """See `Checkpoints.close`: there is nothing that outlives this object."""

    @contextmanager
    def _asking(self, group: str, what: str) -> Iterator[Consumer]:
        """A client of the group that is no member, for a question or two.

        An AdminClient is not asked: when its request to a group's coordinator times out and the
        coordinator comes back later, librdkafka 2.16 ends the whole process (an assertion in
        rd_kafka_enq_once_del_source_return, measured). `delete` alone needs it, and first makes
        sure that Kafka answers.
        """
        config = {
            **client_config(self._settings),
            "group.id": group,
            "enable.auto.commit": False,
            "socket.timeout.ms": self._timeout_ms,
        }
        heard = Heard()
        consumer = Consumer({**config, "error_cb": heard}, logger=LOG)
        try:
            yield consumer
        except KafkaException as error:
            consumer.poll(0)
            raise heard.explained(what, error.args[0]) from error
        finally:
            consumer.close()

    def _list(self, group: str | None) -> list[Any]:
        """What Kafka's brokers know of one group, or of all."""
        try:
            found: list[Any] = self._admin.list_groups(group=group, timeout=self._timeout_ms / 1000)
        except KafkaException as error:
            raise kafka_error("listing groups", error.args[0]) from error
        return found

    def _infos(self, found: Any) -> list[MemberInfo]:
        return [
            MemberInfo(member.client_id, _assigned_partitions(member.assignment, self._topic))
            for member in found.members
        ]

    def _raise_if_live(self, group: str, what: str, error: DashcellError) -> None:
        if kafka_code(error) in _LIVE:
            clients = ", ".join(sorted({one.client for one in self.members(group)})) or "unknown"
            raise Conflict(
                f"group {group} has live members ({clients}) and cannot be {what}; stop them first"
            ) from error


def _assigned_partitions(assignment: bytes, topic: str) -> tuple[int, ...]:
    """The partitions of `topic` in a member's assignment, sorted.

    Source: Kafka's ConsumerProtocolAssignment.json: a version (16 bits), then an array (32-bit
    length) of topic (16-bit length, UTF-8) and array of 32-bit partitions; user data behind it.
    Empty while the group shares out.
    """
    if not assignment:
        return ()
    (topics,) = struct.unpack_from(">i", assignment, 2)
    at, found = 6, list[int]()
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", assignment, at)
        name = assignment[at + 2 : at + 2 + length].decode()
        at += 2 + length
        (count,) = struct.unpack_from(">i", assignment, at)
        partitions = struct.unpack_from(f">{count}i", assignment, at + 4)
        at += 4 + 4 * count
        if name == topic:
            found.extend(partitions)
    return tuple(sorted(found))
