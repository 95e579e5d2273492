"""What tables weigh on disk, and what is done to them from outside: flushes and major compactions.

HBase's files are on this machine: below its root folder a table has a folder for each region, and
in it one for the family with the store files. Neither gateway can flush; disabling a table does, as
its regions are closed. A major compaction is asked for and then seen: each region with files gets
one new file. The old ones stay beside it until HBase comes round to them, so they are not counted.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import happybase
from thriftpy2.rpc import make_client

from cell.hbase_bytes import FAMILY
from idgen import idl
from idgen.errors import DeadlineExceeded
from ops.bench.stage import Stage, full_name

COMPACTED_S = 300.0
_CALL_MS = 120_000
_SPLITS = 8


@dataclass(frozen=True, slots=True)
class Form:
    """How a table is kept: HBase's names of a block encoding and of a compression."""

    encoding: str
    compression: str

    @property
    def name(self) -> str:
        """Both, for people."""
        return f"{self.encoding} + {self.compression}"


def create(stage: Stage, table: str, form: Form) -> None:
    """A table as the product's, but for its form."""
    structs = idl.load("hbase2")
    family = structs.TColumnFamilyDescriptor(
        name=FAMILY,
        compressionType=getattr(structs.TCompressionAlgorithm, form.compression),
        dataBlockEncoding=getattr(structs.TDataBlockEncoding, form.encoding),
        maxVersions=1,
    )
    described = structs.TTableDescriptor(
        tableName=structs.TTableName(qualifier=full_name(table).encode()), columns=[family]
    )
    splits = [((i << 64) // _SPLITS).to_bytes(8) for i in range(1, _SPLITS)]
    host, _, port = stage.found.hbase_thrift2.rpartition(":")
    client = make_client(structs.THBaseService, host, int(port), timeout=_CALL_MS)
    try:
        client.createTable(described, splits)
    finally:
        client.close()


def compacted_bytes(stage: Stage, table: str) -> int:
    """Flush a table and compact it wholly; what it weighs then. Raises DeadlineExceeded.

    The table is away for a moment, and nothing may write into it.
    """
    connection = _happybase(stage)
    try:
        name = full_name(table)
        connection.disable_table(name)
        connection.enable_table(name)
        _until_up(connection, name)
        before = _files(stage, table)
        for region in connection.table(name).regions():
            connection.compact_table(region["name"], major=True)
        until = time.monotonic() + COMPACTED_S
        pause = threading.Event()
        while not all(_new(family, names) for family, names in before.items() if names):
            if time.monotonic() > until:
                raise DeadlineExceeded(f"{table} is not compacted after {COMPACTED_S:.0f} s")
            pause.wait(0.2)
        new = [path for family, names in before.items() for path in _new(family, names)]
        return sum(path.stat().st_size for path in new)
    finally:
        connection.close()


def drop(stage: Stage, table: str) -> None:
    """Delete a table."""
    connection = _happybase(stage)
    try:
        connection.delete_table(full_name(table), disable=True)
    finally:
        connection.close()


def _happybase(stage: Stage) -> Any:
    host, _, port = stage.found.hbase_thrift1.rpartition(":")
    return happybase.Connection(host, int(port), timeout=_CALL_MS)


def _until_up(connection: Any, name: str) -> None:
    until = time.monotonic() + COMPACTED_S
    pause = threading.Event()
    while not connection.is_table_enabled(name):
        if time.monotonic() > until:
            raise DeadlineExceeded(f"{name} is not enabled after {COMPACTED_S:.0f} s")
        pause.wait(0.1)


def _families(stage: Stage, table: str) -> list[Path]:
    folder = stage.found.data / "data" / "default" / full_name(table)
    return [path for path in folder.glob(f"*/{FAMILY.decode()}") if path.is_dir()]


def _files(stage: Stage, table: str) -> Mapping[Path, frozenset[str]]:
    """Names of store files by region."""
    return {family: frozenset(_store_files(family)) for family in _families(stage, table)}


def _store_files(family: Path) -> list[str]:
    return [path.name for path in family.iterdir() if not path.name.startswith(".")]


def _new(family: Path, known: frozenset[str]) -> list[Path]:
    """The store files that a region has beside those known of it."""
    return [family / name for name in _store_files(family) if name not in known]
