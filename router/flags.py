"""Flags: how many of 10,000 users something is on for, followed live.

The same users stay on while a flag rises, and flags are independent of each other: a user's place
of a flag is the spread of the user mixed with the flag's name. The form is Twitter's Decider.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from crc32c import crc32c

from idgen.clock import Clock
from idgen.errors import BadRequest, Corrupt, NotFound
from idgen.ids import U64Array, spread, spread_array
from router.live import REREAD_MS, Live
from router.registry import Registry

FLAGS = "/flags"
FULL = 10_000
READ: Final[Mapping[str, int]] = {
    "materialize.per_reader": 0,
    "materialize.hot_author": 0,
    "materialize.away": 0,
    "materialize.wide_reader": 0,
    "materialize.per_pair": 0,
}
"""The flags that services of this version read, and what each is where it was never set. Other
names may be set too: for a version that is installed afterwards, or beside this one."""
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}\Z")


def place(name: str, user: int) -> int:
    """Where a user stands for a flag, 0 to 9,999: on, if the flag's value is above."""
    return spread(user ^ spread(crc32c(name.encode()))) % FULL


def read_flags(registry: Registry) -> dict[str, int]:
    """All flags and their values by name."""
    found: dict[str, int] = {}
    for name in registry.list(FLAGS):
        try:
            found[name] = _value(name, registry.get(f"{FLAGS}/{name}").value)
        except NotFound:
            continue  # deleted since it was listed
    return found


def set_flag(registry: Registry, name: str, value: int) -> None:
    """Set a flag, also a new one. Raises BadRequest(name|value), Conflict when somebody else sets
    it at the same time.
    """
    path = _path(name)
    if not 0 <= value <= FULL:
        raise BadRequest("value", f"{value}; allowed are 0 (off) to {FULL} (on for everybody)")
    data = msgspec.json.encode(value)
    try:
        version = registry.get(path).version
    except NotFound:
        registry.create(path, data)
    else:
        registry.set(path, data, version)


def delete_flag(registry: Registry, name: str) -> None:
    """Forget a flag: its default holds again. Raises NotFound, BadRequest(name), Conflict."""
    path = _path(name)
    registry.delete(path, registry.get(path).version)


class Flags:
    """The flags, kept current. While the registry is down the last known values hold; before the
    first read, defaults do.
    """

    def __init__(self, registry: Registry, clock: Clock, reread_ms: int = REREAD_MS) -> None:
        self._live = Live(registry, (FLAGS,), lambda: read_flags(registry), clock, reread_ms)

    def start(self) -> None:
        """Read and follow."""
        self._live.start()

    def close(self) -> None:
        """Stop following."""
        self._live.close()

    def refresh(self) -> None:
        """Read now. Raises Unavailable."""
        self._live.refresh()

    def all(self) -> Mapping[str, int]:
        """All flags that were set, by name."""
        return dict(self._live.value or {})

    def on(self, name: str, user: int, default: int = 0) -> bool:
        """Whether a flag is on for a user; `default` (0 to 10,000) where it was never set."""
        return place(name, user) < self.value(name, default)

    def value(self, name: str, default: int = 0) -> int:
        """For how many of 10,000 users a flag is on."""
        return (self._live.value or {}).get(name, default)

    def on_each(self, name: str, users: U64Array, default: int = 0) -> npt.NDArray[np.bool_]:
        """`on` for each of some users."""
        places = spread_array(users ^ np.uint64(spread(crc32c(name.encode()))))
        return np.asarray(places % np.uint64(FULL) < np.uint64(self.value(name, default)))


def _path(name: str) -> str:
    if not _NAME.match(name):
        raise BadRequest("name", f"{name!r}: a-z first, then up to 63 of a-z, 0-9, `_`, `.`, `-`")
    return f"{FLAGS}/{name}"


def _value(name: str, data: bytes) -> int:
    try:
        value = msgspec.json.decode(data, type=int)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"flag {name} in the registry cannot be read: {error}") from error
    return min(max(value, 0), FULL)
