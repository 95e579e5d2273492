"""What every write takes and gives: the call's context, the receipt, and the entries of batches.

`cell.dashboard` hands these on as part of the dashboard API; they are here because the writes
themselves are (`firehose.writes`), and imports point down.
"""

from dataclasses import dataclass

from firehose.event import Draft, Lane

BATCH_MAX = 1000
"""Events per publish_many or follow_many, and refs per posts: design section 9, "Limits"."""


@dataclass(frozen=True, slots=True)
class Context:
    """What travels with a call: `deadline_ms` is the time left for it, `request_id` names it in
    every log line.
    """

    deadline_ms: int = 1000
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A write is in the log: the id of its event (a post's id), and the token to wait for it."""

    id: int
    token: bytes


@dataclass(frozen=True, slots=True)
class EventReceipt(Receipt):
    """A receipt that also says where in the log the event is, for who reads the log: `at_ms` is the
    log's own append time (milliseconds since 1970)."""

    partition: int
    offset: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class NewPost:
    """A post to publish."""

    author: int
    draft: Draft
    brought_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewFollow:
    """A follow; `backfill` is how many of the author's newest posts to bring along."""

    follower: int
    author: int
    brought_id: int | None = None
    backfill: int | None = None


@dataclass(frozen=True, slots=True)
class NewRemoval:
    """A post to remove."""

    author: int
    post_id: int
    brought_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewUnfollow:
    """A follow to end."""

    follower: int
    author: int
    brought_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewLike:
    """A like of the post `post_id` of `author`."""

    actor: int
    author: int
    post_id: int
    brought_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewUnlike:
    """A like to take back."""

    actor: int
    author: int
    post_id: int
    brought_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewMark:
    """A lane to mark as read up to and including the event `event_id`."""

    reader: int
    lane: Lane
    event_id: int
    brought_id: int | None = None


NewEvent = NewPost | NewRemoval | NewFollow | NewUnfollow | NewLike | NewUnlike | NewMark
"""What somebody wants written; with a brought id a retry of it is the same event."""
