"""The post cache in this process: least recently used entries go first, all expire."""

import threading
from collections.abc import Mapping, Sequence

from cachetools import TTLCache

from idgen.clock import Clock


class MemoryPostCache:
    """The post-cache seam in memory, of at most `entries_max` posts and as many gone ones.

    Gone values are kept apart, so that posts that are read often never push one out: a reader that
    is slower than that could put the old post back.
    """

    def __init__(self, entries_max: int, expiry_ms: int, clock: Clock) -> None:
        self._lock = threading.Lock()
        timer = clock.monotonic_ms
        self._posts: TTLCache[bytes, bytes] = TTLCache(entries_max, expiry_ms, timer)
        self._gone: TTLCache[bytes, bytes] = TTLCache(entries_max, expiry_ms, timer)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The cached values in the order of `keys`; None for a miss."""
        with self._lock:
            gone, posts = self._gone, self._posts
            return [gone.get(key) if key in gone else posts.get(key) for key in keys]

    def fill(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values where the key holds nothing yet."""
        with self._lock:
            for key, value in values.items():
                if key not in self._gone and key not in self._posts:
                    self._posts[key] = value

    def set_gone(self, values: Mapping[bytes, bytes]) -> bool:
        """Overwrite with the gone values; never away, so always True."""
        with self._lock:
            for key, value in values.items():
                self._posts.pop(key, None)
                self._gone[key] = value
        return True

    def flush(self) -> None:
        """Forget everything."""
        with self._lock:
            self._posts.clear()
            self._gone.clear()

    def close(self) -> None:
        """Free the memory."""
        self.flush()
