"""What every post-cache adapter must do. Subclass it and override `open_cache`."""

import random
from collections.abc import Callable
from typing import ClassVar

import pytest

from cell.post_cache import PostCache
from tests.contract.patience import together, until

OpenCache = Callable[[int], PostCache]


class PostCacheContract:
    """The contract of cell.post_cache.PostCache."""

    patience_s: ClassVar[float] = 10.0

    @pytest.fixture
    def open_cache(self) -> OpenCache:
        """Override: a callable (expiry_ms) that gives a cache, empty at the start of a test.

        It has room for at least 10,000 entries. The fixture closes what it opened.
        """
        raise AssertionError("the subclass gives the fixture open_cache")

    @pytest.fixture
    def cache(self, open_cache: OpenCache) -> PostCache:
        return open_cache(600_000)

    def test_what_is_not_there_is_a_miss(self, cache: PostCache) -> None:
        assert cache.get_many([b"a", b"b"]) == [None, None]
        assert cache.get_many([]) == []

    def test_values_come_in_the_order_of_the_keys(self, cache: PostCache) -> None:
        cache.fill({b"a": b"1", b"b": b"2"})
        assert cache.get_many([b"b", b"none", b"a", b"b"]) == [b"2", None, b"1", b"2"]

    def test_keys_and_values_are_any_bytes(self, cache: PostCache) -> None:
        values = {
            bytes(range(256)): bytes(range(255, -1, -1)),
            b"\x00": b"",
            b"\xff" * 16: "grüße 日本 🎉".encode(),
            b"\r\n*3\r\n": b"\r\n$-1\r\n",
            b"large": random.Random(1).randbytes(300_000),
        }
        cache.fill(values)
        assert cache.get_many(list(values)) == list(values.values())

    def test_many_at_once(self, cache: PostCache) -> None:
        values = {i.to_bytes(16): b"%d" % i for i in range(5_000)}
        cache.fill(values)
        assert cache.get_many(list(values)) == list(values.values())

    def test_filling_never_overwrites(self, cache: PostCache) -> None:
        cache.fill({b"a": b"first"})
        cache.fill({b"a": b"second", b"b": b"new"})
        assert cache.get_many([b"a", b"b"]) == [b"first", b"new"]

    def test_a_gone_value_overwrites_and_stays(self, cache: PostCache) -> None:
        cache.fill({b"a": b"post"})
        assert cache.set_gone({b"a": b"gone", b"never cached": b"gone too"})
        assert cache.get_many([b"a", b"never cached"]) == [b"gone", b"gone too"]
        cache.fill({b"a": b"post", b"never cached": b"post"})
        assert cache.get_many([b"a", b"never cached"]) == [b"gone", b"gone too"]
        assert cache.set_gone({b"a": b"gone, newer"})
        assert cache.get_many([b"a"]) == [b"gone, newer"]

    def test_empty_calls_do_nothing(self, cache: PostCache) -> None:
        cache.fill({})
        assert cache.set_gone({})
        assert cache.get_many([b"a"]) == [None]

    def test_flush_forgets_everything(self, cache: PostCache) -> None:
        cache.fill({b"a": b"post"})
        cache.set_gone({b"b": b"gone"})
        cache.flush()
        assert cache.get_many([b"a", b"b"]) == [None, None]
        cache.fill({b"a": b"again", b"b": b"again"})
        assert cache.get_many([b"a", b"b"]) == [b"again", b"again"]

    def test_filled_values_expire(self, open_cache: OpenCache) -> None:
        cache = open_cache(300)
        cache.fill({b"a": b"post"})
        until("it has expired", lambda: cache.get_many([b"a"]) == [None], self.patience_s)
        cache.fill({b"a": b"again"})
        assert cache.get_many([b"a"]) == [b"again"]

    def test_no_slow_reader_puts_a_removed_post_back(self, cache: PostCache) -> None:
        keys = [b"%d" % i for i in range(40)]

        def read_and_fill() -> None:
            for _ in range(5):
                for key in keys:
                    cache.fill({key: b"post"})

        def remove() -> None:
            for key in keys:
                assert cache.set_gone({key: b"gone"})
                assert cache.get_many([key]) == [b"gone"]

        together([read_and_fill, read_and_fill, remove])
        assert cache.get_many(keys) == [b"gone"] * len(keys)
