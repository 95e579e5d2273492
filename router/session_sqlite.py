"""A client's session and watches in the SQLite registry, and the thread that serves them."""

import logging
import threading
from collections.abc import Callable, Sequence

from idgen.clock import Clock
from idgen.errors import DashcellError, Unavailable
from idgen.file_sqlite import Connection, SqliteFile
from router.registry import Change, Delete, Set

LISTEN_S = 0.05
"""How soon changes of other processes are noticed."""
CHANGES_KEPT = 1_000
"""A watcher that missed more than these is told without cause, so nothing is lost."""

SCHEMA = {
    "nodes": """
        CREATE TABLE nodes (
            path TEXT PRIMARY KEY, parent TEXT NOT NULL, value BLOB NOT NULL,
            version INTEGER NOT NULL, owner TEXT
        ) WITHOUT ROWID""",
    "nodes_by_parent": "CREATE INDEX nodes_by_parent ON nodes (parent, path)",
    "nodes_by_owner": "CREATE INDEX nodes_by_owner ON nodes (owner) WHERE owner IS NOT NULL",
    "sessions": """
        CREATE TABLE sessions (
            id TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL, session_ms INTEGER NOT NULL
        ) WITHOUT ROWID""",
    # What was touched, in order; AUTOINCREMENT, since a number must not come twice.
    "changes": "CREATE TABLE changes (number INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT)",
}
_DEAD = "abs(? - seen_ms) > session_ms"
_log = logging.getLogger(__name__)


def told_change(connection: Connection, path: str) -> None:
    """Record, in the transaction of a change, whom it is to be told to."""
    number = connection.execute("INSERT INTO changes (path) VALUES (?)", (path,)).lastrowid
    if number is not None:
        connection.execute("DELETE FROM changes WHERE number <= ?", (number - CHANGES_KEPT,))


def _end(connection: Connection, session: str) -> None:
    """Delete a session and the paths that go with it."""
    paths = connection.execute("DELETE FROM nodes WHERE owner = ? RETURNING path", (session,))
    for (path,) in paths.fetchall():
        told_change(connection, path)
    connection.execute("DELETE FROM sessions WHERE id = ?", (session,))


class _SqliteWatch:
    """A watch on one path."""

    def __init__(self, session: "SqliteSession", path: str, changed: Callable[[], None]) -> None:
        self._session = session
        self.path = path
        self.changed = changed

    def cancel(self) -> None:
        """No further calls begin after this returns."""
        self._session.cancel(self)


class SqliteSession:
    """The session of one client. It is on record only while there are ephemeral paths."""

    def __init__(self, file: SqliteFile, clock: Clock, name: str, session_ms: int) -> None:
        self.id = name
        self._file = file
        self._clock = clock
        self._session_ms = session_ms
        self._lock = threading.Lock()
        """Of the lists below; held while ephemeral paths are written, so that they agree."""
        self._telling = threading.RLock()
        """Held while a watch is called, and apart: its callback may wait for who writes."""
        self._watches: list[_SqliteWatch] = []
        self._ephemeral: dict[str, bytes] = {}
        self._closed = False
        self._number = 0
        self._beat_ms = 0
        self._beat()
        self._number = self._last_number()
        self._thread = threading.Thread(target=self._serve, name="registry-session", daemon=True)
        self._thread.start()

    # -- ephemeral paths ---------------------------------------------------------------------

    def create(self, path: str, value: bytes, job: Callable[[Connection], None]) -> None:
        """Run the job that makes an ephemeral path, and remember to make it again."""

        def with_session(connection: Connection) -> None:
            self._record(connection)
            job(connection)

        with self._lock:
            self._file.write(with_session)
            self._ephemeral[path] = value

    def change(self, changes: Sequence[Change], job: Callable[[Connection], None]) -> None:
        """Run the job that makes these changes, and remember what they do to ephemeral paths."""
        with self._lock:
            mine = not self._ephemeral.keys().isdisjoint(change.path for change in changes)
            if mine:
                self._file.write(job)
                self._remember(changes)
        if not mine:
            self._file.write(job)

    def _remember(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Delete):
                self._ephemeral.pop(change.path, None)
            elif isinstance(change, Set) and change.path in self._ephemeral:
                self._ephemeral[change.path] = change.value

    def _record(self, connection: Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO sessions VALUES (?,?,?)",
            (self.id, self._clock.now_ms(), self._session_ms),
        )

    def _renew(self) -> bool:
        """Tell that we live. False: the session was lost, and is made again with its paths."""

        def job(connection: Connection) -> tuple[bool, list[str]]:
            kept = connection.execute("SELECT 1 FROM sessions WHERE id = ?", (self.id,)).fetchone()
            self._record(connection)
            taken = []
            for path, value in () if kept else self._ephemeral.items():
                parent = path.rpartition("/")[0]
                made = connection.execute(
                    "INSERT OR IGNORE INTO nodes SELECT ?,?,?,0,? WHERE ? = '' OR EXISTS "
                    "(SELECT 1 FROM nodes WHERE path = ? AND owner IS NULL)",
                    (path, parent, value, self.id, parent, parent),
                ).rowcount
                if made:
                    told_change(connection, path)
                else:
                    taken.append(path)
            return bool(kept), taken

        kept, taken = self._file.write(job)
        for path in taken:
            _log.warning("session lost, and %s is another's now or has no parent any more", path)
            del self._ephemeral[path]
        return kept

    def _beat(self) -> bool:
        """Keep the own session and end those that were silent. False: ours was lost."""
        self._beat_ms = self._clock.monotonic_ms()
        now_ms = self._clock.now_ms()
        with self._lock:
            kept = self._renew() if self._ephemeral and not self._closed else True
        dead = f"SELECT id FROM sessions WHERE {_DEAD}"  # noqa: S608 - a constant
        if self._file.read(dead, (now_ms,)):

            def bury(connection: Connection) -> None:
                for (session,) in connection.execute(dead, (now_ms,)).fetchall():
                    _end(connection, session)

            self._file.write(bury)
        return kept

    # -- watches -----------------------------------------------------------------------------

    def watch(self, path: str, changed: Callable[[], None]) -> _SqliteWatch:
        """Call `changed` after changes at `path` or its children from now on."""
        self._file.check_open()
        watch = _SqliteWatch(self, path, changed)
        with self._lock:
            self._watches.append(watch)
        return watch

    def cancel(self, watch: _SqliteWatch) -> None:
        """Forget a watch; when this returns, its last call has ended."""
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)
        with self._telling:
            return

    def _last_number(self) -> int:
        return int(self._file.read("SELECT coalesce(max(number), 0) FROM changes")[0][0])

    def _tell_changes(self) -> None:
        """Tell what was changed since we last looked."""
        rows = self._file.read(
            "SELECT number, path FROM changes WHERE number > ? ORDER BY number", (self._number,)
        )
        if not rows:
            return
        if rows[0][0] > self._number + 1:
            self._tell(None)
        else:
            paths = {path for _, path in rows}
            self._tell(paths | {path.rpartition("/")[0] for path in paths})
        self._number = rows[-1][0]

    def _tell(self, paths: set[str] | None) -> None:
        """Call the watches of these paths; None: all."""
        with self._lock:
            watches = [w for w in self._watches if paths is None or w.path in paths]
        for watch in watches:
            with self._telling:
                if watch not in self._watches:
                    continue
                try:
                    watch.changed()
                except Exception:  # noqa: BLE001 - its mistake must not take the news from others
                    _log.exception("a watcher of %s failed", watch.path)

    # -- the thread --------------------------------------------------------------------------

    def _serve(self) -> None:
        lost = False
        while not self._closed:
            try:
                with self._file.ear() as listen:
                    if lost:
                        self._number = self._last_number()
                        self._tell(None)
                    lost = True
                    self._listen(listen)
            except DashcellError as error:
                if not self._closed:
                    _log.warning("the registry is away: %s", error)
                    self._file.wait(self._file.rung, 1.0)

    def _listen(self, listen: Callable[[], int]) -> None:
        """Tell changes and keep the session until closed. Raises what the file raises."""
        heard = -1
        while not self._closed:
            rung = self._file.rung
            if (now := listen()) != heard:
                heard = now
                self._tell_changes()
            if self._clock.monotonic_ms() - self._beat_ms >= self._session_ms // 4:
                kept = self._beat()
                if not kept:
                    self._tell(None)
            self._file.wait(rung, LISTEN_S)

    def close(self) -> None:
        """End the session and the thread. May be repeated."""
        with self._lock:
            closed, self._closed = self._closed, True
            self._watches.clear()
        if closed:
            return
        try:
            if self._ephemeral:
                self._file.write(lambda connection: _end(connection, self.id))
        except Unavailable as error:
            _log.warning("ephemeral paths stay for %d ms: %s", self._session_ms, error)
        self._file.ring()
        if threading.current_thread() is not self._thread:
            self._thread.join()
