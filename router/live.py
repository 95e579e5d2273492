"""Something read from the registry and kept current: by watch, and by re-reading periodically.

While the registry is down the last value goes on being given, and its age is visible.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from idgen.clock import Clock
from idgen.errors import DashcellError
from router.registry import Registry, Watch

REREAD_MS = 5_000

_Value = TypeVar("_Value")


class Live(Generic[_Value]):
    """The latest value that `read` gave; a thread of its own reads it again after changes.

    `read` is given no arguments and may raise any DashcellError, which is kept as `trouble`. Safe
    for many threads. `close` it; before `start` it reads only when told to.
    """

    def __init__(
        self,
        registry: Registry,
        paths: Sequence[str],
        read: Callable[[], _Value],
        clock: Clock,
        reread_ms: int = REREAD_MS,
    ) -> None:
        self._registry = registry
        self._paths = paths
        self._read = read
        self._clock = clock
        self._reread_ms = reread_ms
        self._reading = threading.Lock()
        self._value: _Value | None = None
        self._read_ms: int | None = None
        self._trouble = ""
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._watches: list[Watch] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read once, then follow. What goes wrong is `trouble` and is tried again."""
        self.try_refresh()
        self._thread = threading.Thread(
            target=self._follow, name=f"follow {self._paths[0]}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop following; the last value stays."""
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for watch in self._watches:
            watch.cancel()
        self._watches.clear()

    def seed(self, value: _Value) -> None:
        """A value to go on with until one was read."""
        if self._value is None:
            self._value = value

    @property
    def value(self) -> _Value | None:
        """The last value read or seeded; None: there was none yet."""
        return self._value

    @property
    def age_ms(self) -> int | None:
        """Since when the value has not been confirmed; None: never was."""
        read_ms = self._read_ms
        return None if read_ms is None else self._clock.monotonic_ms() - read_ms

    @property
    def trouble(self) -> str:
        """Why the last read failed; empty after a success."""
        return self._trouble

    def refresh(self) -> _Value:
        """Read now. Raises what `read` raises.

        Who comes while another reads waits for a read that began after it came, so it sees what
        was there when it asked.
        """
        came_ms = self._clock.monotonic_ms()
        with self._reading:
            if self._value is not None and self._read_ms is not None and self._read_ms > came_ms:
                return self._value
            began_ms = self._clock.monotonic_ms()
            try:
                value = self._read()
            except DashcellError as error:
                self._trouble = str(error)
                raise
            self._value = value
            self._read_ms = began_ms
            self._trouble = ""
            return value

    def try_refresh(self) -> bool:
        """Read now; whether it succeeded (`trouble` says why not)."""
        try:
            self.refresh()
        except DashcellError:
            return False
        return True

    def _follow(self) -> None:
        while not self._closed.is_set():
            self._watch()
            self._wake.wait(self._reread_ms / 1000)
            self._wake.clear()
            if not self._closed.is_set():
                self.try_refresh()

    def _watch(self) -> None:
        """Register the watches that are missing; without them re-reading still follows."""
        for path in self._paths[len(self._watches) :]:
            try:
                self._watches.append(self._registry.watch(path, self._wake.set))
            except DashcellError as error:
                self._trouble = str(error)
                return
            self._wake.set()
