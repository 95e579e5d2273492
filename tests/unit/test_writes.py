"""A write is validated whole, given an id, and appended once to its key user's partition."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from firehose.codec import decode
from firehose.event import (
    Draft,
    Event,
    Followed,
    Lane,
    Liked,
    MarkedRead,
    PostCreated,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from firehose.log_sqlite import SqliteLog
from firehose.position import Need, log_fingerprint, parse_token
from firehose.receipts import BATCH_MAX, Context, NewFollow, NewPost, Receipt
from firehose.writes import Writes
from idgen.errors import BadRequest, DeadlineExceeded
from idgen.ids import compose, partition_of
from tests.unit.firehose_world import NOW_MS, IdsInARow, ManualClock, open_log

PARTITIONS = 8
CTX = Context()
BROUGHT = compose(NOW_MS - 1000, 9, 9)


class World:
    def __init__(self, folder: Path) -> None:
        self.log: SqliteLog = open_log(folder, PARTITIONS)
        self.ids = IdsInARow()
        self.writes = Writes(self.log, self.ids, ManualClock(), backfill_default=7)

    def events(self) -> dict[tuple[int, int], Event]:
        return {
            (p, r.offset): decode(r.value)
            for p in range(PARTITIONS)
            for r in self.log.read(p, 0, 10_000)
        }

    def written(self, receipts: Sequence[Receipt]) -> list[Event]:
        """The events that the receipts' tokens point at, in the receipts' order."""
        events = self.events()
        found = []
        for receipt in receipts:
            position = parse_token(receipt.token, PARTITIONS)
            assert position.log == log_fingerprint(self.log.identity)
            ((partition, need),) = position.needs.items()
            assert need == Need(0, need.offsets)
            (offset,) = need.offsets
            event = events[partition, offset]
            assert event.id == receipt.id
            assert partition == partition_of(event.key_user, PARTITIONS)
            found.append(event)
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.log.close()


def test_each_write_is_one_event_of_its_kind(world: World) -> None:
    w = world.writes
    post = PostRef(5, 77)
    first = compose(NOW_MS, 1, 0)
    receipts = [
        w.publish(CTX, 5, Draft(body="x", mentions=(9, 8, 9)), None),
        w.remove_post(CTX, 5, 77, None),
        w.follow(CTX, NewFollow(6, 5)),
        w.follow(CTX, NewFollow(6, 5, None, 0)),
        w.unfollow(CTX, 6, 5, None),
        w.like(CTX, 6, post, None),
        w.unlike(CTX, 6, post, None),
        w.mark_read(CTX, 6, Lane.NOTICES, 77),
    ]
    assert world.written(receipts) == [
        PostCreated(first, 5, Draft(body="x", mentions=(9, 8))),
        PostRemoved(first + 1, 5, 77),
        Followed(first + 2, 6, 5, 7),
        Followed(first + 3, 6, 5, 0),
        Unfollowed(first + 4, 6, 5),
        Liked(first + 5, 6, 5, 77),
        Unliked(first + 6, 6, 5, 77),
        MarkedRead(first + 7, 6, Lane.NOTICES, 77),
    ]
    assert len(world.events()) == len(receipts)


def test_a_brought_id_is_kept_and_said_of_a_post(world: World) -> None:
    w = world.writes
    receipts = [
        w.publish(CTX, 5, Draft(), BROUGHT),
        w.publish(CTX, 5, Draft(), BROUGHT),
        w.follow(CTX, NewFollow(6, 5, BROUGHT)),
        w.unlike(CTX, 6, PostRef(5, 1), BROUGHT),
    ]
    assert world.written(receipts) == [
        PostCreated(BROUGHT, 5, Draft(), brought=True),
        PostCreated(BROUGHT, 5, Draft(), brought=True),
        Followed(BROUGHT, 6, 5, 7),
        Unliked(BROUGHT, 6, 5, 1),
    ]
    assert world.ids.asked == []


def test_a_batch_asks_once_for_the_ids_that_were_not_brought(world: World) -> None:
    posts = [NewPost(i, Draft(body=str(i)), BROUGHT if i == 3 else None) for i in range(1, 6)]
    receipts = world.writes.publish_many(CTX, posts)
    events = world.written(receipts)
    assert [(e.key_user, getattr(e, "brought", None)) for e in events] == [
        (1, False),
        (2, False),
        (3, True),
        (4, False),
        (5, False),
    ]
    assert world.ids.asked == [4]


def test_a_batch_of_follows_keeps_its_order(world: World) -> None:
    follows = [NewFollow(i, 99, None, i) for i in range(1, 20)]
    events = world.written(world.writes.follow_many(CTX, follows))
    assert [(e.follower, e.backfill) for e in events if isinstance(e, Followed)] == [
        (i, i) for i in range(1, 20)
    ]


def test_an_empty_batch_is_answered_with_nothing(world: World) -> None:
    assert world.writes.publish_many(CTX, []) == []
    assert world.writes.follow_many(CTX, []) == []
    assert world.ids.asked == []


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (NewPost(0, Draft()), r"posts\[3\].author"),
        (NewPost(1, Draft(body="x" * 65_537)), r"posts\[3\].draft.body"),
        (NewPost(1, Draft(tags=("x" * 141,))), r"posts\[3\].draft.tags\[0\]"),
        (NewPost(1, Draft(), compose(NOW_MS - 3_600_000, 1, 1)), r"posts\[3\].brought_id"),
    ],
)
def test_a_batch_with_one_bad_post_writes_nothing(world: World, bad: NewPost, field: str) -> None:
    good = NewPost(1, Draft())
    with pytest.raises(BadRequest, match=f"^{field}:"):
        world.writes.publish_many(CTX, [good, good, good, bad])
    assert world.events() == {}
    assert world.ids.asked == []


def test_a_batch_of_follows_names_the_bad_one(world: World) -> None:
    with pytest.raises(BadRequest, match=r"^follows\[1\].author:"):
        world.writes.follow_many(CTX, [NewFollow(1, 2), NewFollow(3, 3)])
    with pytest.raises(BadRequest, match=r"^follows\[0\].backfill:"):
        world.writes.follow_many(CTX, [NewFollow(1, 2, None, 1001)])
    assert world.events() == {}


def test_a_batch_has_at_most_a_thousand(world: World) -> None:
    with pytest.raises(BadRequest, match=r"^posts: has 1001"):
        world.writes.publish_many(CTX, [NewPost(1, Draft())] * (BATCH_MAX + 1))
    with pytest.raises(BadRequest, match=r"^follows: has 1001"):
        world.writes.follow_many(CTX, [NewFollow(1, 2)] * (BATCH_MAX + 1))


def test_what_a_write_refuses(world: World) -> None:
    w = world.writes
    old = compose(NOW_MS - 3_600_000, 1, 1)
    future = compose(NOW_MS + 3_600_000, 1, 1)
    for field, write in (
        ("author", lambda: w.publish(CTX, -1, Draft(), None)),
        ("brought_id", lambda: w.publish(CTX, 1, Draft(), old)),
        ("draft.title", lambda: w.publish(CTX, 1, Draft(title="\ud800"), None)),
        ("post_id", lambda: w.remove_post(CTX, 1, 0, None)),
        ("brought_id", lambda: w.remove_post(CTX, 1, 2, future)),
        ("author", lambda: w.follow(CTX, NewFollow(4, 4))),
        ("author", lambda: w.unfollow(CTX, 4, 4, None)),
        ("brought_id", lambda: w.unfollow(CTX, 4, 5, old)),
        ("actor", lambda: w.like(CTX, 0, PostRef(1, 1), None)),
        ("post_id", lambda: w.unlike(CTX, 1, PostRef(1, 0), None)),
        ("reader", lambda: w.mark_read(CTX, 0, Lane.POSTS, 1)),
        ("lane", lambda: w.mark_read(CTX, 1, 3, 1)),  # type: ignore[arg-type]
        ("event_id", lambda: w.mark_read(CTX, 1, Lane.POSTS, future)),
        ("event_id", lambda: w.mark_read(CTX, 1, Lane.POSTS, 0)),
    ):
        with pytest.raises(BadRequest, match=f"^{field}:"):
            write()
    assert world.events() == {}


def test_without_time_left_nothing_is_begun(world: World) -> None:
    with pytest.raises(DeadlineExceeded, match="nothing was written"):
        world.writes.publish(Context(deadline_ms=0), 1, Draft(), None)
    assert world.events() == {}


def test_the_default_backfill_is_checked_at_once(tmp_path: Path) -> None:
    log = open_log(tmp_path, 1)
    with pytest.raises(BadRequest, match="backfill_default"):
        Writes(log, IdsInARow(), ManualClock(), backfill_default=1001)
    log.close()
