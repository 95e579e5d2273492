"""The post-cache contract on a real Redis."""

from collections.abc import Iterator

import pytest

from cell.post_cache_redis import RedisPostCache, RedisSettings
from idgen.clock import SystemClock
from tests.contract.post_cache_contract import OpenCache, PostCacheContract


@pytest.mark.stack
class TestPostCacheOnRedis(PostCacheContract):
    """Everything that the contract says."""

    @pytest.fixture
    def open_cache(self, redis_address: str) -> Iterator[OpenCache]:
        opened: list[RedisPostCache] = []

        def open_one(expiry_ms: int) -> RedisPostCache:
            settings = RedisSettings(redis_address)
            # What is right is tested here; a busy machine must not look like a cache that is away.
            opened.append(RedisPostCache(settings, expiry_ms, SystemClock(), timeout_ms=10_000))
            opened[-1].flush()
            return opened[-1]

        yield open_one
        for cache in opened:
            cache.close()
