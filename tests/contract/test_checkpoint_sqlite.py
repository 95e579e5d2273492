"""The checkpoint contract on SQLite."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log_sqlite import SqliteLog
from idgen.clock import SystemClock
from tests.contract.checkpoint_contract import CheckpointContract, OpenGroupLog
from tests.contract.groups_contract import GroupsContract


class TestSqliteCheckpoints(CheckpointContract, GroupsContract):
    patience_s: ClassVar[float] = 10.0
    session_ms: ClassVar[int] = 400

    @pytest.fixture
    def open_group_log(self, tmp_path: Path) -> Iterator[OpenGroupLog]:
        opened: list[SqliteLog | SqliteCheckpoints] = []

        def open_one(partitions: int) -> tuple[SqliteLog, SqliteCheckpoints]:
            log = SqliteLog(tmp_path / "log.db", "events", partitions, SystemClock())
            groups = SqliteCheckpoints(log, tmp_path / "groups.db", SystemClock())
            opened.extend((groups, log))
            return log, groups

        yield open_one
        for each in opened:
            each.close()
