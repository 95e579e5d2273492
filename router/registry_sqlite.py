"""The registry in an SQLite file."""

import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from idgen.clock import Clock
from idgen.errors import BadRequest, Conflict, NotFound
from idgen.file_sqlite import Connection, SqliteFile
from router.registry import VALUE_BYTES_MAX, Change, Check, Create, Delete, Node, Set, Watch
from router.session_sqlite import SCHEMA, SqliteSession, told_change

SESSION_MS = 4_000
"""How long the ephemeral paths of a killed process stay."""
PATH_BYTES_MAX = 512
_PATH = re.compile(r"(/[A-Za-z0-9._:-]+)+")


class SqliteRegistry:
    """The registry seam on one file, for processes of one machine.

    One thread of it tells watchers, keeps the session and ends those of processes that died.
    """

    def __init__(self, path: Path, clock: Clock, session_ms: int = SESSION_MS) -> None:
        self._file = SqliteFile(path, SCHEMA)
        try:
            self._session = SqliteSession(self._file, clock, uuid.uuid4().hex, session_ms)
        except BaseException:
            self._file.close()
            raise

    def get(self, path: str) -> Node:
        """The value at `path`."""
        _check_path(path)
        rows = self._file.read("SELECT value, version FROM nodes WHERE path = ?", (path,))
        if not rows:
            raise NotFound(f"there is nothing at {path}")
        return Node(*rows[0])

    def create(self, path: str, value: bytes, *, ephemeral: bool = False) -> None:
        """Make `path` and its parents. Below an ephemeral path is no place: Conflict."""
        _check_path(path)
        _check_value(path, value)

        def job(connection: Connection) -> None:
            if _version(connection, path) is not None:
                raise Conflict(f"{path} exists already")
            missing = []
            parent = parent_of(path)
            while parent and _version(connection, parent) is None:
                missing.append(parent)
                parent = parent_of(parent)
            for each in reversed(missing):
                _create(connection, each, b"", None)
            _create(connection, path, value, self._session.id if ephemeral else None)

        if ephemeral:
            self._session.create(path, value, job)
        else:
            self._file.write(job)

    def set(self, path: str, value: bytes, version: int) -> int:
        """Change the value if it is of `version`."""
        self.multi([Set(path, value, version)])
        return version + 1

    def delete(self, path: str, version: int) -> None:
        """Delete the path if it is of `version`."""
        self.multi([Delete(path, version)])

    def list(self, path: str) -> list[str]:
        """The names of the children, sorted; of `/` those at the top."""
        if path != "/":
            _check_path(path)
        parent = path.rstrip("/")
        rows = self._file.read("SELECT path FROM nodes WHERE parent = ? ORDER BY path", (parent,))
        return [child[len(parent) + 1 :] for (child,) in rows]

    def watch(self, path: str, changed: Callable[[], None]) -> Watch:
        """Call `changed` after changes: of this process at once, of others within 50 ms."""
        if path != "/":
            _check_path(path)
        return self._session.watch(path.rstrip("/"), changed)

    def multi(self, changes: Sequence[Change]) -> None:
        """All of the changes in one transaction, or none."""
        for change in changes:
            _check_path(change.path)
            if isinstance(change, Create | Set):
                _check_value(change.path, change.value)

        def job(connection: Connection) -> None:
            for change in changes:
                _apply(connection, change)

        if changes:
            self._session.change(changes, job)

    def close(self) -> None:
        """End the session, and the thread."""
        self._session.close()
        self._file.close()


def parent_of(path: str) -> str:
    """The path above; empty at the top."""
    return path.rpartition("/")[0]


def _check_path(path: str) -> None:
    if not _PATH.fullmatch(path) or any(s in {".", ".."} for s in path.split("/")):
        raise BadRequest(
            "path", f"{path!r} is not of the form /a/b with letters, digits and . _ : - in names"
        )
    if len(path) > PATH_BYTES_MAX:
        raise BadRequest("path", f"has {len(path)} characters, at most {PATH_BYTES_MAX} fit")


def _check_value(path: str, value: bytes) -> None:
    if len(value) > VALUE_BYTES_MAX:
        raise BadRequest(
            "value", f"{len(value)} bytes for {path}, at most {VALUE_BYTES_MAX} fit; split it"
        )


def _version(connection: Connection, path: str) -> int | None:
    row = connection.execute("SELECT version FROM nodes WHERE path = ?", (path,)).fetchone()
    return None if row is None else int(row[0])


def _create(connection: Connection, path: str, value: bytes, owner: str | None) -> None:
    """Make a path that does not exist below one that does."""
    parent = parent_of(path)
    if parent:
        row = connection.execute("SELECT owner FROM nodes WHERE path = ?", (parent,)).fetchone()
        if row is None:
            raise NotFound(f"there is nothing at {parent}, the parent of {path}; create it first")
        if row[0] is not None:
            raise Conflict(f"{parent} is ephemeral and can have no children as {path}")
    connection.execute("INSERT INTO nodes VALUES (?,?,?,0,?)", (path, parent, value, owner))
    told_change(connection, path)


def _apply(connection: Connection, change: Change) -> None:
    """One change of a multi."""
    path = change.path
    version = _version(connection, path)
    if isinstance(change, Create):
        if version is not None:
            raise Conflict(f"{path} exists already")
        _create(connection, path, change.value, None)
        return
    if version is None:
        raise NotFound(f"there is nothing at {path}")
    if version != change.version:
        raise Conflict(f"{path} is of version {version}, not {change.version}; read it again")
    if isinstance(change, Check):
        return
    if isinstance(change, Set):
        connection.execute(
            "UPDATE nodes SET value = ?, version = version + 1 WHERE path = ?",
            (change.value, path),
        )
    elif connection.execute("SELECT 1 FROM nodes WHERE parent = ? LIMIT 1", (path,)).fetchone():
        raise Conflict(f"{path} has children; delete them first")
    else:
        connection.execute("DELETE FROM nodes WHERE path = ?", (path,))
    told_change(connection, path)
