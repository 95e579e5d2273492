"""Every write: an ordered batch of new events, checked, given ids, encoded, appended. Nothing else.

A write is in the firehose or it is not; what becomes of it there is the cells' work. The receipt's
token is the position to wait for. A batch is validated whole before anything of it is written, and
is appended by one call; when that fails (`Unavailable`) any of it may have been written, and a
retry with the same brought ids is the same write.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from firehose.codec import encode
from firehose.event import Draft, Lane, PostRef
from firehose.log import Log
from firehose.new_events import checked, event_of
from firehose.position import log_fingerprint, receipt_token
from firehose.receipts import (
    BATCH_MAX,
    Context,
    EventReceipt,
    NewEvent,
    NewFollow,
    NewLike,
    NewMark,
    NewPost,
    NewRemoval,
    NewUnfollow,
    NewUnlike,
    Receipt,
)
from firehose.validation import (
    BROUGHT_OFF_MS_MAX,
    check_backfill,
    check_batch,
    check_brought_id,
)
from idgen.clock import Clock
from idgen.errors import BadRequest, DeadlineExceeded
from idgen.ids import partition_of

Where = Callable[[int, NewEvent, str], str]
"""How errors name a field of one of a batch, by its number, what it is, and the field in it."""


class Ids(Protocol):
    """Where new ids come from; `idgen`'s server or library is one."""

    def next_ids(self, n: int) -> list[int]:
        """`n` ids, increasing, never given before. Raises Unavailable without a lease."""
        ...


def itself(_number: int, _new: NewEvent, field: str) -> str:
    """`author`: of a request that is one write."""
    return field


class Writes:
    """The writes of `cell.dashboard.Dashboard`, by the same names and signatures, and `append` for
    events of any kind.

    Used by any number of threads. Raises BadRequest(field) before anything is written, Unavailable
    when there is no id or the log does not acknowledge, DeadlineExceeded when no time was left to
    begin. `brought_behind_ms_max`: how old a brought id may be.
    """

    def __init__(
        self,
        log: Log,
        ids: Ids,
        clock: Clock,
        backfill_default: int = 100,
        brought_behind_ms_max: int = BROUGHT_OFF_MS_MAX,
    ) -> None:
        check_backfill("backfill_default", backfill_default)
        self._log = log
        self._ids = ids
        self._clock = clock
        self._backfill_default = backfill_default
        self._brought_behind_ms_max = brought_behind_ms_max
        self._partitions = log.partitions
        self._fingerprint = log_fingerprint(log.identity)

    def publish(self, ctx: Context, author: int, draft: Draft, brought_id: int | None) -> Receipt:
        """Publish one post; the receipt's id is the post's."""
        return self._one(ctx, NewPost(author, draft, brought_id))

    def publish_many(self, ctx: Context, posts: Sequence[NewPost]) -> Sequence[Receipt]:
        """Publish up to BATCH_MAX posts; the receipts are in their order."""
        check_batch("posts", posts, BATCH_MAX)
        return self.append(ctx, posts, lambda i, _, field: f"posts[{i}].{field}")

    def remove_post(
        self, ctx: Context, author: int, post_id: int, brought_id: int | None
    ) -> Receipt:
        """Remove a post, also one that is not there (yet)."""
        return self._one(ctx, NewRemoval(author, post_id, brought_id))

    def follow(self, ctx: Context, follow: NewFollow) -> Receipt:
        """Follow an author; again is allowed and changes nothing."""
        return self._one(ctx, follow)

    def follow_many(self, ctx: Context, follows: Sequence[NewFollow]) -> Sequence[Receipt]:
        """Up to BATCH_MAX follows; the receipts are in their order."""
        check_batch("follows", follows, BATCH_MAX)
        return self.append(ctx, follows, lambda i, _, field: f"follows[{i}].{field}")

    def unfollow(self, ctx: Context, follower: int, author: int, brought_id: int | None) -> Receipt:
        """Follow an author no longer, also one who was not followed."""
        return self._one(ctx, NewUnfollow(follower, author, brought_id))

    def like(self, ctx: Context, actor: int, post: PostRef, brought_id: int | None) -> Receipt:
        """Like a post, also one that is not there."""
        return self._one(ctx, NewLike(actor, post.author, post.id, brought_id))

    def unlike(self, ctx: Context, actor: int, post: PostRef, brought_id: int | None) -> Receipt:
        """Take a like back, also one that never was."""
        return self._one(ctx, NewUnlike(actor, post.author, post.id, brought_id))

    def mark_read(self, ctx: Context, reader: int, lane: Lane, event_id: int) -> Receipt:
        """Mark a lane as read up to and including an event; marks never go back."""
        return self._one(ctx, NewMark(reader, lane, event_id))

    def append(
        self, ctx: Context, news: Sequence[NewEvent], where: Where = itself
    ) -> list[EventReceipt]:
        """Write a batch of any kinds, in its order; the receipts are in that order too.

        How many there may be is for who lets them in to bound.
        """
        now_ms = self._clock.now_ms()
        written = [self._checked(i, new, now_ms, where) for i, new in enumerate(news)]
        ids = self._event_ids(ctx, [new.brought_id for new in written])
        default = self._backfill_default
        events = [event_of(new, i, default) for new, i in zip(written, ids, strict=True)]
        appended = self._log.append(
            [(partition_of(e.key_user, self._partitions), encode(e)) for e in events]
        )
        log = self._fingerprint
        return [
            EventReceipt(event_id, receipt_token(log, a.partition, a.offset), *a)
            for event_id, a in zip(ids, appended, strict=True)
        ]

    def _one(self, ctx: Context, new: NewEvent) -> EventReceipt:
        return self.append(ctx, (new,))[0]

    def _checked(self, number: int, new: NewEvent, now_ms: int, where: Where) -> NewEvent:
        try:
            if new.brought_id is not None:
                behind_ms_max = self._brought_behind_ms_max
                check_brought_id("brought_id", new.brought_id, now_ms, behind_ms_max)
            return checked(new, now_ms)
        except BadRequest as error:
            raise BadRequest(where(number, new, error.field), error.why) from None

    def _event_ids(self, ctx: Context, brought: Sequence[int | None]) -> list[int]:
        """The brought ids, and new ones where none was brought."""
        if ctx.deadline_ms <= 0:
            raise DeadlineExceeded("no time left to begin the write; nothing was written")
        missing = brought.count(None)
        new = iter(self._ids.next_ids(missing) if missing else ())
        return [next(new) if event_id is None else event_id for event_id in brought]
