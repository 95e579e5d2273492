"""The dashboard API as plain values: what is asked and answered, at the router and at a cell alike.

`router.handler` and `cell.handler` both implement `Dashboard`; `ops` puts it on the wire
(thrift/dashboard.thrift has the same names). Every method may raise BadRequest, Unavailable,
DeadlineExceeded and Throttled; a cell also Moved, and a read with `at_least` Behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

from firehose.event import Draft, Lane, PostRef
from firehose.receipts import BATCH_MAX, Context, NewFollow, NewPost, Receipt

__all__ = [
    "BATCH_MAX",
    "CAP_DEFAULT",
    "CAP_MAX",
    "LIMIT_DEFAULT",
    "LIMIT_MAX",
    "Build",
    "Context",
    "Count",
    "Dashboard",
    "Entry",
    "EntryKind",
    "Follows",
    "Home",
    "NewFollow",
    "NewPost",
    "Page",
    "PageQuery",
    "PostView",
    "Receipt",
    "SliceHome",
    "Topology",
]

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
CAP_DEFAULT = 100
CAP_MAX = 1000


class EntryKind(IntEnum):
    """Kinds of entries of both lanes: a post by its kind, a notice by its reason."""

    TEXT = 1
    PHOTO = 2
    QUOTE = 3
    LINK = 4
    CHAT = 5
    AUDIO = 6
    VIDEO = 7
    REPLY = 101
    REBLOG = 102
    MENTION = 103
    LIKE = 104
    FOLLOW = 105

    @property
    def lane(self) -> Lane:
        """The lane that entries of this kind are in."""
        return Lane.POSTS if self < EntryKind.REPLY else Lane.NOTICES


@dataclass(frozen=True, slots=True)
class PostView:
    """A post as readers see it; `removed`: nothing but the ref is left of it."""

    ref: PostRef
    at_ms: int
    draft: Draft | None
    removed: bool = False
    original: "PostView | None" = None
    """Of a reblog: what it reblogs, one level deep; removed where it is no more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a dashboard. `id` is the event's id (a post's id in the posts lane)."""

    id: int
    lane: Lane
    kind: EntryKind
    actor: int
    """The post's author, or who caused the notice."""
    at_ms: int
    unread: bool
    cursor: bytes
    post: PostView | None = None
    """The post itself, or for a notice the post that caused it or was liked; None: not hydrated."""
    target: PostRef | None = None
    """Of a notice: the reader's own post that was replied to, reblogged or liked, or the post
    that mentions the reader; None for a follow."""


class KeptEntries(tuple[Entry, ...]):  # noqa: SLOT001 - a tuple cannot have slots of its own
    """Entries of a page that is kept and shown again; `wire` is for what carries them, to keep what
    it has made of them."""

    wire: bytes | None = None


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What to show of a reader's dashboard.

    `before` and `after` are cursors, both exclusive, and may be given together. `at_least` are
    tokens of receipts or pages. `kinds` empty: all of the lane's.
    """

    reader: int
    lanes: frozenset[Lane] = frozenset((Lane.POSTS,))
    kinds: frozenset[EntryKind] = frozenset()
    before: bytes = b""
    after: bytes = b""
    oldest_first: bool = False
    limit: int = LIMIT_DEFAULT
    hydrate: bool = True
    at_least: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Entries newest first (oldest first if asked for).

    A page is full, or `end` is true, or it is short and goes on at `next_cursor`. Clients page by
    the cursors, never by counting. `token` is the position that the page includes.
    """

    entries: tuple[Entry, ...]
    next_cursor: bytes
    previous_cursor: bytes
    end: bool
    token: bytes
    cell: str
    epoch: int
    lag_ms: int


@dataclass(frozen=True, slots=True)
class Count:
    """A count that stops at the cap: `capped` means `count` or more."""

    count: int
    capped: bool


@dataclass(frozen=True, slots=True)
class Follows:
    """Authors that a reader follows, in a stable order; `next_after` 0: there are no more."""

    authors: tuple[int, ...]
    next_after: int


@dataclass(frozen=True, slots=True)
class Home:
    """A reader's home cell, since which epoch, and where its dashboard endpoints answer."""

    cell: str
    epoch: int
    addresses: tuple[str, ...] = ()


class Homed(NamedTuple):
    """Where the routes have a reader: the cell, since which epoch, and the offsets by partition
    that it has to have applied before it answers (none: it has)."""

    cell: str
    epoch: int
    after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SliceHome:
    """A slice of the key space, from `start` (a place: spread of a user) to the next one's."""

    start: int
    cell: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Topology:
    """All slices in order, and each cell's dashboard addresses."""

    slices: tuple[SliceHome, ...]
    cells: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Build:
    """What answers: the product's version, the role, and the cell where the role has one."""

    version: str
    role: str
    cell: str = ""


class Homes(Protocol):
    """What a cell must know of the routes; never waits, but for `renew`."""

    def homed(self, reader: int) -> Homed:
        """Where a reader is homed, as last known here."""
        ...

    def of(self, reader: int) -> Home:
        """The same with the addresses of that cell, for clients."""
        ...

    def topology(self) -> Topology:
        """All slices and cells, as last known here."""
        ...

    def renew(self) -> None:
        """Read the routes now. Raises Unavailable, and then the last ones go on."""
        ...


class Dashboard(Protocol):
    """The dashboard API."""

    def publish(
        self, ctx: Context, author: int, draft: Draft, brought_id: int | None
    ) -> Receipt: ...
    def publish_many(self, ctx: Context, posts: Sequence[NewPost]) -> Sequence[Receipt]: ...
    def remove_post(
        self, ctx: Context, author: int, post_id: int, brought_id: int | None
    ) -> Receipt: ...
    def follow(self, ctx: Context, follow: NewFollow) -> Receipt: ...
    def follow_many(self, ctx: Context, follows: Sequence[NewFollow]) -> Sequence[Receipt]: ...
    def unfollow(
        self, ctx: Context, follower: int, author: int, brought_id: int | None
    ) -> Receipt: ...
    def like(self, ctx: Context, actor: int, post: PostRef, brought_id: int | None) -> Receipt: ...
    def unlike(
        self, ctx: Context, actor: int, post: PostRef, brought_id: int | None
    ) -> Receipt: ...
    def mark_read(self, ctx: Context, reader: int, lane: Lane, event_id: int) -> Receipt: ...
    def page(self, ctx: Context, query: PageQuery) -> Page: ...
    def author_posts(
        self, ctx: Context, author: int, before: bytes, after: bytes, limit: int
    ) -> Page: ...
    def posts(self, ctx: Context, refs: Sequence[PostRef]) -> list[PostView]: ...
    def count_newer(
        self, ctx: Context, reader: int, lane: Lane, cursor: bytes, cap: int
    ) -> Count: ...
    def unread(self, ctx: Context, reader: int, lane: Lane, cap: int) -> Count: ...
    def following(self, ctx: Context, reader: int, after: int, limit: int) -> Follows: ...
    def is_following(
        self, ctx: Context, reader: int, authors: Sequence[int]
    ) -> tuple[int, ...]: ...
    def route(self, ctx: Context, reader: int) -> Home: ...
    def topology(self, ctx: Context) -> Topology: ...
    def version(self, ctx: Context) -> Build: ...
