"""The post-cache seam: encoded posts by key, and never the truth.

Empty, stale, hung or dead, it changes no answer: no verb ever raises for a cache that is away, and
each is bounded in time (100 ms). Adapters: Redis and in process, one contract suite.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol


class PostCache(Protocol):
    """Values by key; a value is what the posts table holds for that key."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The cached values in the order of `keys`; None for a miss or a cache that is away."""
        ...

    def fill(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values that were read from the table, where the key holds nothing yet.

        Only-if-absent, so that a slow reader never puts an old post over a gone one. They expire.
        """
        ...

    def set_gone(self, values: Mapping[bytes, bytes]) -> bool:
        """Overwrite with the gone values. False: the cache is away, and may hold the old ones."""
        ...

    def flush(self) -> None:
        """Forget everything."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
