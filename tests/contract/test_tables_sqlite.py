"""The tables contract on SQLite."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from cell.tables_sqlite import SqliteTables
from tests.contract.tables_contract import OpenTables, TablesContract


class TestSqliteTables(TablesContract):
    machine_examples: ClassVar[int] = 25
    machine_steps: ClassVar[int] = 30

    @pytest.fixture
    def open_tables(self, tmp_path: Path) -> Iterator[OpenTables]:
        opened: list[SqliteTables] = []

        def open_one() -> SqliteTables:
            opened.append(SqliteTables(tmp_path / "tables.db"))
            return opened[-1]

        yield open_one
        for tables in opened:
            tables.close()
