"""The log contract behind a relay, on SQLite and on a real Kafka: in all that is reading."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from firehose.checkpoint_kafka import KafkaCheckpoints
from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log import Log
from firehose.log_kafka import KafkaLog
from firehose.log_relayed import RelayedLog
from firehose.log_sqlite import SqliteLog
from firehose.relayed import RELAYED_BYTES_MAX
from idgen.clock import SystemClock
from idgen.errors import BadRequest, Unavailable
from tests.contract.following_contract import FollowingContract
from tests.contract.log_contract import LogContract, OpenLog
from tests.contract.rooted_log import RootedLog, Roots


def sqlite_roots(folder: Path) -> Roots:
    """Everything in two files: root and groups, the group's topic."""
    clock = SystemClock()

    def open_root(name: str, partitions: int) -> Log:
        return SqliteLog(folder / "root.db", name, partitions, clock)

    def open_topic(name: str, partitions: int) -> Log:
        path = folder / "group.db"
        return SqliteLog(path, name, partitions, clock, bytes_max=RELAYED_BYTES_MAX)

    def open_groups(log: Log, name: str, partitions: int) -> SqliteCheckpoints:
        assert isinstance(log, SqliteLog)
        return SqliteCheckpoints(log, folder / f"{name}-groups.db", clock)

    return Roots(open_root, open_topic, open_groups)


def kafka_roots(address: str, test: str) -> Roots:
    """Topics of this test's own, by its name."""
    settings = {"bootstrap.servers": address}

    def open_root(name: str, partitions: int) -> Log:
        return KafkaLog(settings, f"root-{test}-{name}", partitions)

    def open_topic(name: str, partitions: int) -> Log:
        topic = f"group-{test}-{name}"
        return KafkaLog(settings, topic, partitions, bytes_max=RELAYED_BYTES_MAX, gapless=True)

    def open_groups(log: Log, name: str, partitions: int) -> KafkaCheckpoints:
        return KafkaCheckpoints(settings, f"root-{test}-{name}", partitions)

    return Roots(open_root, open_topic, open_groups)


class RelayedLogContract(LogContract, FollowingContract):
    """What is appended goes to the root, so a closed client and an append to the log itself are
    all that is not the same."""

    @pytest.fixture
    def roots(self) -> Iterator[Roots]:
        raise AssertionError("the subclass gives the fixture roots")

    @pytest.fixture
    def open_log(self, roots: Roots) -> OpenLog:
        return roots.open

    def test_a_closed_client_is_unavailable(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        log.close()
        with pytest.raises(Unavailable):
            log.read(0, 0, 1)

    def test_only_the_relay_appends(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        assert isinstance(log, RootedLog)
        with pytest.raises(BadRequest, match="to the root") as caught:
            log.relayed.append([(0, b"v")])
        assert caught.value.field == "records"

    def test_a_topic_without_relay_is_unavailable(self, roots: Roots) -> None:
        log = RelayedLog(roots.open_topic("lonely", 2), "root")
        with pytest.raises(Unavailable, match="is its relay running"):
            log.spans()
        with pytest.raises(Unavailable, match="is its relay running"):
            log.read(1, 0, 1)
        log.close()


@pytest.mark.slow
class TestSqliteRelayedLog(RelayedLogContract):
    patience_s: ClassVar[float] = 10.0

    @pytest.fixture
    def roots(self, tmp_path: Path) -> Iterator[Roots]:
        roots = sqlite_roots(tmp_path)
        yield roots
        roots.close()


@pytest.mark.stack
class TestKafkaRelayedLog(RelayedLogContract):
    @pytest.fixture
    def roots(self, kafka_address: str) -> Iterator[Roots]:
        roots = kafka_roots(kafka_address, uuid.uuid4().hex)
        yield roots
        roots.close()
