"""The tables contract on the stand-in that the histories of a cell are lived on."""

from typing import ClassVar

import pytest

from tests.contract.tables_contract import OpenTables, TablesContract
from tests.unit.memory_tables import MemoryTables, Store


class TestMemoryTables(TablesContract):
    machine_examples: ClassVar[int] = 20
    machine_steps: ClassVar[int] = 30

    @pytest.fixture
    def open_tables(self) -> OpenTables:
        store = Store()
        return lambda: MemoryTables(store)
