"""The registry seam: a small tree of versioned values that many processes watch.

It holds what must be agreed on: cells, routes, flags, services, cluster-wide values. Adapters:
ZooKeeper and SQLite, one contract suite. Paths look like `/routes/0`; a value has at most
VALUE_BYTES_MAX bytes. Versions start at 0 and grow by one with each `set`; they are per life of a
path: a path deleted and made again starts at 0.

Every verb raises `Unavailable` when the server cannot be reached in time (a write may then have
been done or not), and BadRequest(path|value) for a path or a value that can never work.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

VALUE_BYTES_MAX = 900_000
"""ZooKeeper refuses packets above 1 MiB (jute.maxbuffer)."""


class Node(NamedTuple):
    """A value and its version."""

    value: bytes
    version: int


class Create(NamedTuple):
    """In a `multi`: make a path that must not exist."""

    path: str
    value: bytes


class Set(NamedTuple):
    """In a `multi`: change a value that must be of this version."""

    path: str
    value: bytes
    version: int


class Delete(NamedTuple):
    """In a `multi`: delete a path that must be of this version and have no children."""

    path: str
    version: int


class Check(NamedTuple):
    """In a `multi`: a path must be of this version."""

    path: str
    version: int


Change = Create | Set | Delete | Check


class Watch(Protocol):
    """A registered watch."""

    def cancel(self) -> None:
        """No further calls begin after this returns."""
        ...


class Registry(Protocol):
    """Get, create, set, delete, list, watch, multi."""

    def get(self, path: str) -> Node:
        """The value at `path`. Raises NotFound."""
        ...

    def create(self, path: str, value: bytes, *, ephemeral: bool = False) -> None:
        """Make `path` (and its parents, empty). Raises Conflict when it exists.

        An ephemeral path goes away with this client's session (its process, at the latest some
        seconds after it died) and is made again by this client when its session is renewed.
        """
        ...

    def set(self, path: str, value: bytes, version: int) -> int:
        """Change the value if it is of `version`; returns the new version.

        Raises Conflict when it is of another version, NotFound when the path does not exist.
        """
        ...

    def delete(self, path: str, version: int) -> None:
        """Delete the path if it is of `version`. Raises Conflict (also when it has children) or
        NotFound."""
        ...

    def list(self, path: str) -> list[str]:
        """The names of the children, sorted; empty where there is no such path."""
        ...

    def watch(self, path: str, changed: Callable[[], None]) -> Watch:
        """Call `changed` soon after anything at `path` or its direct children was changed.

        Called from a thread of the adapter, one call at a time, sometimes without cause and at
        least once after a lost connection came back; it must be quick and not call the registry.
        Changes close together may be told once. Watchers re-read, and also re-read periodically.
        """
        ...

    def multi(self, changes: Sequence[Change]) -> None:
        """All of the changes, or none. Raises Conflict or NotFound, naming the first that failed.

        Parents are not made here.
        """
        ...

    def close(self) -> None:
        """End the session; ephemeral paths go away at once."""
        ...
