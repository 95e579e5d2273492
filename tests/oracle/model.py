"""What every dashboard has to show: an independent model of the rules of design sections 2 to 4.

It shares no code with the product and is built the other way round: the product pushes entries
into inboxes as events come, the model keeps only posts, live edges, likes and marks, and works out
a dashboard when asked. What it is told is the order in which operations were acknowledged.

Only the order of operations with the same key decides anything (a key's operations share a
partition of the log). Pairs of different keys, whose order the model must not and does not use:

- a like and the removal (or the publishing) of the liked post: keyed by the actor and by the
  author. The like's notice is shown while the like is live *and* the post is there, both judged
  when the page is read, so either order gives the same page.
- a reblog or reply and the removal of its original: keyed by two authors. The reblog stays and
  shows its original as it is when the page is read; the notice goes to the original's author, who
  is named in the reference, whether or not the original is there.
- a follow and a post of the *follower*: keyed by the followee and by the follower. One's own posts
  are always in one's own dashboard, so no edge matters to them.
- a mark and everything else: keyed by the reader. It is a number to compare ids with.
- posts of two authors: their places on a page come from their ids.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from tests.oracle.operations import (
    FOLLOW,
    LIKE,
    MENTION,
    NOTICES,
    POSTS,
    REBLOG,
    REPLY,
    Content,
    Followed,
    Liked,
    Marked,
    Operation,
    Published,
    Ref,
    Removed,
    Unfollowed,
    Unliked,
)

ID_EPOCH_MS = 1_288_834_974_657
"""Ids count milliseconds from here, shifted left by 22 bits (Twitter's Snowflake)."""

BOTH = frozenset((POSTS, NOTICES))

Key = tuple[int, int, int]
"""Id, lane, actor: what orders a page, and what an entry is known by."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A post as a page shows it; `content` None: removed. `original`: of a reblog.

    `at_ms` is the time that is shown; `content.at_ms` is left None.
    """

    author: int
    id: int
    at_ms: int | None
    content: Content | None
    original: "Shown | None" = None


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as a page has to show it."""

    id: int
    lane: int
    kind: int
    actor: int
    unread: bool
    post: Shown | None = None
    target: Ref | None = None

    @property
    def key(self) -> Key:
        """What orders a page."""
        return (self.id, self.lane, self.actor)


@dataclass(slots=True)
class _Post:
    """`created` and `removed` are places in the order; `content` None: removed before it came."""

    content: Content | None
    created: int | None
    removed: int | None = None
    at_ms: int = 0

    @property
    def there(self) -> bool:
        return self.created is not None and self.removed is None


@dataclass(frozen=True, slots=True)
class _Edge:
    since: int
    backfill: int


class Model:
    """All that was acknowledged so far; `apply` it in an order that keeps that of every key."""

    def __init__(self) -> None:
        self._now = 0
        self._posts: dict[int, dict[int, _Post]] = {}
        self._edges: dict[int, dict[int, _Edge]] = {}
        self._notified: dict[int, dict[Ref, tuple[int, Ref]]] = {}
        self._followed: dict[int, list[tuple[int, int]]] = {}
        self._likes: dict[int, dict[Ref, int]] = {}
        self._marks: dict[tuple[int, int], int] = {}

    def apply(self, operation: Operation) -> None:
        """Take in one acknowledged operation."""
        self._now += 1
        match operation:
            case Published():
                self._publish(operation)
            case Removed():
                self._remove(operation)
            case Followed():
                self._follow(operation)
            case Unfollowed():
                self._edges.get(operation.follower, {}).pop(operation.author, None)
            case Liked():
                likes = self._likes.setdefault(operation.author, {})
                likes.setdefault((operation.actor, operation.post), operation.id)
            case Unliked():
                self._likes.get(operation.author, {}).pop((operation.actor, operation.post), None)
            case Marked():
                lane = (operation.reader, operation.lane)
                self._marks[lane] = max(self._marks.get(lane, 0), operation.upto)
            case _:
                assert_never(operation)

    def apply_all(self, operations: Iterable[Operation]) -> None:
        """Take in several."""
        for operation in operations:
            self.apply(operation)

    def entries(
        self, reader: int, lanes: Collection[int] = BOTH, kinds: Collection[int] = ()
    ) -> list[Line]:
        """The whole dashboard of a reader, newest first; `kinds` empty means all."""
        found: list[Line] = []
        if POSTS in lanes:
            found.extend(self._inbox(reader))
        if NOTICES in lanes:
            found.extend(self._post_notices(reader))
            found.extend(self._like_notices(reader))
            found.extend(
                self._line(reader, event, NOTICES, FOLLOW, follower)
                for event, follower in self._followed.get(reader, ())
            )
        if kinds:
            found = [line for line in found if line.kind in kinds]
        return sorted(found, key=lambda line: line.key, reverse=True)

    def unread(self, reader: int, lane: int) -> int:
        """How many entries of the lane are above the reader's mark."""
        return sum(line.unread for line in self.entries(reader, (lane,)))

    def timeline(self, author: int) -> list[Shown]:
        """An author's posts that are there, newest first."""
        posts = self._posts.get(author, {})
        return [
            self.shown((author, post_id))
            for post_id in sorted(posts, reverse=True)
            if posts[post_id].there
        ]

    def following(self, reader: int) -> set[int]:
        """Whom the reader follows."""
        return set(self._edges.get(reader, ()))

    def inbox_sizes(self) -> dict[int, int]:
        """Entries in the posts lane of each reader who has any, without building them."""
        sizes = {
            author: sum(post.there for post in posts.values())
            for author, posts in self._posts.items()
        }
        for follower, edges in self._edges.items():
            extra = sum(1 for a, edge in edges.items() for _ in self._reached(a, edge))
            sizes[follower] = sizes.get(follower, 0) + extra
        return {reader: size for reader, size in sizes.items() if size}

    def shown(self, ref: Ref, *, with_original: bool = True) -> Shown:
        """A post as pages show it; one that is not there looks removed."""
        author, post_id = ref
        post = self._posts.get(author, {}).get(post_id)
        if post is None or not post.there or post.content is None:
            return Shown(author, post_id, None, None)
        original = None
        if with_original and post.content.reblog_of is not None:
            original = self.shown(post.content.reblog_of, with_original=False)
        return Shown(author, post_id, post.at_ms, post.content, original)

    def like_lines(self, reader: int) -> list[Line]:
        """Notices of live likes of the reader's posts, also of posts that are not there."""
        return [
            self._line(reader, event, NOTICES, LIKE, actor, (reader, post_id), (reader, post_id))
            for (actor, post_id), event in self._likes.get(reader, {}).items()
            if actor != reader
        ]

    def _publish(self, operation: Published) -> None:
        posts = self._posts.setdefault(operation.author, {})
        if operation.id in posts:
            return  # the same write again, or one that was removed before it arrived
        own_time = operation.content.at_ms
        at_ms = (operation.id >> 22) + ID_EPOCH_MS if own_time is None else own_time
        # The time is judged as shown, wherever an answer carries it; who is mentioned twice is
        # mentioned once.
        mentions = tuple(dict.fromkeys(operation.content.mentions))
        content = replace(operation.content, at_ms=None, mentions=mentions)
        posts[operation.id] = _Post(content, self._now, at_ms=at_ms)
        ref = (operation.author, operation.id)
        for reader, kind, target in _notices(operation):
            self._notified.setdefault(reader, {})[ref] = (kind, target)

    def _remove(self, operation: Removed) -> None:
        posts = self._posts.setdefault(operation.author, {})
        post = posts.setdefault(operation.post, _Post(None, None))
        if post.removed is None:
            post.removed = self._now

    def _follow(self, operation: Followed) -> None:
        edges = self._edges.setdefault(operation.follower, {})
        if operation.author in edges:
            return
        edges[operation.author] = _Edge(self._now, operation.backfill)
        notices = self._followed.setdefault(operation.author, [])
        notices.append((operation.id, operation.follower))

    def _inbox(self, reader: int) -> Iterator[Line]:
        own = self._posts.get(reader, {})
        for post_id, post in own.items():
            if post.there:
                yield self._post_line(reader, reader, post_id)
        for author, edge in self._edges.get(reader, {}).items():
            for post_id in self._reached(author, edge):
                yield self._post_line(reader, author, post_id)

    def _reached(self, author: int, edge: _Edge) -> Iterator[int]:
        """Ids of the author's posts that the edge brings: later ones, and the backfilled."""
        before = []
        for post_id, post in self._posts.get(author, {}).items():
            if post.created is None:
                continue
            if post.created > edge.since:
                if post.there:
                    yield post_id
            elif post.removed is None or post.removed > edge.since:
                before.append(post_id)
        for post_id in heapq.nlargest(edge.backfill, before):
            if self._posts[author][post_id].there:
                yield post_id

    def _post_notices(self, reader: int) -> Iterator[Line]:
        for ref, (kind, target) in self._notified.get(reader, {}).items():
            author, post_id = ref
            if self._posts[author][post_id].there:
                yield self._line(reader, post_id, NOTICES, kind, author, ref, target)

    def _like_notices(self, reader: int) -> Iterator[Line]:
        posts = self._posts.get(reader, {})
        for line in self.like_lines(reader):
            assert line.target is not None
            post = posts.get(line.target[1])
            if post is not None and post.there:
                yield line

    def _post_line(self, reader: int, author: int, post_id: int) -> Line:
        content = self._posts[author][post_id].content
        assert content is not None
        return self._line(reader, post_id, POSTS, content.kind, author, (author, post_id))

    def _line(
        self,
        reader: int,
        event: int,
        lane: int,
        kind: int,
        actor: int,
        post: Ref | None = None,
        target: Ref | None = None,
    ) -> Line:
        unread = event > self._marks.get((reader, lane), 0)
        shown = None if post is None else self.shown(post)
        return Line(event, lane, kind, actor, unread, shown, target)


def _notices(operation: Published) -> Iterator[tuple[int, int, Ref]]:
    """Reader, kind and target of each notice of a post: one per reader, the first that applies."""
    content = operation.content
    told = {operation.author}
    for kind, ref in ((REPLY, content.reply_to), (REBLOG, content.reblog_of)):
        if ref is not None and ref[0] not in told:
            told.add(ref[0])
            yield ref[0], kind, ref
    for reader in content.mentions:
        if reader not in told:
            told.add(reader)
            yield reader, MENTION, (operation.author, operation.id)
