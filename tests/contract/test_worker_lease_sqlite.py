"""The worker-lease contract on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from idgen.clock import SystemClock
from idgen.worker_lease_sqlite import SqliteWorkerLeases
from tests.contract.worker_lease_contract import OpenLeases, WorkerLeaseContract


class TestSqliteWorkerLeases(WorkerLeaseContract):
    @pytest.fixture
    def open_leases(self, tmp_path: Path) -> Iterator[OpenLeases]:
        opened: list[SqliteWorkerLeases] = []

        def open_one() -> SqliteWorkerLeases:
            opened.append(SqliteWorkerLeases(tmp_path / "leases.db", SystemClock()))
            return opened[-1]

        yield open_one
        for leases in opened:
            leases.close()
