"""The post cache in Redis, Valkey, or what else speaks their protocol.

Every command has `timeout_ms`, and none is repeated. After a failure the cache counts as away for
`away_ms`: nobody asks it, so a hung server costs one time-out in that while and not one per
request. Then one caller tries, and the others follow when that went well.
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    MaxConnectionsError,
    NoPermissionError,
    RedisError,
)
from redis.retry import Retry

from idgen.clock import Clock
from idgen.errors import DashcellError, PermissionDenied, Unauthenticated, Unavailable

PREFIX = b"post:"
KEYS_PER_CALL_MAX = 500
EXPIRY_JITTER = 0.1
"""Filled values expire within this part of the expiry around it, so that what was filled together
does not go at one moment."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where a Redis is and how to be let in; all of it is passed on to redis-py.

    `url` is `host:port`, or a redis://, rediss:// (TLS) or unix:// URL, which may name a database.
    A password belongs into `password`, which is never printed, and not into the URL.
    Files are PEM; without `ca_file` the system's authorities are asked. `verify` False takes any
    certificate under any name.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True
    connections_max: int = 128

    def client(self, timeout_ms: int) -> "redis.Redis":
        """A client that never waits longer than `timeout_ms` for an answer and never retries."""
        url = self.url if "://" in self.url else f"redis://{self.url}"
        options: dict[str, Any] = {
            "socket_timeout": timeout_ms / 1000,
            "socket_connect_timeout": timeout_ms / 1000,
            "retry": Retry(NoBackoff(), 0),
            "max_connections": self.connections_max,
            "decode_responses": False,
        }
        if self.username is not None:
            options["username"] = self.username
        if self.password is not None:
            options["password"] = self.password
        if url.startswith("rediss://"):
            options["ssl_check_hostname"] = self.verify
            options["ssl_cert_reqs"] = "required" if self.verify else "none"
            options["ssl_ca_certs"] = self.ca_file
            options["ssl_certfile"] = self.cert_file
            options["ssl_keyfile"] = self.key_file
        client: redis.Redis = redis.Redis.from_url(url, **options)
        return client


@dataclass(slots=True)
class PostCacheCounts:
    """What the cache has done since it was opened; metrics read it."""

    hits: int = 0
    misses: int = 0
    failures: int = 0
    """Commands that failed."""
    kept_away: int = 0
    """Calls that did not ask, because the cache was away."""


class RedisPostCache:
    """`cell.post_cache.PostCache` in Redis. Keys are `post:` and the given key."""

    def __init__(
        self,
        settings: RedisSettings,
        expiry_ms: int,
        clock: Clock,
        *,
        timeout_ms: int = 100,
        away_ms: int = 500,
    ) -> None:
        self.counts = PostCacheCounts()
        self._client: Any = settings.client(timeout_ms)
        self._expiry_ms = expiry_ms
        self._clock = clock
        self._away_ms = away_ms
        self._lock = threading.Lock()
        self._away_until_ms: int | None = None
        self._trouble: DashcellError | None = None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The cached values in the order of `keys`; None for a miss or a cache that is away."""
        found: list[bytes | None] = []
        for first in range(0, len(keys), KEYS_PER_CALL_MAX):
            part = [PREFIX + key for key in keys[first : first + KEYS_PER_CALL_MAX]]
            values = self._ask(partial(self._client.mget, part))
            if values is None:
                break
            found += values
        hits = sum(value is not None for value in found)
        with self._lock:
            self.counts.hits += hits
            self.counts.misses += len(keys) - hits
        return found + [None] * (len(keys) - len(found))

    def fill(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values where the key holds nothing yet; as far as it works."""
        longest, shortest = self._expiries()
        self._set_all(values, lambda: random.randint(shortest, longest), only_new=True)

    def set_gone(self, values: Mapping[bytes, bytes]) -> bool:
        """Overwrite with the gone values, which stay as long as the longest filled ones."""
        longest, _ = self._expiries()
        return self._set_all(values, lambda: longest, only_new=False)

    def _expiries(self) -> tuple[int, int]:
        jitter = int(self._expiry_ms * EXPIRY_JITTER)
        return self._expiry_ms + jitter, max(1, self._expiry_ms - jitter)

    def _set_all(
        self, values: Mapping[bytes, bytes], expiry_ms: Callable[[], int], *, only_new: bool
    ) -> bool:
        left = iter(values.items())
        while part := list(islice(left, KEYS_PER_CALL_MAX)):

            def send(part: list[tuple[bytes, bytes]] = part) -> bool:
                # Made anew for each try: a pipeline that has failed is empty.
                pipeline = self._client.pipeline(transaction=False)
                for key, value in part:
                    pipeline.set(PREFIX + key, value, px=expiry_ms(), nx=only_new)
                pipeline.execute()
                return True

            if not self._ask(send):
                return False
        return True

    def flush(self) -> None:
        """Forget what begins with the prefix, in as many steps as it takes."""
        cursor = 0
        while True:
            step = self._ask(partial(self._client.scan, cursor, match=PREFIX + b"*", count=1_000))
            if step is None:
                return
            cursor, keys = step
            if keys and self._ask(partial(self._client.unlink, *keys)) is None:
                return
            if not cursor:
                return

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    # -- being away ------------------------------------------------------------------------

    def _ask(self, command: Callable[[], T]) -> T | None:
        """The answer to a command; None when the cache is away or just went."""
        if not self._may_ask():
            return None
        try:
            answer = command()
        except MaxConnectionsError:
            with self._lock:
                self.counts.failures += 1
            return None  # too much at once says nothing about the server
        except (RedisError, OSError) as error:
            self._went_away(error)
            return None
        self._came_back()
        return answer

    def _may_ask(self) -> bool:
        with self._lock:
            if self._away_until_ms is None:
                return True
            now = self._clock.monotonic_ms()
            if now < self._away_until_ms:
                self.counts.kept_away += 1
                return False
            # This caller tries; the others wait for how that goes.
            self._away_until_ms = now + self._away_ms
            return True

    @property
    def trouble(self) -> DashcellError | None:
        """Why the cache is away, as Unauthenticated, PermissionDenied or Unavailable; None if it
        is not. Nothing raises it: without the cache answers are the same."""
        return self._trouble

    def _went_away(self, error: Exception) -> None:
        trouble = _typed(error)
        with self._lock:
            self.counts.failures += 1
            before = self._away_until_ms
            self._away_until_ms = self._clock.monotonic_ms() + self._away_ms
            self._trouble = trouble
        if before is None:
            _log.warning("post cache away", reason=trouble.reason, error=str(trouble))

    def _came_back(self) -> None:
        if self._away_until_ms is None:
            return
        with self._lock:
            self._away_until_ms = None
            self._trouble = None
        _log.info("post cache back")


def _typed(error: Exception) -> DashcellError:
    """Redis's error as one of ours, with the settings to look at."""
    text = f"Redis: {type(error).__name__}: {str(error).rstrip('.')}"
    match error:
        case AuthenticationError():
            return Unauthenticated(f"{text}; check redis.user and redis.password")
        case NoPermissionError():
            return PermissionDenied(
                f"{text}; the user needs mget, set, scan and unlink on post:* (ACL SETUSER)"
            )
        case _ if "CERTIFICATE_VERIFY_FAILED" in text:
            return Unauthenticated(f"{text}; check redis.ca")
        case _ if "ALERT" in text:
            return Unauthenticated(f"{text}; check redis.cert and redis.key")
        case _:
            return Unavailable(text)
