"""The checkpoint seam over a real Kafka."""

import uuid
from collections.abc import Iterator
from typing import ClassVar

import pytest

from firehose.checkpoint_kafka import KafkaCheckpoints, KafkaMember
from firehose.log_kafka import KafkaLog
from tests.contract.checkpoint_contract import CheckpointContract, OpenGroupLog

pytestmark = [
    pytest.mark.stack,
    # What is to be used instead can end the process: see KafkaCheckpoints._asking.
    pytest.mark.filterwarnings("ignore:list_groups:DeprecationWarning"),
]


class LeavingCheckpoints(KafkaCheckpoints):
    """Remembers its members: groups are the server's, so a test must not leave any behind."""

    def __init__(self, settings: dict[str, str], topic: str, partitions: int) -> None:
        super().__init__(settings, topic, partitions)
        self.joined: list[KafkaMember] = []

    def join(self, group: str, client: str, session_ms: int = 10_000) -> KafkaMember:
        self.joined.append(super().join(group, client, session_ms))
        return self.joined[-1]

    def close(self) -> None:
        for member in self.joined:
            member.leave()
        super().close()


class TestKafkaCheckpoints(CheckpointContract):
    session_ms: ClassVar[int] = 2_000  # group.min.session.timeout.ms of the test's Kafka

    @pytest.fixture
    def open_group_log(self, kafka_address: str) -> Iterator[OpenGroupLog]:
        settings = {"bootstrap.servers": kafka_address}
        topic, opened = f"log-{uuid.uuid4().hex}", []

        def open_group_log(partitions: int) -> tuple[KafkaLog, KafkaCheckpoints]:
            log = KafkaLog(settings, topic, partitions)
            groups = LeavingCheckpoints(settings, topic, partitions)
            opened.extend([groups, log])
            return log, groups

        yield open_group_log
        for client in opened:
            client.close()
