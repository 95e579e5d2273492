"""A log in an SQLite file."""

import functools
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from firehose.log import RECORD_BYTES_MAX, Appended, Record, Span, check_follow
from idgen.clock import Clock
from idgen.errors import BadRequest, Conflict, CursorTooOld
from idgen.file_sqlite import Connection, SqliteFile

PARTITIONS_MAX = 1_024
READ_BYTES_MAX = 16 << 20
"""A read ends with the record that exceeds this, whatever its limit says."""
_READ_ROWS = 256
_TRIM_ROWS = 10_000
_RETENTION_EVERY = 4_096
"""So many records are appended between two looks for what is to be forgotten."""
_LISTEN_S = 0.05
"""How long a record of another process may go unnoticed by a waiting read."""

_SCHEMA = {
    "logs": """
        CREATE TABLE logs (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, identity TEXT NOT NULL,
            partitions INTEGER NOT NULL
        )""",
    # What is known of a partition without its records: they may all have been trimmed.
    "log_spans": """
        CREATE TABLE log_spans (
            log INTEGER NOT NULL, partition INTEGER NOT NULL, start INTEGER NOT NULL,
            "end" INTEGER NOT NULL, last_ms INTEGER NOT NULL, PRIMARY KEY (log, partition)
        ) WITHOUT ROWID""",
    "log_records": """
        CREATE TABLE log_records (
            log INTEGER NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
            at_ms INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (log, partition, offset)
        ) WITHOUT ROWID""",
}


class SqliteLog:
    """The log seam on one file, which may hold several logs by name.

    Offsets are dense. Append times are those of `clock`, but never fall within a partition.
    Records older than `retention_ms` are forgotten while others are appended; None: they are kept.
    Values have at most `bytes_max` bytes.
    Raises Conflict when the log exists with another number of partitions.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        partitions: int,
        clock: Clock,
        retention_ms: int | None = None,
        *,
        bytes_max: int = RECORD_BYTES_MAX,
    ) -> None:
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise BadRequest("partitions", f"{partitions} is outside 1..{PARTITIONS_MAX}")
        self._clock = clock
        self._partitions = partitions
        self._retention_ms = retention_ms
        self._bytes_max = bytes_max
        self._appended = 0
        self._file = SqliteFile(path, _SCHEMA)
        try:
            self._id, self._identity = self._open(name, partitions)
        except BaseException:
            self._file.close()
            raise

    def _open(self, name: str, partitions: int) -> tuple[int, str]:
        """The number and identity of the log, made if it is new."""
        query = "SELECT id, identity, partitions FROM logs WHERE name = ?"

        def make(connection: Connection) -> None:
            # Another process may have been quicker.
            cursor = connection.execute(
                "INSERT OR IGNORE INTO logs (name, identity, partitions) VALUES (?,?,?)",
                (name, uuid.uuid4().hex, partitions),
            )
            if cursor.rowcount:
                spans = [(cursor.lastrowid, partition) for partition in range(partitions)]
                connection.executemany("INSERT INTO log_spans VALUES (?,?,0,0,0)", spans)

        rows = self._file.read(query, (name,))
        if not rows:
            self._file.write(make)
            rows = self._file.read(query, (name,))
        log, identity, existing = rows[0]
        if existing != partitions:
            raise Conflict(
                f"log {name!r} has {existing} partitions, not {partitions}; their number is fixed "
                "when a log is made"
            )
        return int(log), str(identity)

    @property
    def partitions(self) -> int:
        """How many partitions."""
        return self._partitions

    @property
    def identity(self) -> str:
        """A random number, drawn when the log was made."""
        return self._identity

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        """Append all records in one transaction; appends that wait together share one."""
        for partition, value in records:
            if not 0 <= partition < self._partitions:
                raise BadRequest(
                    "records", f"there is no partition {partition} of {self._partitions}"
                )
            if len(value) > self._bytes_max:
                raise BadRequest(
                    "records", f"a value of {len(value)} bytes; at most {self._bytes_max} fit"
                )
        if not records:
            return []
        appended = self._file.write(lambda connection: self._insert(connection, records))
        self._retain(len(records))
        return appended

    def _retain(self, appended: int) -> None:
        """Forget old records, every so often."""
        if self._retention_ms is None:
            return
        self._appended += appended
        if self._appended >= _RETENTION_EVERY:
            self._appended = 0
            self.trim(self._clock.now_ms() - self._retention_ms)

    def _insert(
        self, connection: Connection, records: Sequence[tuple[int, bytes]]
    ) -> list[Appended]:
        now_ms = self._clock.now_ms()
        ends: dict[int, tuple[int, int]] = {}
        appended, rows = [], []
        for partition, value in records:
            if partition not in ends:
                end, last_ms = connection.execute(
                    'SELECT "end", last_ms FROM log_spans WHERE log = ? AND partition = ?',
                    (self._id, partition),
                ).fetchone()
                ends[partition] = (end, max(now_ms, last_ms))
            offset, at_ms = ends[partition]
            ends[partition] = (offset + 1, at_ms)
            appended.append(Appended(partition, offset, at_ms))
            rows.append((self._id, partition, offset, at_ms, value))
        connection.executemany("INSERT INTO log_records VALUES (?,?,?,?,?)", rows)
        connection.executemany(
            'UPDATE log_spans SET "end" = ?, last_ms = ? WHERE log = ? AND partition = ?',
            [(end, at_ms, self._id, p) for p, (end, at_ms) in ends.items()],
        )
        return appended

    def read(self, partition: int, offset: int, limit: int, timeout_ms: int = 0) -> list[Record]:
        """Up to `limit` records and about READ_BYTES_MAX from `offset` on."""
        if not 0 <= partition < self._partitions:
            raise BadRequest("partition", f"there is no {partition} of {self._partitions}")
        fetch = functools.partial(self._fetch, partition, offset, limit)
        return self.first(fetch, timeout_ms if limit > 0 else 0)

    def first(self, fetch: Callable[[], list[Record]], timeout_ms: int) -> list[Record]:
        """The first records that `fetch` finds, looking again after appends; none: not in time."""
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            rung = self.rung
            records = fetch()
            left_s = deadline - time.monotonic()
            if records or left_s <= 0:
                return records
            self.wait(rung, left_s)

    def _fetch(self, partition: int, offset: int, limit: int) -> list[Record]:
        records: list[Record] = []
        size = 0
        with self._file.reader() as connection:
            cursor = connection.execute(
                "SELECT partition, offset, at_ms, value FROM log_records "
                "WHERE log = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (self._id, partition, offset, max(limit, 0)),
            )
            while size <= READ_BYTES_MAX and (rows := cursor.fetchmany(_READ_ROWS)):
                records += [Record(*row) for row in rows]
                size += sum(len(row[3]) for row in rows)
            cursor.close()
        # Offsets are dense: one that is not answered by itself lies before the start or at the end.
        if not records or records[0].offset != offset:
            start = self.spans()[partition].start
            if offset < start or offset < 0:
                self._too_old(partition, offset, start)
        return records

    def follow(self, offsets: Mapping[int, int]) -> "SqliteFollowing":
        """See `Log.follow`."""
        check_follow(offsets, self.spans(), "log")
        return SqliteFollowing(self, offsets)

    def _too_old(self, partition: int, offset: int, start: int) -> NoReturn:
        raise CursorTooOld(
            f"partition {partition} begins at offset {start}, {offset} was trimmed",
            start.to_bytes(8),
        )

    def spans(self) -> list[Span]:
        """The retained offsets of every partition, by partition number."""
        rows = self._file.read(
            'SELECT start, "end" FROM log_spans WHERE log = ? ORDER BY partition', (self._id,)
        )
        return [Span(*row) for row in rows]

    def offsets_at(self, time_ms: int) -> list[int]:
        """Per partition the first offset appended at `time_ms` or later, else the end."""
        with self._file.snapshot() as connection:
            spans = connection.execute(
                'SELECT partition, start, "end" FROM log_spans WHERE log = ? ORDER BY partition',
                (self._id,),
            ).fetchall()
            return [self._first_at(connection, p, Span(*span), time_ms) for p, *span in spans]

    def _first_at(self, connection: Connection, partition: int, span: Span, time_ms: int) -> int:
        """By bisection: times never fall from one offset to the next."""
        start, end = span
        while start < end:
            middle = (start + end) // 2
            (at_ms,) = connection.execute(
                "SELECT at_ms FROM log_records WHERE log = ? AND partition = ? AND offset = ?",
                (self._id, partition, middle),
            ).fetchone()
            if at_ms < time_ms:
                start = middle + 1
            else:
                end = middle
        return start

    def trim(self, before_ms: int) -> None:
        """Forget exactly the records appended before `before_ms`, some thousands at a time."""
        cuts = self.offsets_at(before_ms)
        for partition, (span, cut) in enumerate(zip(self.spans(), cuts, strict=True)):
            start = span.start
            while start < cut:
                start = min(start + _TRIM_ROWS, cut)
                self._file.write(functools.partial(self._forget, partition, start))

    def _forget(self, partition: int, start: int, connection: Connection) -> None:
        connection.execute(
            "UPDATE log_spans SET start = max(start, ?) WHERE log = ? AND partition = ?",
            (start, self._id, partition),
        )
        connection.execute(
            "DELETE FROM log_records WHERE log = ? AND partition = ? AND offset < ?",
            (self._id, partition, start),
        )

    @property
    def rung(self) -> int:
        """A number that grows with every append of this process; for `wait`."""
        return self._file.rung

    def wait(self, rung: int, seconds: float) -> None:
        """Wait until this process appended after `rung`, some milliseconds, or `seconds`.

        It may end early: appends of other processes are found by looking again.
        """
        self._file.check_open()
        self._file.wait(rung, min(seconds, _LISTEN_S))

    def close(self) -> None:
        """Close the file; reads that wait end with Unavailable."""
        self._file.close()


class SqliteFollowing:
    """Partitions read one after the other, those last that brought something last."""

    def __init__(self, log: SqliteLog, offsets: Mapping[int, int]) -> None:
        self._log = log
        self._next = dict(offsets)
        self._order = deque(sorted(offsets))

    def poll(self, limit: int, timeout_ms: int) -> list[Record]:
        """See `Following.poll`."""
        return self._log.first(functools.partial(self._fetch, limit), timeout_ms)

    def _fetch(self, limit: int) -> list[Record]:
        found: list[Record] = []
        spans = self._log.spans()
        for partition in [p for p in self._order if spans[p].end > self._next[p]]:
            if len(found) >= limit:
                break
            records = self._log.read(partition, self._next[partition], limit - len(found))
            self._next[partition] = records[-1].offset + 1
            self._order.remove(partition)
            self._order.append(partition)
            found += records
        return found

    def close(self) -> None:
        """The log's own file stays open."""
