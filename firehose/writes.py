"""Every write of the dashboard API: validated, given an id, encoded, appended. Nothing else.

A write is in the firehose or it is not; what becomes of it there is the cells' work. The receipt's
token is the position to wait for. A batch is validated whole before anything of it is written, and
is appended by one call; when that fails (`Unavailable`) any of it may have been written, and a
retry with the same brought ids is the same write.
"""

from collections.abc import Sequence
from typing import Protocol

from firehose.codec import encode
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
from firehose.log import Log
from firehose.position import log_fingerprint, receipt_position
from firehose.receipts import BATCH_MAX, Context, NewFollow, NewPost, Receipt
from firehose.validation import (
    check_backfill,
    check_batch,
    check_brought_id,
    check_id,
    check_mark,
    check_pair,
    check_ref,
    check_user,
    folded_draft,
)
from firehose.validation import lane as checked_lane
from idgen.clock import Clock
from idgen.errors import DeadlineExceeded
from idgen.ids import partition_of


class Ids(Protocol):
    """Where new ids come from; `idgen`'s server or library is one."""

    def next_ids(self, n: int) -> list[int]:
        """`n` ids, increasing, never given before. Raises Unavailable without a lease."""
        ...


class Writes:
    """The writes of `cell.dashboard.Dashboard`, by the same names and signatures.

    Used by any number of threads. Raises BadRequest(field) before anything is written, Unavailable
    when there is no id or the log does not acknowledge, DeadlineExceeded when no time was left to
    begin.
    """

    def __init__(self, log: Log, ids: Ids, clock: Clock, backfill_default: int = 100) -> None:
        check_backfill("backfill_default", backfill_default)
        self._log = log
        self._ids = ids
        self._clock = clock
        self._backfill_default = backfill_default
        self._partitions = log.partitions
        self._fingerprint = log_fingerprint(log.identity)

    def publish(self, ctx: Context, author: int, draft: Draft, brought_id: int | None) -> Receipt:
        """Publish one post; the receipt's id is the post's."""
        post = self._checked_post("", NewPost(author, draft, brought_id))
        return self._append_posts(ctx, [post])[0]

    def publish_many(self, ctx: Context, posts: Sequence[NewPost]) -> list[Receipt]:
        """Publish up to BATCH_MAX posts; the receipts are in their order."""
        check_batch("posts", posts, BATCH_MAX)
        checked = [self._checked_post(f"posts[{i}].", post) for i, post in enumerate(posts)]
        return self._append_posts(ctx, checked)

    def remove_post(
        self, ctx: Context, author: int, post_id: int, brought_id: int | None
    ) -> Receipt:
        """Remove a post, also one that is not there (yet)."""
        check_user("author", author)
        check_id("post_id", post_id)
        event_id = self._one_id(ctx, brought_id)
        return self._append_one(PostRemoved(event_id, author, post_id))

    def follow(self, ctx: Context, follow: NewFollow) -> Receipt:
        """Follow an author; again is allowed and changes nothing."""
        self._check_follow("", follow)
        return self._append_follows(ctx, [follow])[0]

    def follow_many(self, ctx: Context, follows: Sequence[NewFollow]) -> list[Receipt]:
        """Up to BATCH_MAX follows; the receipts are in their order."""
        check_batch("follows", follows, BATCH_MAX)
        for i, follow in enumerate(follows):
            self._check_follow(f"follows[{i}].", follow)
        return self._append_follows(ctx, follows)

    def unfollow(self, ctx: Context, follower: int, author: int, brought_id: int | None) -> Receipt:
        """Follow an author no longer, also one who was not followed."""
        check_pair("", follower, author)
        return self._append_one(Unfollowed(self._one_id(ctx, brought_id), follower, author))

    def like(self, ctx: Context, actor: int, post: PostRef, brought_id: int | None) -> Receipt:
        """Like a post, also one that is not there."""
        self._check_like(actor, post)
        return self._append_one(Liked(self._one_id(ctx, brought_id), actor, post.author, post.id))

    def unlike(self, ctx: Context, actor: int, post: PostRef, brought_id: int | None) -> Receipt:
        """Take a like back, also one that never was."""
        self._check_like(actor, post)
        event_id = self._one_id(ctx, brought_id)
        return self._append_one(Unliked(event_id, actor, post.author, post.id))

    def mark_read(self, ctx: Context, reader: int, lane: Lane, event_id: int) -> Receipt:
        """Mark a lane as read up to and including an event; marks never go back."""
        check_user("reader", reader)
        found = checked_lane("lane", lane)
        check_mark("event_id", event_id, self._clock.now_ms())
        return self._append_one(MarkedRead(self._one_id(ctx, None), reader, found, event_id))

    def _checked_post(self, at: str, post: NewPost) -> NewPost:
        """The post as it will be written; `at` is "" or `posts[3].`."""
        check_user(f"{at}author", post.author)
        self._check_brought(f"{at}brought_id", post.brought_id)
        return NewPost(post.author, folded_draft(f"{at}draft", post.draft), post.brought_id)

    def _check_follow(self, at: str, follow: NewFollow) -> None:
        check_pair(at, follow.follower, follow.author)
        self._check_brought(f"{at}brought_id", follow.brought_id)
        if follow.backfill is not None:
            check_backfill(f"{at}backfill", follow.backfill)

    def _check_like(self, actor: int, post: PostRef) -> None:
        check_user("actor", actor)
        check_ref("post", post)

    def _check_brought(self, field: str, brought_id: int | None) -> None:
        if brought_id is not None:
            check_brought_id(field, brought_id, self._clock.now_ms())

    def _append_posts(self, ctx: Context, posts: Sequence[NewPost]) -> list[Receipt]:
        ids = self._event_ids(ctx, [post.brought_id for post in posts])
        return self._append(
            [
                PostCreated(event_id, post.author, post.draft, post.brought_id is not None)
                for event_id, post in zip(ids, posts, strict=True)
            ]
        )

    def _append_follows(self, ctx: Context, follows: Sequence[NewFollow]) -> list[Receipt]:
        ids = self._event_ids(ctx, [follow.brought_id for follow in follows])
        default = self._backfill_default
        return self._append(
            [
                Followed(
                    event_id,
                    follow.follower,
                    follow.author,
                    default if follow.backfill is None else follow.backfill,
                )
                for event_id, follow in zip(ids, follows, strict=True)
            ]
        )

    def _one_id(self, ctx: Context, brought_id: int | None) -> int:
        self._check_brought("brought_id", brought_id)
        return self._event_ids(ctx, [brought_id])[0]

    def _event_ids(self, ctx: Context, brought: Sequence[int | None]) -> list[int]:
        """The brought ids, and new ones where none was brought."""
        if ctx.deadline_ms <= 0:
            raise DeadlineExceeded("no time left to begin the write; nothing was written")
        missing = brought.count(None)
        new = iter(self._ids.next_ids(missing) if missing else ())
        return [next(new) if event_id is None else event_id for event_id in brought]

    def _append_one(self, event: Event) -> Receipt:
        return self._append([event])[0]

    def _append(self, events: Sequence[Event]) -> list[Receipt]:
        if not events:
            return []
        appended = self._log.append(
            [(partition_of(e.key_user, self._partitions), encode(e)) for e in events]
        )
        return [
            Receipt(e.id, receipt_position(self._fingerprint, a.partition, a.offset).token())
            for e, a in zip(events, appended, strict=True)
        ]
