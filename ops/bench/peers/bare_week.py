"""The bare week: a Kafka topic of posts into HBase, followers in memory, and nothing else.

It reads the product's own topic, so both sides have the same log. Of a record it takes the post's
id and author from the places where they lie in an envelope of a PostCreated (restated here, as the
keys are), and writes the entries and, where asked to, the posts. Edges, notices, likes, caches,
positions and restarts cost it nothing: it is a limit, not a product.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, TopicPartition

from idgen.ids import U64, U64Array, spread_array
from ops.bench.peers.bare_loop import ROWS_A_CALL, Puts
from ops.bench.peers.raw_hbase import blank_puts, put_call, put_values_call
from ops.bench.peers.writer import PeerFailed

CONNECTIONS = 3
RECORDS_A_BATCH = 5_000
POSTS_A_CALL = 1_000
BATCH_S_MAX = 0.05
SILENCE_S_MAX = 30.0

_KIND_AT = 3
_POST_CREATED = 1
_HEAD = slice(12, 34)
"""Where (field id = i64 id, field author = i64 author) lie behind the envelope's head."""
_POST = np.dtype(
    [("first", "V3"), ("id", ">u8"), ("second", "V3"), ("author", ">u8")],
)


class Followers(NamedTuple):
    """Readers' places by author: those of `authors[i]` are `places[starts[i]:starts[i + 1]]`.

    `authors` is sorted and without doubles (a,), `starts` has a + 1 elements.
    """

    authors: U64Array
    starts: npt.NDArray[np.int64]
    places: U64Array


class Week(NamedTuple):
    """What was done: posts read, rows of entries, rows of posts; seconds in all, and of these
    spent waiting for HBase."""

    posts: int
    entries: int
    post_rows: int
    seconds: float
    waited_s: float


def followers_of(authors: U64Array, followers: U64Array) -> Followers:
    """`Followers` from edges (users, not places): `followers[i]` follows `authors[i]`.

    For an author's own entries let there be an edge from every author to itself.
    """
    order = np.argsort(authors, kind="stable")
    distinct, first = np.unique(authors[order], return_index=True)
    starts = np.append(first, len(authors)).astype(np.int64)
    return Followers(distinct.astype(np.uint64), starts, spread_array(followers[order]))


class Entries(NamedTuple):
    """Rows of an inbox, before they are records: four arrays of one length."""

    places: U64Array
    posts: U64Array
    authors: U64Array
    versions: U64Array


def entries_of(
    followers: Followers, posts: U64Array, authors: U64Array, versions: U64Array
) -> Entries:
    """The entries of these posts, a row for each follower of each post's author."""
    at = np.searchsorted(followers.authors, authors)
    at[at == len(followers.authors)] = 0
    known = np.flatnonzero(followers.authors[at] == authors) if len(followers.authors) else at[:0]
    at = at[known]
    counts = followers.starts[at + 1] - followers.starts[at]
    post = np.repeat(known, counts)
    within = np.arange(len(post)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = followers.places[np.repeat(followers.starts[at], counts) + within]
    return Entries(places, posts[post], authors[post], versions[post])


def entry_calls(table: bytes, entries: Entries, rows_max: int) -> Iterator[tuple[bytes, int]]:
    """The calls that put these entries."""
    for first in range(0, len(entries.places), rows_max):
        part = slice(first, first + rows_max)
        records = blank_puts(len(entries.places[part]))
        records["place"] = entries.places[part]
        records["inverted"] = np.uint64(U64) - entries.posts[part]
        records["author"] = entries.authors[part]
        records["version"] = entries.versions[part]
        yield put_call(table, records), len(records)


def created(values: Sequence[bytes]) -> tuple[U64Array, U64Array]:
    """Ids and authors of posts, from the values of their records. Raises PeerFailed."""
    heads = np.frombuffer(b"".join([value[_HEAD] for value in values]), dtype=np.uint8)
    if len(heads) != len(values) * _POST.itemsize:
        raise PeerFailed("a record of the topic is too short for a post")
    found = heads.view(_POST)
    if np.any(found["first"] != np.void(b"\x0a\x00\x01")):
        raise PeerFailed("a record of the topic has no post's id where it should be")
    if np.any(found["second"] != np.void(b"\x0a\x00\x02")):
        raise PeerFailed("a record of the topic has no author where it should be")
    return found["id"].astype(np.uint64), found["author"].astype(np.uint64)


class BareWeek:
    """The bare week from a topic of `kafka` into tables behind a Thrift 2 gateway.

    `posts` is the name of the posts table, or None to write entries alone.
    """

    name = "bare loop"

    def __init__(
        self,
        kafka: str,
        gateway: str,
        followers: Followers,
        *,
        inbox: str,
        posts: str | None,
        connections: int = CONNECTIONS,
    ) -> None:
        self._kafka = kafka
        self._followers = followers
        self._inbox = inbox.encode()
        self._posts = None if posts is None else posts.encode()
        self._puts = Puts(gateway, connections)
        self._counts = [0, 0, 0]

    def run(self, topic: str, spans: Mapping[int, tuple[int, int]]) -> Week:
        """Take every post of `topic` from the first to before the last offset of each partition.

        Records that are no PostCreated are passed over. Raises PeerFailed, also when Kafka has
        nothing more to say for SILENCE_S_MAX.
        """
        began = time.perf_counter()
        waited_s = self._puts.waited_s
        self._counts = [0, 0, 0]
        self._puts.run(self._calls(topic, spans))
        seconds = time.perf_counter() - began
        posts, entries, rows = self._counts
        return Week(posts, entries, rows, seconds, self._puts.waited_s - waited_s)

    def close(self) -> None:
        """Let go of the connections."""
        self._puts.close()

    def _calls(
        self, topic: str, spans: Mapping[int, tuple[int, int]]
    ) -> Iterator[tuple[bytes, int]]:
        for values, versions in self._batches(topic, spans):
            posts, authors = created(values)
            self._counts[0] += len(values)
            if self._posts is not None:
                yield from self._post_calls(posts, authors, versions, values)
            entries = entries_of(self._followers, posts, authors, versions)
            self._counts[1] += len(entries.places)
            yield from entry_calls(self._inbox, entries, ROWS_A_CALL)

    def _post_calls(
        self, posts: U64Array, authors: U64Array, versions: U64Array, values: Sequence[bytes]
    ) -> Iterator[tuple[bytes, int]]:
        assert self._posts is not None
        keys = np.empty((len(posts), 2), dtype=">u8")
        keys[:, 0] = spread_array(authors)
        keys[:, 1] = np.uint64(U64) - posts
        packed = keys.tobytes()
        rows = [
            (packed[16 * i : 16 * i + 16], int(at), value)
            for i, (at, value) in enumerate(zip(versions, values, strict=True))
        ]
        for first in range(0, len(rows), POSTS_A_CALL):
            part = rows[first : first + POSTS_A_CALL]
            self._counts[2] += len(part)
            yield put_values_call(self._posts, part), len(part)

    def _batches(
        self, topic: str, spans: Mapping[int, tuple[int, int]]
    ) -> Iterator[tuple[list[bytes], U64Array]]:
        """Values of posts, and the versions that their offsets make."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._kafka,
                "group.id": "bare-week",
                "enable.auto.commit": False,
                "fetch.min.bytes": 100_000,
            }
        )
        left = {p: end for p, (first, end) in spans.items() if first < end}
        try:
            consumer.assign([TopicPartition(topic, p, spans[p][0]) for p in left])
            heard = time.monotonic()
            while left:
                # It returns when it has as many, or after this while: keep that short at the end.
                batch = consumer.consume(RECORDS_A_BATCH, BATCH_S_MAX)
                if not batch and time.monotonic() > heard + SILENCE_S_MAX:
                    raise PeerFailed(f"Kafka was silent for {SILENCE_S_MAX} s about {topic}")
                heard = time.monotonic() if batch else heard
                values, versions = _posts_of(batch, spans, left)
                if values:
                    yield values, np.array(versions, dtype=np.uint64)
        finally:
            consumer.close()


def _posts_of(
    batch: Sequence[Any], spans: Mapping[int, tuple[int, int]], left: dict[int, int]
) -> tuple[list[bytes], list[int]]:
    values: list[bytes] = []
    versions: list[int] = []
    for message in batch:
        if message.error() is not None:
            raise PeerFailed(f"Kafka: {message.error()}")
        partition, offset = message.partition(), message.offset()
        end = spans[partition][1]
        if offset >= end:
            continue
        if offset == end - 1:
            del left[partition]
        value = message.value()
        if value[_KIND_AT] == _POST_CREATED:
            values.append(value)
            versions.append(offset + 1)
    return values, versions
