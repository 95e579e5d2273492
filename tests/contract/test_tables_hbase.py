"""The tables contract on a real HBase, and what only HBase could get wrong."""

import random
import signal
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import happybase
import numpy as np
import pytest
from thriftpy2.rpc import client_context

from cell.tables import FixedRows, Row
from cell.tables_hbase import HBaseGateway, HBaseTables
from idgen import idl
from idgen.errors import Unavailable
from ops.stack.servers import CellAddresses
from tests.contract.patience import until
from tests.contract.tables_contract import SHARED, OpenTables, TablesContract, after

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

    def test_tables_are_split_and_keep_one_version_encoded_forever(
        self, open_tables: OpenTables, hbase_cell: CellAddresses
    ) -> None:
        name = f"made_{uuid.uuid4().hex}"
        open_tables().create([name], splits=5)
        host, port = hbase_cell.hbase_thrift1.rsplit(":", 1)
        connection = happybase.Connection(host, int(port))
        starts = [region["start_key"] for region in connection.table(PREFIX + name).regions()]
        connection.close()
        assert starts == [b""] + [((i << 64) // 5).to_bytes(8) for i in range(1, 5)]
        hbase2 = idl.load("hbase2")
        host, port = hbase_cell.hbase_thrift2.rsplit(":", 1)
        with client_context(hbase2.THBaseService, host, int(port), socket_timeout=30_000) as client:
            described = client.getTableDescriptor(hbase2.TTableName(qualifier=PREFIX + name))
        (family,) = described.columns
        assert family.maxVersions == 1
        assert family.compressionType == hbase2.TCompressionAlgorithm.GZ
        assert family.dataBlockEncoding == hbase2.TDataBlockEncoding.FAST_DIFF
        assert family.timeToLive == (1 << 31) - 1

    def test_any_bytes_can_be_skipped(self, open_tables: OpenTables, at: bytes) -> None:
        tables = open_tables()
        tables.create([SHARED], splits=2)
        prefixes = [
            b"'", b"''", b"'''", b"a'b", b"')", b"') OR ('", b"\x00", b"\x00'", b"\\", b"\\'",
            b'"', b":", b"binary:", b", ", b"\xff\xfe", b"\n", b" ", bytes(range(256)),
            *(bytes([i]) for i in range(256)),
        ]  # fmt: skip
        rows = [Row(at + b"%04d" % i, i + 1, p + b"tail") for i, p in enumerate(prefixes)]
        rows.append(Row(at + b"9999", 1, b""))
        tables.put(SHARED, rows)
        for prefix in prefixes:
            left = [row for row in rows if not row.value.startswith(prefix)]
            assert tables.scan(SHARED, at, after(at), 999, skip=prefix) == left

    def test_skipping_the_newest_write_does_not_uncover_an_older_one(
        self, open_tables: OpenTables, at: bytes
    ) -> None:
        tables = open_tables()
        tables.create([SHARED], splits=2)
        for version, value in ((5, b"live"), (9, b"\x00"), (7, b"late"), (9, b"\x00")):
            tables.put(SHARED, [Row(at + b"k", version, value)])
        for reverse in (False, True):
            for floor in (0, 5, 9):
                found = tables.scan(
                    SHARED, at, after(at), 9, floor=floor, reverse=reverse, skip=b"\x00"
                )
                assert found == []

    def test_rows_of_64_kib_fill_a_page(self, open_tables: OpenTables, at: bytes) -> None:
        tables = open_tables()
        tables.create([SHARED], splits=2)
        dice = random.Random(2)
        rows = [Row(at + bytes([i]), i + 1, dice.randbytes(70_000)) for i in range(100)]
        tables.put(SHARED, rows)
        assert tables.scan(SHARED, at, after(at), 100) == rows
        assert tables.scan(SHARED, at, after(at), 50, reverse=True) == rows[:49:-1]
        assert tables.get(SHARED, [r.key for r in rows]) == rows

    @pytest.mark.slow
    def test_no_acknowledged_row_is_lost_when_the_region_server_is_killed(
        self, open_tables: OpenTables, servers: Any, at: bytes
    ) -> None:
        tables = open_tables()
        tables.create([SHARED], splits=2)
        stop = threading.Event()
        progress = [0]
        writer = threading.Thread(target=write_until, args=(tables, at, stop, progress))
        writer.start()
        try:
            until("rows are written", lambda: progress[0] >= 5_000, 60)
            before = progress[0]
            servers.supervisor.kill("hbase-a-regionserver", signal.SIGKILL)
            until("rows are written again", lambda: progress[0] >= before + 10_000, 120)
        finally:
            stop.set()
            writer.join(120)
            servers.hbase()
        found = tables.scan_fixed(SHARED, at, after(at), progress[0] + 10_000)
        versions = found.versions[: progress[0]]
        assert versions.tolist() == list(range(1, progress[0] + 1))


def write_until(tables: HBaseTables, at: bytes, stop: threading.Event, progress: list[int]) -> None:
    """Write rows, version n + 1 under key n; `progress[0]` are acknowledged."""
    while not stop.is_set():
        numbers = np.arange(progress[0], progress[0] + 500, dtype=">u8")
        keys = np.empty((500, len(at) + 8), dtype=np.uint8)
        keys[:, : len(at)] = np.frombuffer(at, np.uint8)
        keys[:, len(at) :] = numbers.view(np.uint8).reshape(500, 8)
        values = np.zeros((500, 1), dtype=np.uint8)
        try:
            tables.put_fanout(SHARED, FixedRows(keys, (numbers + 1).astype(np.uint64), values))
        except Unavailable:
            continue  # away for longer than the patience: the same chunk again
        progress[0] += 500
