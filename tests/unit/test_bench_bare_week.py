"""The bare week: which rows it makes of posts and edges, and what it takes from a record."""

from typing import Any

import numpy as np
import pytest

from firehose.codec import encode
from firehose.event import Draft, Followed, PostCreated, PostKind
from idgen.ids import spread
from ops.bench.peers import bare_week, raw_hbase
from ops.bench.peers.bare_week import created, entries_of, entry_calls, followers_of
from ops.bench.peers.writer import Fanout, PeerFailed

EDGES = {9: (1, 2, 9), 4: (3,), 1 << 62: (1, 3)}
"""Author: followers."""


def numbers(*values: int) -> Any:
    return np.array(values, dtype=np.uint64)


def followers() -> bare_week.Followers:
    edges = [(author, reader) for author, readers in EDGES.items() for reader in readers]
    edges = edges[::2] + edges[1::2]
    return followers_of(numbers(*(a for a, _ in edges)), numbers(*(r for _, r in edges)))


def test_every_post_goes_to_every_follower_of_its_author() -> None:
    posts = [(100, 4, 1), (101, 9, 2), (102, 5, 3), (103, 9, 4), (104, 1 << 62, 5), (105, 999, 6)]
    found = entries_of(followers(), *(numbers(*column) for column in zip(*posts, strict=True)))
    rows = zip(*(column.tolist() for column in found), strict=True)
    assert sorted(rows) == sorted(
        (spread(reader), post, author, version)
        for post, author, version in posts
        for reader in EDGES.get(author, ())
    )


def test_posts_of_nobody_with_followers_make_no_rows() -> None:
    nobody = entries_of(followers(), numbers(7), numbers(5), numbers(1))
    assert [len(column) for column in nobody] == [0, 0, 0, 0]
    without_edges = followers_of(numbers(), numbers())
    assert len(entries_of(without_edges, numbers(7), numbers(9), numbers(1)).places) == 0


@pytest.mark.parametrize("rows_max", [1, 2, 100])
def test_its_rows_are_those_of_the_bare_loop(rows_max: int) -> None:
    found = entries_of(followers(), numbers(7), numbers(9), numbers(1))
    same = [Fanout(7, 9, 1, found.places)]
    assert list(entry_calls(b"t", found, rows_max)) == list(
        raw_hbase.put_calls(b"t", same, rows_max)
    )


def test_ids_and_authors_are_read_from_the_products_envelopes() -> None:
    drafts = [Draft(), Draft(PostKind.PHOTO, title="a", body="b" * 500, mentions=(1, 2))]
    values = [encode(PostCreated(70 + i, (1 << 62) + i, draft)) for i, draft in enumerate(drafts)]
    posts, authors = created(values)
    assert posts.tolist() == [70, 71]
    assert authors.tolist() == [1 << 62, (1 << 62) + 1]


def test_a_record_of_another_shape_is_no_post() -> None:
    good = encode(PostCreated(70, 71, Draft()))
    for bad in (b"", good[:20], good[:12] + b"\x08" + good[13:], good[:23] + b"\x08" + good[24:]):
        with pytest.raises(PeerFailed):
            created([good, bad])


class Message:
    """What librdkafka hands out."""

    def __init__(self, partition: int, offset: int, value: bytes) -> None:
        self._partition, self._offset, self._value = partition, offset, value

    def error(self) -> None:
        return None

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value


def test_a_batch_gives_the_posts_within_the_span_and_ends_partitions() -> None:
    post = encode(PostCreated(70, 71, Draft()))
    follow = encode(Followed(72, 1, 2, 0))
    batch = [Message(0, 5, post), Message(0, 6, follow), Message(0, 7, post), Message(1, 3, post)]
    left = {0: 7, 1: 9}
    values, versions = bare_week._posts_of(batch, {0: (5, 7), 1: (3, 9)}, left)
    assert values == [post, post]
    assert versions == [6, 4]
    assert left == {1: 9}
