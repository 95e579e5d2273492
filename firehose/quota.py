"""How many events a client may append in a second: a bucket for each, filled as time passes."""

import math
import threading

import cachetools

from firehose.access import Client
from idgen.clock import Clock
from idgen.errors import PermissionDenied, Throttled

CLIENTS_MAX = 10_000
"""Buckets that are kept; the one not used for longest is forgotten, and would be full by then."""


class Quotas:
    """The buckets of all clients at one server; for any number of threads.

    A bucket holds a second's events. A batch that is larger is let in when the bucket is full, and
    leaves a debt that is filled first: over time nobody appends more than they may.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: cachetools.LRUCache[str, tuple[float, int]] = cachetools.LRUCache(CLIENTS_MAX)

    def take(self, client: Client, events: int) -> None:
        """Let so many events in. Raises Throttled with when there is room for them, and
        PermissionDenied for a client that may append none."""
        rate = client.events_per_s
        if rate <= 0:
            raise PermissionDenied(f"client {client.name} may append 0 events/s")
        need = min(events, rate)
        with self._lock:
            now_ms = self._clock.monotonic_ms()
            left, at_ms = self._left.get(client.name, (float(rate), now_ms))
            left = min(float(rate), left + (now_ms - at_ms) * rate / 1000)
            if left >= need:
                self._left[client.name] = (left - events, now_ms)
                return
        raise Throttled(
            f"client {client.name} may append {rate} events/s",
            math.ceil((need - left) * 1000 / rate),
        )
