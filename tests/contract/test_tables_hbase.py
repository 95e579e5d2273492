"""The tables contract on a real HBase."""

import uuid
from collections.abc import Iterator

import pytest

from cell.tables_hbase import HBaseGateway, HBaseTables
from ops.stack.servers import CellAddresses
from tests.contract.tables_contract import OpenTables, TablesContract

PREFIX = f"t{uuid.uuid4().hex[:8]}_"


@pytest.mark.stack
class TestTablesOnHBase(TablesContract):
    """Everything that the contract says."""

    @pytest.fixture
    def open_tables(self, hbase_cell: CellAddresses) -> Iterator[OpenTables]:
        opened: list[HBaseTables] = []

        def open_one() -> HBaseTables:
            gateway = HBaseGateway(hbase_cell.hbase_thrift1, hbase_cell.hbase_thrift2)
            opened.append(HBaseTables([gateway], PREFIX))
            return opened[-1]

        yield open_one
        for tables in opened:
            tables.close()
