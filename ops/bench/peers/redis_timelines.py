"""Home timelines in Redis as Mastodon keeps them: a sorted set per reader, trimmed at each write.

Mastodon's `app/lib/feed_manager.rb`: ZADD feed:home:READER ID ID, then ZREMRANGEBYRANK down to
MAX_ITEMS (800). Both for every follower, in pipelines. `RedisTimelines` is redis-py with hiredis;
`PackedTimelines` makes the same commands without a client library: the limit of Redis and Python.

Give them a Redis of their own, with room: what a cache evicts is no timeline any more, and a write
during which keys were evicted counts as failed.
"""

import itertools
import socket
from collections.abc import Iterator, Sequence

import hiredis
import redis

from idgen.ids import unspread_array
from ops.bench.peers.raw_hbase import TIMEOUT_S
from ops.bench.peers.writer import Fanout, PeerFailed

ITEMS_MAX = 800
READERS_A_PIPELINE = 1_000
_KEY = b"feed:home:%d"
_OLDEST_KEPT = -(ITEMS_MAX + 1)


def pipelines(fanouts: Sequence[Fanout], readers_max: int) -> Iterator[list[tuple[int, int]]]:
    """(reader, post id) pairs, in lists of at most `readers_max`."""
    everybody = (
        (reader, fanout.post_id)
        for fanout in fanouts
        for reader in unspread_array(fanout.places).tolist()
    )
    while some := list(itertools.islice(everybody, readers_max)):
        yield some


class RedisTimelines:
    """redis-py as a `Writer` into a Redis at "host:port"."""

    name = "Redis pipeline"

    def __init__(self, address: str, *, readers_a_pipeline: int = READERS_A_PIPELINE) -> None:
        self._redis = redis.Redis.from_url(f"redis://{address}", socket_timeout=TIMEOUT_S)
        self._readers = readers_a_pipeline
        self._evicted = _evicted(self._redis)

    def write(self, fanouts: Sequence[Fanout]) -> int:
        """Add to every timeline and trim it."""
        rows = 0
        for pairs in pipelines(fanouts, self._readers):
            pipe = self._redis.pipeline(transaction=False)
            for reader, post_id in pairs:
                key = _KEY % reader
                pipe.zadd(key, {str(post_id): post_id})
                pipe.zremrangebyrank(key, 0, _OLDEST_KEPT)
            try:
                pipe.execute()
            except redis.RedisError as error:
                raise PeerFailed(f"Redis: {error}") from error
            rows += len(pairs)
        _check_kept(self._redis, self._evicted)
        return rows

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()


class PackedTimelines:
    """The same commands as bytes made by hand, one pipeline being made while another runs."""

    name = "Redis pipeline, packed by hand"

    def __init__(self, address: str, *, readers_a_pipeline: int = READERS_A_PIPELINE) -> None:
        host, _, port = address.rpartition(":")
        self._redis = redis.Redis.from_url(f"redis://{address}", socket_timeout=TIMEOUT_S)
        self._sock = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        self._readers = readers_a_pipeline
        self._evicted = _evicted(self._redis)

    def write(self, fanouts: Sequence[Fanout]) -> int:
        """Add to every timeline and trim it."""
        rows = 0
        waiting = 0
        for pairs in pipelines(fanouts, self._readers):
            self._sock.sendall(packed(pairs))
            rows += self._read(waiting)
            waiting = len(pairs)
        rows += self._read(waiting)
        _check_kept(self._redis, self._evicted)
        return rows

    def close(self) -> None:
        """Let go of the connections."""
        self._sock.close()
        self._redis.close()

    def _read(self, readers: int) -> int:
        """Take two answers for each of so many readers."""
        left = 2 * readers
        gets = self._reader.gets
        while left:
            answer = gets()
            if answer is False:
                data = self._sock.recv(1 << 18)
                if not data:
                    raise PeerFailed("Redis closed the connection")
                self._reader.feed(data)
            elif isinstance(answer, Exception):
                raise PeerFailed(f"Redis: {answer}")
            else:
                left -= 1
        return readers


def packed(pairs: Sequence[tuple[int, int]]) -> bytes:
    """The two commands for each (reader, post id), as Redis's protocol writes them."""
    parts: list[bytes] = []
    for post_id, group in itertools.groupby(pairs, key=lambda pair: pair[1]):
        text = b"%d" % post_id
        add = b"\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(text), text, len(text), text)
        rank = b"%d" % _OLDEST_KEPT
        trim = b"\r\n$1\r\n0\r\n$%d\r\n%b\r\n" % (len(rank), rank)
        form = (
            b"*4\r\n$4\r\nZADD\r\n%b" + add + b"*4\r\n$15\r\nZREMRANGEBYRANK\r\n%b" + trim
        )  # fmt: skip
        for reader, _ in group:
            key = _KEY % reader
            key = b"$%d\r\n%b" % (len(key), key)
            parts.append(form % (key, key))
    return b"".join(parts)


def _evicted(client: redis.Redis) -> int:
    return int(client.info("stats")["evicted_keys"])


def _check_kept(client: redis.Redis, before: int) -> None:
    gone = _evicted(client) - before
    if gone:
        raise PeerFailed(f"Redis has evicted {gone} timelines: give it more memory")
