"""A Redis that hangs, is dead, babbles or refuses changes nothing but what is cached."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cell.post_cache_redis import RedisPostCache, RedisSettings
from tests.contract.patience import together, until


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = 1_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms

    def pause(self, ms: int) -> None:
        self.ms += ms


class StandIn:
    """A TCP server that answers each chunk of bytes with what `answer` gives; None hangs up."""

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer
        self.heard = b""
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(1 << 20):
                    self.heard += data
                    reply = self.answer(data)
                    if reply is None:
                        return
                    sock.sendall(reply)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            sock.close()


@contextmanager
def cache_on(
    answer: Callable[[bytes], bytes | None], timeout_ms: int = 100, **settings: str
) -> Iterator[tuple[RedisPostCache, StandIn, HandClock]]:
    server, clock = StandIn(answer), HandClock()
    cache = RedisPostCache(
        RedisSettings(server.address, **settings), 60_000, clock, timeout_ms=timeout_ms
    )
    try:
        yield cache, server, clock
    finally:
        cache.close()
        server.close()


def pretend(data: bytes) -> bytes:
    """OK to whatever a client says at the beginning, two values to an MGET."""
    if b"MGET" in data:
        return b"*2\r\n$1\r\n1\r\n$-1\r\n"
    if b"HELLO" in data:
        return b"%1\r\n+proto\r\n:3\r\n"
    return b"+OK\r\n" * data.count(b"*")


def test_a_hung_server_costs_one_timeout_and_then_nothing_for_a_while() -> None:
    with cache_on(lambda data: b"") as (cache, _server, clock):
        began = time.monotonic()
        assert cache.get_many([b"a", b"b"]) == [None, None]
        assert 0.09 < time.monotonic() - began < 0.5
        began = time.monotonic()
        for _ in range(1_000):
            assert cache.get_many([b"a"]) == [None]
        assert not cache.set_gone({b"a": b"gone"})
        cache.fill({b"a": b"1"})
        cache.flush()
        assert time.monotonic() - began < 0.09
        assert cache.counts.failures == 1
        assert cache.counts.kept_away == 1_003
        assert cache.counts.misses == 1_002
        clock.ms += 501
        cache.get_many([b"a"])
        assert cache.counts.failures == 2


def test_one_caller_alone_tries_a_cache_that_was_away() -> None:
    with cache_on(lambda data: b"") as (cache, _server, clock):
        cache.get_many([b"a"])
        clock.ms += 501
        together([lambda: cache.get_many([b"a"]) for _ in range(8)])
        assert cache.counts.failures == 2
        assert cache.counts.kept_away == 7


def test_a_dead_server_is_a_miss_and_comes_back_by_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    clock = HandClock()
    cache = RedisPostCache(RedisSettings(address), 60_000, clock)
    assert cache.get_many([b"a"]) == [None]
    assert not cache.set_gone({b"a": b"gone"})
    cache.close()
    with cache_on(lambda data: None) as (cache, server, clock):
        assert cache.get_many([b"a", b"b"]) == [None, None]
        server.answer = pretend
        assert cache.get_many([b"a", b"b"]) == [None, None]
        clock.ms += 501
        assert cache.get_many([b"a", b"b"]) == [b"1", None]
        assert cache.get_many([b"a", b"b"]) == [b"1", None]
        assert (cache.counts.hits, cache.counts.misses) == (2, 6)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"*1000000\r\n",
        b"$2000000000\r\nx",
        b"\x00\xff\x00\xff\r\n",
    ],
)
def test_any_answer_that_is_none_is_a_miss(reply: bytes) -> None:
    def answer(data: bytes) -> bytes:
        return reply if b"MGET" in data or b"SET" in data else pretend(data)

    with cache_on(answer) as (cache, _server, clock):
        assert cache.get_many([b"a", b"b"]) == [None, None]
        clock.ms += 501
        assert not cache.set_gone({b"a": b"gone"})
        clock.ms += 501
        cache.fill({b"a": b"1"})
        assert cache.counts.failures == 3


def test_an_answer_cut_anywhere_is_a_miss() -> None:
    whole = pretend(b"MGET")
    for cut in range(len(whole)):
        answered = threading.Event()

        def answer(data: bytes, cut: int = cut, answered: threading.Event = answered) -> bytes:
            if b"MGET" not in data:
                return pretend(data)
            answered.set()
            return whole[:cut]

        with cache_on(answer, timeout_ms=30) as (cache, _server, _clock):
            assert cache.get_many([b"a", b"b"]) == [None, None]
            until("it was asked", answered.is_set, 5)


def test_user_and_password_are_sent_and_never_shown() -> None:
    with cache_on(pretend, username="dashcell", password="s3cret") as (cache, server, _clock):
        assert cache.get_many([b"a", b"b"]) == [b"1", None]
        until("it was sent", lambda: b"s3cret" in server.heard, 5)
        assert b"dashcell" in server.heard
    settings = RedisSettings("rediss://h:1/2", "u", "s3cret", "ca.pem", "cert.pem", "key.pem")
    assert "s3cret" not in repr(settings)
    given = settings.client(100).connection_pool.connection_kwargs
    assert given["ssl_ca_certs"] == "ca.pem"
    assert (given["ssl_certfile"], given["ssl_keyfile"]) == ("cert.pem", "key.pem")
    assert given["ssl_check_hostname"] is True
    assert given["db"] == 2


def test_values_filled_together_expire_apart_and_gone_ones_last() -> None:
    with cache_on(pretend) as (cache, server, _clock):
        cache.fill({b"%d" % i: b"v" for i in range(200)})
        expiries = {part.split(b"\r\n")[2] for part in server.heard.split(b"PX")[1:]}
        assert len(expiries) > 50
        assert all(54_000 <= int(expiry) <= 66_000 for expiry in expiries)
        assert server.heard.count(b"\r\nNX\r\n") == 200
        server.heard = b""
        assert cache.set_gone({b"1": b"gone"})
        assert b"\r\n66000\r\n" in server.heard
        assert b"NX" not in server.heard
