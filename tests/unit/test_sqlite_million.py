"""The SQLite adapters hold a million rows: all of them are there, in order, also once reopened."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cell.keys import entry_keys
from cell.tables import FixedRows
from cell.tables_sqlite import SqliteTables
from firehose.log_sqlite import SqliteLog
from idgen.ids import spread_array
from tests.unit.firehose_world import ManualClock

pytestmark = pytest.mark.slow

READERS, POSTS = 10_000, 100
PARTITIONS, RECORDS = 8, 1_000_000


def test_tables(tmp_path: Path) -> None:
    places = spread_array(np.arange(1, READERS + 1, dtype=np.uint64))
    tables = SqliteTables(tmp_path / "tables.db")
    tables.create(["inbox"])
    values = np.ones((READERS, 1), dtype=np.uint8)
    # Again at the same versions, and once with lower ones that must all lose.
    for posts, shift in ((range(1, POSTS + 1), 0), (range(40, 45), 0), (range(1, 6), 1)):
        for post in posts:
            versions = np.full(READERS, POSTS + post - shift, dtype=np.uint64)
            tables.put_fanout("inbox", FixedRows(entry_keys(places, post, 7), versions, values))
    tables.close()

    tables = SqliteTables(tmp_path / "tables.db")
    for place in np.sort(places)[:: READERS // 50].tolist():
        start, stop = place.to_bytes(8), (place + 1).to_bytes(8)
        rows = tables.scan_fixed("inbox", start, stop, 1000)
        assert rows.versions.tolist() == list(range(2 * POSTS, POSTS, -1))  # newest first
        deep = tables.scan("inbox", rows.keys[80].tobytes(), stop, 5)
        assert [row.version for row in deep] == rows.versions[80:85].tolist()
    seen, start = 0, b""
    while len((rows := tables.scan_fixed("inbox", start, b"", 100_000)).versions):
        seen += len(rows.versions)
        start = rows.keys[-1].tobytes() + b"\0"
    assert seen == READERS * POSTS
    tables.close()


def test_log(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteLog(tmp_path / "log.db", "events", PARTITIONS, clock)
    size = 20_000
    for first in range(0, RECORDS, size):
        clock.ms += 1
        log.append([(n % PARTITIONS, b"%d" % n) for n in range(first, first + size)])
    log.close()

    log = SqliteLog(tmp_path / "log.db", "events", PARTITIONS, clock)
    each = RECORDS // PARTITIONS
    for partition in range(PARTITIONS):
        read = [
            record for at in range(0, each, 10_000) for record in log.read(partition, at, 10_000)
        ]
        assert [int(record.value) for record in read] == list(range(partition, RECORDS, PARTITIONS))
        assert all(a.at_ms <= b.at_ms for a, b in pairwise(read))
    middle = clock.ms - RECORDS // size // 2 + 1
    assert log.offsets_at(middle) == [each // 2] * PARTITIONS
    log.close()
