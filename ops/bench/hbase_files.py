"""What tables weigh on disk, and what is done to them from outside: flushes and major compactions.

HBase's files are on this machine: below its root folder a table has a folder for each region, and
in it one for the family with the store files. After a major compaction each region that had files
has one new one; the old ones stay beside it until HBase comes round to them, and are not counted.
"""

import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import happybase
from thriftpy2.rpc import make_client

from cell.hbase_bytes import FAMILY
from idgen import idl
from idgen.errors import Unavailable
from ops.bench.stage import CELL, Stage, full_name
from ops.stack.hbase import OPENED, znode_parent
from ops.stack.jars import class_path
from ops.stack.java import find_java

SOURCE: Final = Path(__file__).with_name("MajorCompact.java")

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


def compacted_bytes(stage: Stage, jars: Path, table: str) -> int:
    """Flush a table and compact it wholly; what it weighs then. Nothing may write into it.

    `jars` is the folder of HBase's. Raises Unavailable when it does not come about, with the last
    words of the program that was to do it.
    """
    java = find_java()
    opens = (f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED)
    where = (stage.found.zookeeper, znode_parent(CELL), full_name(table))
    argv = (java.program, *opens, "-cp", class_path(jars), str(SOURCE), *where)
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as program,
    ):
        # A program that hangs is ended, and then says nothing more.
        timer = threading.Timer(COMPACTED_S, program.kill)
        timer.start()
        try:
            assert program.stdin is not None
            assert program.stdout is not None
            _expect(program.stdout, "flushed", log)
            before = _files(stage, table)
            program.stdin.write("\n")
            program.stdin.flush()
            _expect(program.stdout, "compacted", log)
        finally:
            timer.cancel()
    return _weight(table, before)


def _expect(said: IO[str], word: str, log: IO[str]) -> None:
    line = said.readline().strip()
    if line != word:
        log.seek(0)
        raise Unavailable(f"a compaction was not {word} but {line!r}: {log.read()[-2000:]}")


def _weight(table: str, before: Mapping[Path, frozenset[str]]) -> int:
    """Of the one new file that each region with files must have."""
    total = 0
    for family, names in before.items():
        new = [family / name for name in _store_files(family) if name not in names]
        if len(new) != bool(names):
            raise Unavailable(f"{table}: {len(new)} new files after a major compaction, not one")
        total += sum(path.stat().st_size for path in new)
    return total


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


def _families(stage: Stage, table: str) -> list[Path]:
    folder = stage.found.data / "data" / "default" / full_name(table)
    return [path for path in folder.glob(f"*/{FAMILY.decode()}") if path.is_dir()]


def _files(stage: Stage, table: str) -> Mapping[Path, frozenset[str]]:
    """Names of store files by region."""
    return {family: frozenset(_store_files(family)) for family in _families(stage, table)}


def _store_files(family: Path) -> list[str]:
    return [path.name for path in family.iterdir() if not path.name.startswith(".")]
