"""What somebody wants written, of each kind: what is allowed, and the event that it becomes."""

from collections.abc import Callable
from typing import Any, Final

from firehose.event import (
    Event,
    Followed,
    Liked,
    MarkedRead,
    PostCreated,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from firehose.receipts import (
    NewEvent,
    NewFollow,
    NewLike,
    NewMark,
    NewPost,
    NewRemoval,
    NewUnfollow,
    NewUnlike,
)
from firehose.validation import (
    check_backfill,
    check_id,
    check_mark,
    check_pair,
    check_user,
    folded_draft,
    lane,
)


def checked(new: NewEvent, now_ms: int) -> NewEvent:
    """What is asked for, as it will be written. Raises BadRequest that names the field.

    A brought id is not looked at: how old it may be depends on who brings it.
    """
    return _CHECKS[type(new)](new, now_ms)


def event_of(new: NewEvent, event_id: int, backfill_default: int) -> Event:
    """The event that it becomes, once it has an id."""
    return _EVENTS[type(new)](new, event_id, backfill_default)


def _post(new: NewPost, _now_ms: int) -> NewPost:
    check_user("author", new.author)
    draft = folded_draft("draft", new.draft)
    return new if draft is new.draft else NewPost(new.author, draft, new.brought_id)


def _removal(new: NewRemoval, _now_ms: int) -> NewRemoval:
    check_user("author", new.author)
    check_id("post_id", new.post_id)
    return new


def _follow(new: NewFollow, _now_ms: int) -> NewFollow:
    check_pair("", new.follower, new.author)
    if new.backfill is not None:
        check_backfill("backfill", new.backfill)
    return new


def _unfollow(new: NewUnfollow, _now_ms: int) -> NewUnfollow:
    check_pair("", new.follower, new.author)
    return new


def _like(new: NewLike | NewUnlike, _now_ms: int) -> NewLike | NewUnlike:
    check_user("actor", new.actor)
    check_user("author", new.author)
    check_id("post_id", new.post_id)
    return new


def _mark(new: NewMark, now_ms: int) -> NewMark:
    check_user("reader", new.reader)
    found = lane("lane", new.lane)
    check_mark("event_id", new.event_id, now_ms)
    return NewMark(new.reader, found, new.event_id, new.brought_id)


def _followed(new: NewFollow, event_id: int, backfill_default: int) -> Followed:
    backfill = backfill_default if new.backfill is None else new.backfill
    return Followed(event_id, new.follower, new.author, backfill)


_CHECKS: Final[dict[type, Callable[[Any, int], NewEvent]]] = {
    NewPost: _post,
    NewRemoval: _removal,
    NewFollow: _follow,
    NewUnfollow: _unfollow,
    NewLike: _like,
    NewUnlike: _like,
    NewMark: _mark,
}

_EVENTS: Final[dict[type, Callable[[Any, int, int], Event]]] = {
    NewPost: lambda n, i, _: PostCreated(i, n.author, n.draft, n.brought_id is not None),
    NewRemoval: lambda n, i, _: PostRemoved(i, n.author, n.post_id),
    NewFollow: _followed,
    NewUnfollow: lambda n, i, _: Unfollowed(i, n.follower, n.author),
    NewLike: lambda n, i, _: Liked(i, n.actor, n.author, n.post_id),
    NewUnlike: lambda n, i, _: Unliked(i, n.actor, n.author, n.post_id),
    NewMark: lambda n, i, _: MarkedRead(i, n.reader, n.lane, n.event_id),
}
