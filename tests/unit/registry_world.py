"""A registry on a file that a test can take away, and change behind somebody's back."""

from collections.abc import Callable, Sequence
from pathlib import Path

from idgen.clock import SystemClock
from idgen.errors import Unavailable
from router.registry import Change, Node, Watch
from router.registry_sqlite import SqliteRegistry

PATIENCE_S = 20.0
NEVER_MS = 3_600_000
"""A re-reading period that no test lives to see: what is followed is followed by watch."""


class FallibleRegistry:
    """A registry that is `down` when told; `before_multi` runs once before the next multi."""

    def __init__(self, path: Path) -> None:
        self.real = SqliteRegistry(path, SystemClock())
        self.down = False
        self.before_multi: Callable[[], None] | None = None
        self.multis = 0
        self.changes: Sequence[Change] = ()

    def _up(self) -> SqliteRegistry:
        if self.down:
            raise Unavailable("the registry is down")
        return self.real

    def get(self, path: str) -> Node:
        return self._up().get(path)

    def create(self, path: str, value: bytes, *, ephemeral: bool = False) -> None:
        self._up().create(path, value, ephemeral=ephemeral)

    def set(self, path: str, value: bytes, version: int) -> int:
        return self._up().set(path, value, version)

    def delete(self, path: str, version: int) -> None:
        self._up().delete(path, version)

    def list(self, path: str) -> list[str]:
        return self._up().list(path)

    def watch(self, path: str, changed: Callable[[], None]) -> Watch:
        return self._up().watch(path, changed)

    def multi(self, changes: Sequence[Change]) -> None:
        meanwhile, self.before_multi = self.before_multi, None
        if meanwhile is not None:
            meanwhile()
        self.multis += 1
        self.changes = changes
        self._up().multi(changes)

    def close(self) -> None:
        self.real.close()
