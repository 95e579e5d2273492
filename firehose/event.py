"""What can happen: the events of the firehose as plain values.

Each event is keyed by one user (`key_user`), whose partition it is appended to; every row that the
event touches is touched by events of that partition alone. Users are positive signed 64-bit
integers, ids 63-bit Snowflakes, times milliseconds since 1970.
"""

from dataclasses import dataclass
from enum import IntEnum


class PostKind(IntEnum):
    """Kinds of posts; the numbers are on the wire and in the tables, never reused."""

    TEXT = 1
    PHOTO = 2
    QUOTE = 3
    LINK = 4
    CHAT = 5
    AUDIO = 6
    VIDEO = 7


class Lane(IntEnum):
    """The two lanes of a dashboard."""

    POSTS = 1
    NOTICES = 2


class NoticeKind(IntEnum):
    """Why somebody is notified; of one event the first that applies, in this order."""

    REPLY = 1
    REBLOG = 2
    MENTION = 3
    LIKE = 4
    FOLLOW = 5


@dataclass(frozen=True, slots=True)
class PostRef:
    """A post's address: its author and its id."""

    author: int
    id: int


@dataclass(frozen=True, slots=True)
class Draft:
    """What an author writes: limits in `firehose.validation`."""

    kind: PostKind = PostKind.TEXT
    title: str = ""
    body: str = ""
    tags: tuple[str, ...] = ()
    mentions: tuple[int, ...] = ()
    reblog_of: PostRef | None = None
    reply_to: PostRef | None = None
    at_ms: int | None = None
    """The author's own time, shown with the post; None: when the id was given."""


@dataclass(frozen=True, slots=True)
class PostCreated:
    """`author` published `draft`; `id` is the post's id.

    `brought`: the client brought the id, so the same event may be in the log twice.
    """

    id: int
    author: int
    draft: Draft
    brought: bool = False

    @property
    def key_user(self) -> int:
        """The author."""
        return self.author


@dataclass(frozen=True, slots=True)
class PostRemoved:
    """`author` removed the post `post_id`."""

    id: int
    author: int
    post_id: int

    @property
    def key_user(self) -> int:
        """The author."""
        return self.author


@dataclass(frozen=True, slots=True)
class Followed:
    """`follower` follows `author` from now on, and gets the author's newest `backfill` posts."""

    id: int
    follower: int
    author: int
    backfill: int = 100

    @property
    def key_user(self) -> int:
        """The author, who is followed."""
        return self.author


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """`follower` no longer follows `author`."""

    id: int
    follower: int
    author: int

    @property
    def key_user(self) -> int:
        """The author, who is no longer followed."""
        return self.author


@dataclass(frozen=True, slots=True)
class Liked:
    """`actor` likes the post `post_id` of `author`."""

    id: int
    actor: int
    author: int
    post_id: int

    @property
    def key_user(self) -> int:
        """The actor."""
        return self.actor


@dataclass(frozen=True, slots=True)
class Unliked:
    """`actor` takes back the like of the post `post_id` of `author`."""

    id: int
    actor: int
    author: int
    post_id: int

    @property
    def key_user(self) -> int:
        """The actor."""
        return self.actor


@dataclass(frozen=True, slots=True)
class MarkedRead:
    """`reader` has read the lane up to and including the event `event_id`."""

    id: int
    reader: int
    lane: Lane
    event_id: int

    @property
    def key_user(self) -> int:
        """The reader."""
        return self.reader


Event = PostCreated | PostRemoved | Followed | Unfollowed | Liked | Unliked | MarkedRead
