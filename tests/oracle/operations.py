"""What was acknowledged, as plain values: the only input of the model.

Nothing here comes from the product, so that a mistake in the product's own types cannot hide in
both places. Every operation is keyed by one user (`key`), by the table of design section 3: only
the order of operations of one key decides anything.
"""

from dataclasses import dataclass

POSTS = 1
NOTICES = 2

REPLY = 101
REBLOG = 102
MENTION = 103
LIKE = 104
FOLLOW = 105

BACKFILL_DEFAULT = 100

Ref = tuple[int, int]
"""A post: its author, its id."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an author wrote; `kind` as in thrift/dashboard.thrift, `at_ms` the author's own time."""

    kind: int = 1
    title: str = ""
    body: str = ""
    tags: tuple[str, ...] = ()
    mentions: tuple[int, ...] = ()
    reblog_of: Ref | None = None
    reply_to: Ref | None = None
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """`author` published; `id` is the post's id."""

    id: int
    author: int
    content: Content = Content()

    @property
    def key(self) -> int:
        """The author."""
        return self.author


@dataclass(frozen=True, slots=True)
class Removed:
    """`author` removed their post `post`."""

    id: int
    author: int
    post: int

    @property
    def key(self) -> int:
        """The author."""
        return self.author


@dataclass(frozen=True, slots=True)
class Followed:
    """`follower` follows `author`, bringing along the newest `backfill` posts."""

    id: int
    follower: int
    author: int
    backfill: int = BACKFILL_DEFAULT

    @property
    def key(self) -> int:
        """The author."""
        return self.author


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """`follower` no longer follows `author`."""

    id: int
    follower: int
    author: int

    @property
    def key(self) -> int:
        """The author."""
        return self.author


@dataclass(frozen=True, slots=True)
class Liked:
    """`actor` likes the post `post` of `author`."""

    id: int
    actor: int
    author: int
    post: int

    @property
    def key(self) -> int:
        """The actor."""
        return self.actor


@dataclass(frozen=True, slots=True)
class Unliked:
    """`actor` takes the like back."""

    id: int
    actor: int
    author: int
    post: int

    @property
    def key(self) -> int:
        """The actor."""
        return self.actor


@dataclass(frozen=True, slots=True)
class Marked:
    """`reader` has read the lane up to and including `upto`."""

    id: int
    reader: int
    lane: int
    upto: int

    @property
    def key(self) -> int:
        """The reader."""
        return self.reader


Operation = Published | Removed | Followed | Unfollowed | Liked | Unliked | Marked
