"""The log contract on SQLite."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from firehose.log_sqlite import SqliteLog
from idgen.clock import SystemClock
from tests.contract.following_contract import FollowingContract
from tests.contract.log_contract import LogContract, OpenLog


class TestSqliteLog(LogContract, FollowingContract):
    patience_s: ClassVar[float] = 10.0

    @pytest.fixture
    def open_log(self, tmp_path: Path) -> Iterator[OpenLog]:
        opened: list[SqliteLog] = []

        def open_one(name: str, partitions: int) -> SqliteLog:
            opened.append(SqliteLog(tmp_path / "log.db", name, partitions, SystemClock()))
            return opened[-1]

        yield open_one
        for log in opened:
            log.close()
