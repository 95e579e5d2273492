"""A cell's hash: every key, version and value is in it, whatever way the rows are read."""

import hashlib

import pytest

from cell import keys
from cell.tables import Row
from ops import table_hash as module
from ops.table_hash import COMPARED, table_hash
from tests.unit.memory_tables import MemoryTables

ROWS = {
    keys.POSTS: [Row(b"p%02d" % n, n + 1, b"x" * n) for n in range(23)],
    keys.INBOX: [Row(b"%024d" % n, 1000 + n, b"\x01") for n in range(50)],
    keys.MARKS: [Row(b"%09d" % n, n + 1, b"") for n in range(7)],
}


def filled() -> MemoryTables:
    tables = MemoryTables()
    tables.create(keys.TABLES)
    for name, rows in ROWS.items():
        tables.put(name, rows)
    return tables


def by_hand() -> str:
    digest = hashlib.sha256()
    for name in COMPARED:
        digest.update(name.encode() + b"\x00")
        for row in ROWS.get(name, []):
            lengths = len(row.key).to_bytes(4) + len(row.value).to_bytes(4)
            digest.update(row.version.to_bytes(8) + lengths + row.key + row.value)
    return digest.hexdigest()


@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
def test_it_is_over_all_rows_in_any_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", chunk)
    assert table_hash(filled()) == by_hand()


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        (keys.POSTS, Row(b"p22", 24, b"x" * 22)),
        (keys.POSTS, Row(b"p22", 23, b"y" * 22)),
        (keys.POSTS, Row(b"p23", 1, b"")),
        (keys.INBOX, Row(b"%024d" % 49, 1050, b"\x01")),
        (keys.INBOX, Row(b"%024d" % 49, 1049, b"\x00")),
        (keys.INBOX, Row(b"%024d" % 50, 1, b"\x01")),
        (keys.MARKS, Row(b"%09d" % 6, 8, b"")),
    ],
)
def test_a_row_more_a_version_or_a_value_changes_it(name: str, changed: Row) -> None:
    tables = filled()
    tables.put(name, [changed])
    assert table_hash(tables) != by_hand()
