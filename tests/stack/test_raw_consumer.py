"""A consumer that knows docs/firehose.md alone reads the topic: no code of the product decodes."""

import struct
import uuid
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from firehose.event import Draft, Lane, PostKind, PostRef
from firehose.log_kafka import KafkaLog
from firehose.receipts import Context, NewFollow
from firehose.writes import Writes
from idgen.clock import SystemClock
from tests.contract.patience import until
from tests.unit.firehose_world import IdsInARow

pytestmark = pytest.mark.stack

PARTITIONS = 5
CTX = Context(60_000)
STOP, I32, I64, TEXT, STRUCT, LIST, BOOL = 0, 8, 10, 11, 12, 15, 2


def crc32c(data: bytes) -> int:
    """Bit by bit, by the reflected polynomial of RFC 3720, appendix B.4."""
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0x82F63B78 if found & 1 else 0)
    return found ^ 0xFFFFFFFF


def spread(user: int) -> int:
    """fmix64 of murmur3."""
    mask = 2**64 - 1
    user ^= user >> 33
    user = user * 0xFF51AFD7ED558CCD & mask
    user ^= user >> 33
    user = user * 0xC4CEB9FE1A85EC53 & mask
    return user ^ user >> 33


class Thrift:
    """Thrift's binary protocol, as much of it as events have: a struct by its field ids."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, form: str) -> Any:
        (found,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return found

    def value(self, kind: int) -> Any:
        if kind == STRUCT:
            fields: dict[int, Any] = {}
            while (inner := self._take(">b")) != STOP:
                number = self._take(">h")
                fields[number] = self.value(inner)
            return fields
        if kind == LIST:
            inner, count = self._take(">b"), self._take(">i")
            return [self.value(inner) for _ in range(count)]
        if kind == TEXT:
            length = self._take(">i")
            self._at += length
            return self._data[self._at - length : self._at].decode()
        return self._take({I32: ">i", I64: ">q", BOOL: ">?"}[kind])

    @property
    def left(self) -> int:
        return len(self._data) - self._at


def opened(value: bytes) -> tuple[int, dict[int, Any]]:
    """Kind and fields, by the table in docs/firehose.md."""
    assert value[:2] == b"\xdc\x0e"
    assert value[2] == 1
    length, checksum = struct.unpack(">II", value[4:12])
    payload = value[12:]
    assert len(payload) == length
    assert checksum == crc32c(value[:8] + payload)
    reader = Thrift(payload)
    fields = reader.value(STRUCT)
    assert reader.left == 0
    return value[3], fields


def read_all(address: str, topic: str, count: int) -> list[tuple[int, bytes]]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": topic})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    found: list[tuple[int, bytes]] = []

    def more() -> bool:
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None
            found.append((message.partition(), message.value()))
        return len(found) == count

    until(f"{count} records", more, 60.0)
    consumer.close()
    return found


def test_the_topic_is_read_by_its_documented_format(kafka_address: str) -> None:
    topic = f"raw-{uuid.uuid4().hex}"
    log = KafkaLog({"bootstrap.servers": kafka_address}, topic, PARTITIONS)
    writes = Writes(log, IdsInARow(), SystemClock())
    draft = Draft(PostKind.QUOTE, "title", "grüße 🎉", ("a", "b"), (3, 4), PostRef(5, 6), at_ms=7)
    post = writes.publish(CTX, 2**62 + 1, draft, None).id
    removed = writes.remove_post(CTX, 12, post, None).id
    followed = writes.follow(CTX, NewFollow(13, 14, None, 15)).id
    unfollowed = writes.unfollow(CTX, 13, 14, None).id
    liked = writes.like(CTX, 16, PostRef(17, post), None).id
    unliked = writes.unlike(CTX, 16, PostRef(17, post), None).id
    marked = writes.mark_read(CTX, 18, Lane.NOTICES, post).id
    log.close()

    records = read_all(kafka_address, topic, 7)
    found = {
        kind: (partition, fields)
        for partition, (kind, fields) in ((p, opened(v)) for p, v in records)
    }
    author = 2**62 + 1
    assert found[1][1] == {
        1: post, 2: author, 3: 3, 4: "title", 5: "grüße 🎉", 6: ["a", "b"], 7: [3, 4],
        8: {1: 5, 2: 6}, 10: 7,
    }  # fmt: skip
    assert found[2][1] == {1: removed, 2: 12, 3: post}
    assert found[3][1] == {1: followed, 2: 13, 3: 14, 4: 15}
    assert found[4][1] == {1: unfollowed, 2: 13, 3: 14}
    assert found[5][1] == {1: liked, 2: 16, 3: 17, 4: post}
    assert found[6][1] == {1: unliked, 2: 16, 3: 17, 4: post}
    assert found[7][1] == {1: marked, 2: 18, 3: 2, 4: post}
    keys = {1: author, 2: 12, 3: 14, 4: 14, 5: 16, 6: 16, 7: 18}
    assert {kind: partition for kind, (partition, _) in found.items()} == {
        kind: spread(user) % PARTITIONS for kind, user in keys.items()
    }
