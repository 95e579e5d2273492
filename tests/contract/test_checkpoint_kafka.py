"""The checkpoint seam over a real Kafka."""

import signal
import uuid
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from firehose.checkpoint_kafka import KafkaCheckpoints, KafkaMember
from firehose.log_kafka import KafkaLog
from idgen.errors import Unavailable
from tests.conftest import Servers
from tests.contract.checkpoint_contract import CheckpointContract, OpenGroupLog
from tests.contract.groups_contract import GroupsContract
from tests.contract.patience import together, until

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

    def join(
        self, group: str, client: str, session_ms: int = 10_000, busy_ms: int | None = None
    ) -> KafkaMember:
        self.joined.append(super().join(group, client, session_ms, busy_ms))
        return self.joined[-1]

    def close(self) -> None:
        for member in self.joined:
            member.leave()
        super().close()


class TestKafkaCheckpoints(CheckpointContract, GroupsContract):
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


@pytest.mark.slow
def test_all_goes_on_after_kafka_was_away_for_longer_than_the_time_outs(
    servers: Servers, kafka_address: str
) -> None:
    """Each verb says so meanwhile; none ends the process when Kafka is back (librdkafka may)."""
    settings = {"bootstrap.servers": kafka_address}
    topic = f"log-{uuid.uuid4().hex}"
    log = KafkaLog(settings, topic, 2, timeout_ms=2_000)
    groups = LeavingCheckpoints(settings, topic, 2)
    groups._timeout_ms = 2_000
    member = groups.join(topic, "one", session_ms=60_000)
    log.append([(0, b"before"), (1, b"before")])
    seen: list[bytes] = []

    def read(count: int) -> bool:
        try:
            seen.extend(record.value for record in member.poll(10, 200).records)
        except Unavailable:
            return False
        return len(seen) >= count

    until("both are read", lambda: read(2), 60)
    verbs: list[Callable[[], object]] = [
        lambda: log.append([(0, b"meanwhile")]),
        lambda: log.read(0, 0, 1),
        log.spans,
        lambda: log.offsets_at(0),
        lambda: groups.committed(topic),
        lambda: groups.members(topic),
        groups.groups,
        lambda: groups.delete("another"),
        lambda: groups.rewind("another", {0: 0}),
    ]

    def refused(verb: Callable[[], object]) -> None:
        with pytest.raises(Unavailable):
            verb()

    def works(verb: Callable[[], object]) -> bool:
        try:
            verb()
        except Unavailable:
            return False
        return True

    servers.supervisor.kill("kafka", signal.SIGSTOP)
    until("kafka is silent", lambda: not works(log.spans), 60)
    together([lambda verb=verb: refused(verb) for verb in verbs], 60)  # type: ignore[misc]
    servers.supervisor.kill("kafka", signal.SIGKILL)
    together([lambda verb=verb: refused(verb) for verb in verbs], 60)  # type: ignore[misc]
    servers.supervisor.wait_ready(["kafka"])

    for verb in verbs:
        until("each verb works again", lambda verb=verb: works(verb), 60)  # type: ignore[misc]
    until("what came later is read", lambda: read(3), 60)
    assert seen[2:] == [b"meanwhile"] * len(seen[2:])
    until("a commit is accepted", lambda: works(lambda: member.commit({0: 1})), 60)
    assert groups.committed(topic) == {0: 1}
    groups.close()
    log.close()
