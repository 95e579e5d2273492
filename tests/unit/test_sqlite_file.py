"""One SQLite file: errors told in words, writes that share a transaction, closing."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cell.tables import Row
from cell.tables_sqlite import SqliteTables
from firehose.log_sqlite import SqliteLog
from idgen import file_sqlite
from idgen.clock import SystemClock
from idgen.errors import Conflict, Corrupt, Unavailable
from idgen.file_sqlite import Connection, SqliteFile, told
from tests.contract.patience import together, until

SCHEMA = {"t": "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)"}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteFile]:
    file = SqliteFile(tmp_path / "t.db", SCHEMA)
    yield file
    file.close()


def insert(key: int, value: bytes = b"") -> file_sqlite.Job[int]:
    def job(connection: Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?,?)", (key, value))
        return key

    return job


def test_every_commit_is_synced(file: SqliteFile) -> None:
    assert file.read("PRAGMA journal_mode") == [("wal",)]
    assert file.write(lambda c: c.execute("PRAGMA synchronous").fetchall()) == [(2,)]


def test_a_full_disk_is_told_and_passes(tmp_path: Path) -> None:
    tables = SqliteTables(tmp_path / "tables.db")
    tables.create(["t"])
    kept = Row(b"kept", 1, b"v")
    tables.put("t", [kept])
    # As a full disk does, this lets the file grow no further.
    pages = tables._file._writer.execute("PRAGMA max_page_count=20").fetchone()[0]
    assert pages == 20
    large = [Row(b"%d" % i, 1, b"v" * 10_000) for i in range(20)]
    with pytest.raises(Unavailable, match=r"disk full: free space in .*test_a_full_disk"):
        tables.put("t", large)
    assert tables.scan("t", b"", b"", 99) == [kept]
    tables._file._writer.execute("PRAGMA max_page_count=1000000")
    tables.put("t", large)
    assert len(tables.scan("t", b"", b"", 99)) == 21
    tables.close()


def test_a_writer_that_hangs_makes_others_unavailable_and_readers_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_sqlite, "BUSY_MS", 100)
    log = SqliteLog(tmp_path / "log.db", "events", 1, SystemClock())
    log.append([(0, b"before")])
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"log\.db was locked by another writer"):
            log.append([(0, b"refused")])
        assert [r.value for r in log.read(0, 0, 9)] == [b"before"]
        other.execute("ROLLBACK")
    log.append([(0, b"after")])
    assert [r.value for r in log.read(0, 0, 9)] == [b"before", b"after"]
    log.close()


def test_what_is_no_database_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_bytes(b"this is a text and no database, whatever its name" * 99)
    with pytest.raises(Corrupt, match=r"t\.db"):
        SqliteFile(tmp_path / "t.db", SCHEMA)


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="its folder must exist"):
        SqliteFile(tmp_path / "none" / "t.db", SCHEMA)


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("SQLITE_BUSY_SNAPSHOT", Unavailable, "locked"),
        ("SQLITE_LOCKED", Unavailable, "locked"),
        ("SQLITE_FULL", Unavailable, "disk full: free space in /data"),
        ("SQLITE_READONLY_DBMOVED", Unavailable, "cannot be written"),
        ("SQLITE_IOERR_WRITE", Unavailable, "SQLITE_IOERR_WRITE"),
        ("SQLITE_CORRUPT_INDEX", Corrupt, "backup"),
    ],
)
def test_each_error_of_the_library_has_its_sentence(
    name: str, kind: type[Exception], says: str
) -> None:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorname = name
    found = told(Path("/data/t.db"), error)
    assert type(found) is kind
    assert says in str(found)


def test_a_job_that_fails_leaves_no_trace_and_spares_the_others(file: SqliteFile) -> None:
    def fail(connection: Connection) -> int:
        insert(-1)(connection)
        raise Conflict("on purpose")

    def attempt(key: int) -> int:
        if key % 3:
            return file.write(insert(key))
        with pytest.raises(Conflict, match="on purpose"):
            file.write(fail)
        return -1

    for begin in range(0, 60, 12):
        together([lambda k=k: attempt(k) for k in range(begin, begin + 12)])
    assert file.read("SELECT k FROM t ORDER BY k") == [(k,) for k in range(60) if k % 3]


def test_writes_that_wait_share_one_transaction(file: SqliteFile) -> None:
    entered, go = threading.Event(), threading.Event()

    def first(connection: Connection) -> None:
        entered.set()
        assert go.wait(10)

    begun = file.rung
    threads = [threading.Thread(target=file.write, args=(first,))]
    threads[0].start()
    assert entered.wait(10)
    threads += [threading.Thread(target=file.write, args=(insert(k),)) for k in range(20)]
    for thread in threads[1:]:
        thread.start()
    until("all wait", lambda: len(file._queue) == 20, 10.0)
    go.set()
    for thread in threads:
        thread.join()
    assert file.read("SELECT count(*) FROM t") == [(20,)]
    assert file.rung == begun + 2


def test_no_reader_sees_half_of_a_transaction(file: SqliteFile) -> None:
    def both(connection: Connection) -> None:
        key = connection.execute("SELECT count(*) FROM t").fetchone()[0]
        insert(key)(connection)
        insert(key + 1)(connection)

    def read() -> None:
        count = 0
        while count < 80:
            with file.snapshot() as connection:
                ((count,),) = connection.execute("SELECT count(*) FROM t").fetchall()
                ((again,),) = connection.execute("SELECT count(*) FROM t").fetchall()
            assert count == again
            assert count % 2 == 0

    def write() -> None:
        for _ in range(20):
            file.write(both)

    together([read, read, write, write])


def test_connections_for_reading_are_bounded_and_used_again(file: SqliteFile) -> None:
    together([lambda: file.read("SELECT 1") for _ in range(64)])
    assert len(file._idle) <= file_sqlite.READERS_MAX
    before = list(file._idle)
    file.read("SELECT 1")
    assert file._idle == before


def test_more_readers_than_connections_wait_or_are_told(
    file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_sqlite, "BUSY_MS", 100)
    go = threading.Event()
    held = threading.Barrier(file_sqlite.READERS_MAX + 1)

    def hold() -> None:
        with file.reader():
            held.wait()
            assert go.wait(10)

    threads = [threading.Thread(target=hold) for _ in range(file_sqlite.READERS_MAX)]
    for thread in threads:
        thread.start()
    held.wait()
    with pytest.raises(Unavailable, match="reads of"):
        file.read("SELECT 1")
    go.set()
    for thread in threads:
        thread.join()
    assert file.read("SELECT 1") == [(1,)]


def test_closing_ends_waiting_reads_and_may_be_repeated(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", "events", 1, SystemClock())
    reading = threading.Event()

    def read() -> None:
        reading.set()
        with pytest.raises(Unavailable, match="closed"):
            log.read(0, 0, 1, timeout_ms=60_000)

    def close() -> None:
        reading.wait()
        log.close()
        log.close()

    together([read, close], 20.0)


def test_many_who_make_one_file_at_once_make_one(tmp_path: Path) -> None:
    logs = together(
        [lambda: SqliteLog(tmp_path / "l.db", "events", 2, SystemClock()) for _ in range(12)]
    )
    assert len({log.identity for log in logs}) == 1
    for log in logs:
        log.close()
