"""What every write takes and gives: the call's context, the receipt, and the entries of batches.

`cell.dashboard` hands these on as part of the dashboard API; they are here because the writes
themselves are (`firehose.writes`), and imports point down.
"""

from dataclasses import dataclass

from firehose.event import Draft

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
class NewPost:
    """One of `publish_many`."""

    author: int
    draft: Draft
    brought_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewFollow:
    """One of `follow_many`; `backfill` is how many of the author's newest posts to bring along."""

    follower: int
    author: int
    brought_id: int | None = None
    backfill: int | None = None
