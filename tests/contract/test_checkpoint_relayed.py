"""The checkpoint contract behind a relay, on SQLite and on a real Kafka."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from firehose.checkpoint_relayed import RelayedCheckpoints
from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log import Log
from firehose.log_sqlite import SqliteLog
from idgen.clock import SystemClock
from tests.contract.checkpoint_contract import CheckpointContract, OpenGroupLog
from tests.contract.test_checkpoint_kafka import LeavingCheckpoints
from tests.contract.test_log_relayed import kafka_roots, sqlite_roots


@pytest.mark.slow
class TestSqliteRelayedCheckpoints(CheckpointContract):
    patience_s: ClassVar[float] = 10.0
    session_ms: ClassVar[int] = 400

    @pytest.fixture
    def open_group_log(self, tmp_path: Path) -> Iterator[OpenGroupLog]:
        roots = sqlite_roots(tmp_path)

        def open_one(partitions: int) -> tuple[Log, RelayedCheckpoints]:
            log = roots.open("events", partitions)
            assert isinstance(log.topic, SqliteLog)
            inner = SqliteCheckpoints(log.topic, tmp_path / "cells.db", SystemClock())
            groups = RelayedCheckpoints(inner, log.topic, log.relayed)
            roots.stack.callback(groups.close)
            return log, groups

        yield open_one
        roots.close()


@pytest.mark.stack
@pytest.mark.filterwarnings("ignore:list_groups:DeprecationWarning")
class TestKafkaRelayedCheckpoints(CheckpointContract):
    session_ms: ClassVar[int] = 2_000  # group.min.session.timeout.ms of the test's Kafka

    @pytest.fixture
    def open_group_log(self, kafka_address: str) -> Iterator[OpenGroupLog]:
        test, settings = uuid.uuid4().hex, {"bootstrap.servers": kafka_address}
        roots = kafka_roots(kafka_address, test)

        def open_one(partitions: int) -> tuple[Log, RelayedCheckpoints]:
            log = roots.open("events", partitions)
            inner = LeavingCheckpoints(settings, f"group-{test}-events", partitions)
            groups = RelayedCheckpoints(inner, log.topic, log.relayed)
            roots.stack.callback(groups.close)
            return log, groups

        yield open_one
        roots.close()
