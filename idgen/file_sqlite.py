"""One SQLite file as all SQLite adapters use it: durable, shared by threads and by processes.

A write is a job that runs inside a transaction; jobs that wait at the same moment share one
transaction and so one sync to disk. Reads run beside it (write-ahead log), each on a connection of
a bounded pool. What SQLite raises is told as one of idgen.errors.

Durable means `synchronous=FULL`: a finished `write` survives a killed process and, as far as the
disk keeps its word, a power cut. Source: https://www.sqlite.org/wal.html.

This is the only module that knows the sqlite3 library; the adapters know SQL.
"""

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from idgen.errors import Corrupt, DashcellError, Unavailable

T = TypeVar("T")
Connection = sqlite3.Connection
Job = Callable[[Connection], T]

BUSY_MS = 10_000
"""How long a writer waits for the writers of other processes."""
READERS_MAX = 16
BATCH_MAX = 64
WRITER_CACHE_KB = 64_000
READER_CACHE_KB = 4_000
_OPEN_ATTEMPTS = 200


class _Shared:
    """What all objects of this process that opened one path have in common."""

    def __init__(self) -> None:
        self.writing = threading.Lock()
        self.bell = threading.Condition()
        self.rung = 0
        self.__weakref__: Any


_shared: "weakref.WeakValueDictionary[Path, _Shared]" = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def _shared_of(path: Path) -> _Shared:
    with _shared_lock:
        shared = _shared.get(path)
        if shared is None:
            shared = _shared[path] = _Shared()
        return shared


class _Ticket(Generic[T]):
    """A job in the queue, and then its outcome."""

    def __init__(self, job: Job[T]) -> None:
        self.job = job
        self.done = False
        self.turn = threading.Event()
        self.result: T | None = None
        self.error: BaseException | None = None


def told(path: Path, error: sqlite3.Error) -> DashcellError:
    """What to tell about an error that SQLite met at `path`."""
    name = getattr(error, "sqlite_errorname", "") or ""
    kind = "_".join(name.split("_")[:2])
    if kind in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
        return Unavailable(
            f"{path} was locked by another writer for {BUSY_MS / 1000:g} s; try again, "
            "or look for a process that hangs"
        )
    if kind == "SQLITE_FULL":
        return Unavailable(f"disk full: free space in {path.parent}")
    if kind == "SQLITE_CANTOPEN":
        return Unavailable(
            f"cannot open {path}: its folder must exist and be writable for this process"
        )
    if kind in {"SQLITE_READONLY", "SQLITE_PERM"}:
        return Unavailable(f"{path} cannot be written: make file and folder writable")
    if kind in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
        return Corrupt(f"{path} is damaged or no SQLite file ({error}); restore it from a backup")
    return Unavailable(f"{path}: {error} ({name or type(error).__name__}); see to the disk")


class SqliteFile:
    """A file with the tables of `schema` (statements by the name of what they create).

    All methods may be called by many threads. Raises Unavailable when the file cannot be opened or
    written, Corrupt when it is damaged; after `close` everything raises Unavailable.
    """

    def __init__(self, path: Path, schema: dict[str, str]) -> None:
        self.path = path.absolute()
        self.closed = False
        self._shared = _shared_of(self.path.resolve())
        self._queue: list[_Ticket[Any]] = []
        self._queue_lock = threading.Lock()
        self._led = False
        """Whether some thread writes for the queue; whoever joins it then only waits."""
        self._idle: list[Connection] = []
        self._idle_lock = threading.Lock()
        self._readers = threading.BoundedSemaphore(READERS_MAX)
        self._writer = self._connect()
        try:
            self._writer.execute(f"PRAGMA cache_size=-{WRITER_CACHE_KB}")
            self._make(schema)
        except BaseException:
            self.close()
            raise

    def _make(self, schema: dict[str, str]) -> None:
        """Create what is missing of the schema."""
        query = "SELECT name FROM sqlite_master"
        if schema.keys() - {name for (name,) in self.read(query)}:

            def make(connection: Connection) -> None:
                # Another process may have been quicker.
                have = {name for (name,) in connection.execute(query)}
                for name, statement in schema.items():
                    if name not in have:
                        connection.execute(statement)

            self.write(make)

    # -- reading -----------------------------------------------------------------------------

    def read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of one query."""
        with self.reader() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """A connection to read with; each statement sees the latest state."""
        if not self._readers.acquire(timeout=BUSY_MS / 1000):
            raise Unavailable(f"{READERS_MAX} reads of {self.path} at once take too long")
        try:
            with self._idle_lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None or self.closed:
                connection = self._connect()
            try:
                with self._telling():
                    yield connection
            finally:
                self._give_back(connection)
        finally:
            self._readers.release()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection to read with; all statements see one state."""
        with self.reader() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def _give_back(self, connection: Connection) -> None:
        with self._idle_lock:
            if not self.closed:
                self._idle.append(connection)
                return
        connection.close()

    # -- writing -----------------------------------------------------------------------------

    def write(self, job: Job[T]) -> T:
        """Run a job in a transaction and return its result once that is on disk.

        An exception of the job undoes what the job did and is raised here. The job may run in the
        thread of another caller.
        """
        ticket = _Ticket(job)
        with self._queue_lock:
            self._queue.append(ticket)
            leads, self._led = not self._led, True
        if not leads:
            self._await_turn(ticket)
        if not ticket.done:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result  # type: ignore[return-value]

    def _await_turn(self, ticket: _Ticket[Any]) -> None:
        """Wait until the ticket was written by another thread, or is the first in the queue."""
        try:
            ticket.turn.wait()
        except BaseException:
            # Interrupted: nobody must wait for us.
            with self._queue_lock:
                if ticket in self._queue:
                    self._queue.remove(ticket)
                    if ticket.turn.is_set():
                        self._promote()
            raise

    def _lead(self) -> None:
        """Write for all who wait by now, ourselves the first, and let the next one lead."""
        batch: list[_Ticket[Any]] = []
        try:
            with self._shared.writing:
                with self._queue_lock:
                    batch, self._queue = self._queue[:BATCH_MAX], self._queue[BATCH_MAX:]
                self._commit(batch)
        finally:
            with self._queue_lock:
                self._promote()
            for ticket in batch:
                ticket.turn.set()

    def _promote(self) -> None:
        self._led = bool(self._queue)
        if self._queue:
            self._queue[0].turn.set()

    def _commit(self, batch: list[_Ticket[Any]]) -> None:
        """Run the jobs of a batch in one transaction."""
        connection = self._writer
        try:
            with self._telling():
                connection.execute("BEGIN IMMEDIATE")
                for ticket in batch:
                    _attempt(connection, ticket)
                connection.execute("COMMIT")
        except DashcellError as error:
            for ticket in batch:
                # One each: an exception that several threads raise mixes up their tracebacks.
                ticket.error = ticket.error or type(error)(str(error))
        except BaseException:
            for ticket in batch:
                ticket.error = ticket.error or Unavailable(f"writing {self.path} was interrupted")
            raise
        finally:
            if not self.closed and connection.in_transaction:
                connection.execute("ROLLBACK")
            for ticket in batch:
                ticket.done = True
        self.ring()

    # -- changes -----------------------------------------------------------------------------

    @property
    def rung(self) -> int:
        """A number that grows with each write of this process to the file."""
        return self._shared.rung

    def ring(self) -> None:
        """Wake all who wait for a change."""
        with self._shared.bell:
            self._shared.rung += 1
            self._shared.bell.notify_all()

    def wait(self, rung: int, seconds: float) -> None:
        """Wait until this process has written since `rung`, at most `seconds`."""
        with self._shared.bell:
            self._shared.bell.wait_for(lambda: self.closed or self._shared.rung != rung, seconds)

    @contextmanager
    def ear(self) -> Iterator[Callable[[], int]]:
        """A function whose number changes when any other connection has written to the file."""
        connection = self._connect()

        def listen() -> int:
            with self._telling():
                return int(connection.execute("PRAGMA data_version").fetchone()[0])

        try:
            yield listen
        finally:
            connection.close()

    # -- connections -------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise Unavailable after `close`."""
        if self.closed:
            raise Unavailable(f"{self.path} was closed by this process")

    def close(self) -> None:
        """Close all connections; those in use when their users are done. May be repeated."""
        with self._shared.writing, self._idle_lock:
            self.closed = True
            idle, self._idle = self._idle, []
            for connection in (*idle, self._writer):
                connection.close()
        self.ring()

    def _connect(self) -> Connection:
        self.check_open()
        with self._telling():
            connection = sqlite3.connect(
                self.path,
                timeout=BUSY_MS / 1000,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            try:
                self._prepare(connection)
            except sqlite3.Error:
                connection.close()
                raise
            return connection

    def _prepare(self, connection: Connection) -> None:
        # Two processes that make one file at once: turning the log on does not wait, it refuses.
        for attempt in range(_OPEN_ATTEMPTS):
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or attempt == _OPEN_ATTEMPTS - 1:
                    raise
                threading.Event().wait(0.02)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{READER_CACHE_KB}")
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA journal_size_limit=67108864")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell SQLite's errors in our words; mistakes in a program go through as they are."""
        try:
            yield
        except sqlite3.ProgrammingError:
            self.check_open()
            raise
        except sqlite3.Error as error:
            raise told(self.path, error) from error


def _attempt(connection: Connection, ticket: _Ticket[Any]) -> None:
    """Run one job of a transaction; if it fails, without traces in the transaction."""
    connection.execute("SAVEPOINT job")
    try:
        ticket.result = ticket.job(connection)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - raised again by the thread whose job it was
        ticket.error = error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
