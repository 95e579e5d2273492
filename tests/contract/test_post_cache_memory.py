"""The post-cache contract in process."""

import pytest

from cell.post_cache_memory import MemoryPostCache
from idgen.clock import SystemClock
from tests.contract.post_cache_contract import OpenCache, PostCacheContract


class TestMemoryPostCache(PostCacheContract):
    @pytest.fixture
    def open_cache(self) -> OpenCache:
        return lambda expiry_ms: MemoryPostCache(10_000, expiry_ms, SystemClock())
