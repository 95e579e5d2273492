"""Bounds on what a server holds at once."""

import threading


class Gate:
    """Lets `most` in at a time and never makes anybody wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._lock = threading.Lock()
        self._emptied = threading.Condition(self._lock)

    def enter(self) -> bool:
        """Whether there was room; who got in has to leave."""
        with self._lock:
            if self._inside >= self._most:
                return False
            self._inside += 1
            return True

    def leave(self) -> None:
        """Make room again."""
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._emptied.notify_all()

    @property
    def inside(self) -> int:
        """How many are in now."""
        return self._inside

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until nobody is in; False when the time is over before."""
        with self._emptied:
            return self._emptied.wait_for(lambda: not self._inside, timeout_s)


class ByteBudget:
    """So many bytes for all large calls at once, from before they are received until they are
    answered: a thousand connections that send all but the last byte of a full frame must not cost
    a gigabyte."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._freed = threading.Condition()

    def take(self, size: int, timeout_s: float) -> bool:
        """Whether `size` bytes were to be had in time; who got them has to give them back."""
        with self._freed:
            got = self._freed.wait_for(lambda: self._left >= size, timeout_s)
            if got:
                self._left -= size
            return got

    def give_back(self, size: int) -> None:
        """Let others have them."""
        with self._freed:
            self._left += size
            self._freed.notify_all()
