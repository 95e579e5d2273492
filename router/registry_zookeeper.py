"""The registry seam over ZooKeeper: a path here is a znode below a root.

ZooKeeper's versions, sessions and transactions are the seam's own words, so most verbs are one
request. The rest is what its clients have to add: bounded waits, watches that are set again each
time they fired or the connection was lost, and ephemeral znodes that come back with a new session.
"""

import logging
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)

from idgen.errors import BadRequest, Conflict, DashcellError, NotFound, Unavailable
from idgen.worker_lease_zookeeper import answered
from router.registry import VALUE_BYTES_MAX, Change, Check, Create, Delete, Node, Set, Watch

_PATH = re.compile(r"(/[A-Za-z0-9._:-]+)+")
_NO_VERSION = 2**31 - 1
"""A version that no znode has; -1, which means any version to ZooKeeper, becomes this."""

_RETRY_S = 0.5
_WATCHED_AT_ONCE = 500

_log = logging.getLogger(__name__)


class ZooKeeperRegistry:
    """The tree below `root`. All verbs may be called from many threads, except from a watcher.

    `client` is made, started and stopped by the caller: one session for all that a process keeps
    in ZooKeeper. Every verb ends within about `timeout_ms`.
    """

    def __init__(self, client: KazooClient, root: str, *, timeout_ms: int = 5_000) -> None:
        self._client = client
        self._root = root.rstrip("/")
        self._timeout_ms = timeout_ms
        self._ephemerals = _Ephemerals(self)
        self._watcher = _Watcher(self)
        self._closed = False
        client.add_listener(self._watcher.heard)

    # -- reading -----------------------------------------------------------------------------

    def get(self, path: str) -> Node:
        """See `Registry.get`."""
        try:
            value, stat = self.ask(f"get {path}", self._client.get_async(self.full(path)))
        except NoNodeError as error:
            raise _not_found(path) from error
        return Node(value, stat.version)

    def list(self, path: str) -> list[str]:
        """See `Registry.list`."""
        asked = self._client.get_children_async(self.full(path, top=True))
        try:
            return sorted(self.ask(f"list {path}", asked))
        except NoNodeError:
            return []

    # -- changing ----------------------------------------------------------------------------

    def create(self, path: str, value: bytes, *, ephemeral: bool = False) -> None:
        """See `Registry.create`. Raises Conflict also below an ephemeral path."""
        full = self.full(path)
        _check_value(path, value)
        try:
            self.make(path, full, value, ephemeral=ephemeral)
        except NodeExistsError as error:
            raise Conflict(f"{path} exists already") from error
        except NoChildrenForEphemeralsError as error:
            raise Conflict(f"{path} lies below an ephemeral path") from error
        if ephemeral:
            self._ephemerals.remember(path, value)

    def make(self, path: str, full: str, value: bytes, *, ephemeral: bool) -> None:
        """Make a znode and its parents; kazoo's errors."""
        asked = self._client.create_async(full, value, ephemeral=ephemeral, makepath=True)
        self.ask(f"create {path}", asked)

    def set(self, path: str, value: bytes, version: int) -> int:
        """See `Registry.set`."""
        full = self.full(path)
        _check_value(path, value)
        asked = self._client.set_async(full, value, _exact(version))
        try:
            stat = self.ask(f"set {path}", asked)
        except KazooException as error:
            raise _refused(path, version, error) from error
        self._ephemerals.changed(path, value)
        return int(stat.version)

    def delete(self, path: str, version: int) -> None:
        """See `Registry.delete`."""
        asked = self._client.delete_async(self.full(path), _exact(version))
        try:
            self.ask(f"delete {path}", asked)
        except KazooException as error:
            raise _refused(path, version, error) from error
        self._ephemerals.forget(path)

    def multi(self, changes: Sequence[Change]) -> None:
        """See `Registry.multi`: one ZooKeeper transaction, whose values fit VALUE_BYTES_MAX."""
        transaction = self._client.transaction()
        for change in changes:
            _add(transaction, change, self.full(change.path))
        if not changes:
            return
        size = sum(len(one.value) for one in changes if isinstance(one, Create | Set))
        if size > VALUE_BYTES_MAX:
            raise BadRequest("value", f"{size} bytes in one multi are over {VALUE_BYTES_MAX}")
        results = self.ask(f"multi of {len(changes)}", transaction.commit_async())
        _raise_first(changes, results)
        for change in changes:
            if isinstance(change, Set):
                self._ephemerals.changed(change.path, change.value)
            elif isinstance(change, Delete):
                self._ephemerals.forget(change.path)

    # -- watching and ending -----------------------------------------------------------------

    def watch(self, path: str, changed: Callable[[], None]) -> Watch:
        """See `Registry.watch`."""
        full = self.full(path, top=True)
        if self._closed:
            raise Unavailable(f"watch {path}: the registry is closed")
        return self._watcher.watch(full, changed)

    def close(self) -> None:
        """Stop watching and delete the ephemeral paths at once; the session is its maker's.

        Idempotent. When ZooKeeper is away the paths go with the session.
        """
        if self._closed:
            return
        self._client.remove_listener(self._watcher.heard)
        self._watcher.stop()
        try:
            self._ephemerals.remove_all()
        except DashcellError as error:
            _log.warning("ephemeral paths are left to the session's end: %s", error)
        self._closed = True

    # -- what the parts share ----------------------------------------------------------------

    @property
    def client(self) -> KazooClient:
        """The session."""
        return self._client

    def full(self, path: str, *, top: bool = False) -> str:
        """The znode of a path; `top` allows "/". Raises BadRequest(path)."""
        if top and path == "/":
            return self._root or "/"
        if not _PATH.fullmatch(path) or not {".", ".."}.isdisjoint(path.split("/")):
            raise BadRequest(
                "path", f"{path!r} is not like /routes/0: names of letters, digits and . _ : -"
            )
        return self._root + path

    def ask(self, what: str, asked: Any) -> Any:
        """The answer, in time. Raises Unavailable, PermissionDenied and kazoo's errors."""
        if self._closed:
            raise Unavailable(f"{what}: the registry is closed")
        return answered(self._client, asked, what, self._timeout_ms)

    def remake_ephemerals(self) -> None:
        """Called by the watcher's thread when a new session began. Raises Unavailable."""
        self._ephemerals.remake()


def _check_value(path: str, value: bytes) -> None:
    if len(value) > VALUE_BYTES_MAX:
        raise BadRequest("value", f"{len(value)} bytes for {path} are over {VALUE_BYTES_MAX}")


def _add(transaction: Any, change: Change, full: str) -> None:
    match change:
        case Create(path, value):
            _check_value(path, value)
            transaction.create(full, value)
        case Set(path, value, version):
            _check_value(path, value)
            transaction.set_data(full, value, _exact(version))
        case Delete(_, version):
            transaction.delete(full, _exact(version))
        case Check(_, version):
            transaction.check(full, _exact(version))


def _exact(version: int) -> int:
    return version if 0 <= version < _NO_VERSION else _NO_VERSION


def _not_found(path: str) -> NotFound:
    return NotFound(f"there is nothing at {path}")


def _refused(path: str, version: int, error: Exception) -> DashcellError:
    """What a refused change means in the seam's words."""
    match error:
        case NoNodeError():
            return _not_found(path)
        case BadVersionError():
            return Conflict(f"{path} is not of version {version}; read it again")
        case NotEmptyError():
            return Conflict(f"{path} has children")
        case NodeExistsError():
            return Conflict(f"{path} exists already")
        case NoChildrenForEphemeralsError():
            return Conflict(f"{path} lies below an ephemeral path")
        case _:
            return Unavailable(f"{path}: ZooKeeper says {type(error).__name__}")


def _raise_first(changes: Sequence[Change], results: Sequence[object]) -> None:
    """ZooKeeper names the change that failed; those before and after it only say so."""
    for change, result in zip(changes, results, strict=True):
        if isinstance(result, RolledBackError | RuntimeInconsistency):
            continue
        if isinstance(result, Exception):
            version = -1 if isinstance(change, Create) else change.version
            raise _refused(change.path, version, result)
    if any(isinstance(result, Exception) for result in results):
        raise Unavailable("multi: ZooKeeper undid it without a reason")


class _Ephemerals:
    """The ephemeral paths of this client and their values, to be made again in a new session."""

    def __init__(self, registry: ZooKeeperRegistry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._values: dict[str, bytes] = {}

    def remember(self, path: str, value: bytes) -> None:
        with self._lock:
            self._values[path] = value

    def changed(self, path: str, value: bytes) -> None:
        with self._lock:
            if path in self._values:
                self._values[path] = value

    def forget(self, path: str) -> None:
        with self._lock:
            self._values.pop(path, None)

    def remake(self) -> None:
        with self._lock:
            values = dict(self._values)
        for path, value in values.items():
            try:
                full = self._registry.full(path)
                self._registry.make(path, full, value, ephemeral=True)
            except NodeExistsError:
                # Made by an earlier try whose answer was lost; or somebody else was faster, and
                # then it is theirs.
                _log.info("%s exists already in the new session", path)
            except NoChildrenForEphemeralsError:
                _log.warning("%s cannot be made again: its parent is ephemeral now", path)
            with self._lock:
                deleted = path not in self._values
            if deleted:
                self._delete(path)

    def remove_all(self) -> None:
        with self._lock:
            paths = list(self._values)
            self._values.clear()
        for path in paths:
            self._delete(path)

    def _delete(self, path: str) -> None:
        """Delete the path if it is of this session."""
        client, full = self._registry.client, self._registry.full(path)
        stat = self._registry.ask(f"look at {path}", client.exists_async(full))
        if stat is None or client.client_id is None or stat.ephemeralOwner != client.client_id[0]:
            return
        try:
            self._registry.ask(f"delete {path}", client.delete_async(full, stat.version))
        except (NoNodeError, BadVersionError):
            _log.info("%s was changed by others meanwhile", path)


class _ZooKeeperWatch:
    """One registered watch: `changed` is called while it is not cancelled."""

    def __init__(self, watcher: "_Watcher", full: str, changed: Callable[[], None]) -> None:
        self.full = full
        self._watcher = watcher
        self._changed = changed
        # Held during a call, so that none begins after `cancel` has returned; a watcher may cancel
        # itself.
        self._calling = threading.RLock()
        self._cancelled = False

    def fired(self, _event: Any) -> None:
        """Called in kazoo's thread: nothing may be asked of ZooKeeper here."""
        self._watcher.mark(self)

    def tell(self) -> None:
        with self._calling:
            if self._cancelled:
                return
            try:
                self._changed()
            except Exception:  # noqa: BLE001 - a watcher's mistake is not to silence the others
                _log.exception("the watcher of %s failed", self.full)

    def cancel(self) -> None:
        self._watcher.drop(self)
        with self._calling:
            self._cancelled = True


class _Watcher:
    """The thread that sets watches again and tells watchers.

    ZooKeeper's watches fire once, tell nothing of a child's value, and kazoo drops them with the
    connection. So for a watched path there is one on it, one on its list of children and one on
    each child. They are set again before the watcher is told: what changes later fires anew.
    """

    def __init__(self, registry: ZooKeeperRegistry) -> None:
        self._registry = registry
        self._changed = threading.Condition()
        self._watches: set[_ZooKeeperWatch] = set()
        self._marked: set[_ZooKeeperWatch] = set()
        self._connected = bool(registry.client.connected)
        self._session_lost = False
        self._remake = False
        self._stopped = False
        self._thread: threading.Thread | None = None

    def heard(self, state: str) -> None:
        """Kazoo's state listener, called in its connection's thread: only takes notes."""
        with self._changed:
            self._connected = state == KazooState.CONNECTED
            if state == KazooState.LOST:
                self._session_lost = True
            elif state == KazooState.CONNECTED:
                self._marked |= self._watches
                self._remake = self._remake or self._session_lost
                self._session_lost = False
                self._ensure_thread()
            self._changed.notify_all()

    def mark(self, watch: _ZooKeeperWatch) -> None:
        with self._changed:
            if watch in self._watches:
                self._marked.add(watch)
                self._changed.notify_all()

    def drop(self, watch: _ZooKeeperWatch) -> None:
        with self._changed:
            self._watches.discard(watch)
            self._marked.discard(watch)

    def watch(self, full: str, changed: Callable[[], None]) -> _ZooKeeperWatch:
        watch = _ZooKeeperWatch(self, full, changed)
        with self._changed:
            self._watches.add(watch)
            self._ensure_thread()
        try:
            self._set(watch)
        except DashcellError:
            watch.cancel()
            raise
        return watch

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._watches.clear()
            self._marked.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(10)

    def _ensure_thread(self) -> None:
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name="registry-watch", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and not (
                    self._connected and (self._marked or self._remake)
                ):
                    self._changed.wait()
                if self._stopped:
                    return
                marked, remake = self._marked, self._remake
                self._marked, self._remake = set(), False
            if not self._serve(marked, remake=remake):
                with self._changed:
                    # The connection may be about to go, or the server only slow.
                    self._changed.wait(_RETRY_S)

    def _serve(self, marked: set[_ZooKeeperWatch], *, remake: bool) -> bool:
        """False when ZooKeeper was away; what could not be done is noted down again."""
        whole = True
        if remake:
            try:
                self._registry.remake_ephemerals()
            except (DashcellError, KazooException) as error:
                _log.warning("ephemeral paths are not made again yet: %s", error)
                whole = False
                with self._changed:
                    self._remake = True
        for watch in marked:
            try:
                self._set(watch)
            except (DashcellError, KazooException) as error:
                _log.warning("the watch of %s is not set yet: %s", watch.full, error)
                whole = False
                self.mark(watch)
            watch.tell()
        return whole

    def _set(self, watch: _ZooKeeperWatch) -> None:
        """Set all watches of a path; kazoo and the server drop repeated ones."""
        client, ask = self._registry.client, self._registry.ask
        ask("watch", client.exists_async(watch.full, watch=watch.fired))
        try:
            names = ask("watch", client.get_children_async(watch.full, watch=watch.fired))
        except NoNodeError:
            return
        below = watch.full.rstrip("/")
        for first in range(0, len(names), _WATCHED_AT_ONCE):
            asked = [
                client.exists_async(f"{below}/{name}", watch=watch.fired)
                for name in names[first : first + _WATCHED_AT_ONCE]
            ]
            for one in asked:
                ask("watch", one)
