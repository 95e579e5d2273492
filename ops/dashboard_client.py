"""The dashboard API over the wire, as the same values and errors as in process."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self, cast

from cell.dashboard import (
    Build,
    Context,
    Count,
    Follows,
    Home,
    NewFollow,
    NewPost,
    Page,
    PageQuery,
    PostView,
    Receipt,
    Topology,
)
from firehose.event import Draft, Lane, PostRef
from idgen.errors import DeadlineExceeded, Unavailable
from idgen.ids import spread
from ops import thrift_values as values
from ops.thrift_calls import GRACE_S, Channel

TOLD_SHARE: Final = 0.85
WAITED_SHARE: Final = 0.95
"""Of the time that a router has for a call: what it tells a cell, and what it waits. Between them
the cell's own word arrives (that it is Behind, say), after them the router's."""
SILENT_RETRY_MS: Final = 1_000

_wire = values.wire


class DashboardClient:
    """A `cell.dashboard.Dashboard` at one or several addresses (`host:port`) of routers, or of one
    cell's dashboard servers. Safe to use from many threads; `close` it, or use it as a context
    manager.

    A read whose connection breaks is sent once more; a write never: bring an id and call again.
    Raises what the server raises, Unavailable when no address answers, DeadlineExceeded when no
    answer comes in time.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        tls: ssl.SSLContext | None = None,
        connections_max: int = 64,
        grace_s: float = GRACE_S,
    ) -> None:
        self._channel = Channel(
            _wire.Dashboard,
            addresses,
            tls=tls,
            connections_max=connections_max,
            grace_s=grace_s,
        )

    def point_at(self, addresses: Sequence[str]) -> None:
        """Use these addresses from now on; calls in flight end as they would have."""
        self._channel.point_at(addresses)

    def close(self) -> None:
        """Close the connections."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def publish(self, ctx: Context, author: int, draft: Draft, brought_id: int | None) -> Receipt:
        """See Dashboard."""
        post = NewPost(author, draft, brought_id)
        return self._write(ctx, "publish", values.new_post_to_wire(post, _context(ctx)))

    def publish_many(self, ctx: Context, posts: Sequence[NewPost]) -> list[Receipt]:
        """See Dashboard."""
        request = _wire.PublishManyRequest(
            posts=[values.new_post_to_wire(post) for post in posts], context=_context(ctx)
        )
        return self._write_many(ctx, "publish_many", request)

    def remove_post(
        self, ctx: Context, author: int, post_id: int, brought_id: int | None
    ) -> Receipt:
        """See Dashboard."""
        request = _wire.RemovePostRequest(author, post_id, brought_id, _context(ctx))
        return self._write(ctx, "remove_post", request)

    def follow(self, ctx: Context, follow: NewFollow) -> Receipt:
        """See Dashboard."""
        return self._write(ctx, "follow", values.new_follow_to_wire(follow, _context(ctx)))

    def follow_many(self, ctx: Context, follows: Sequence[NewFollow]) -> list[Receipt]:
        """See Dashboard."""
        request = _wire.FollowManyRequest(
            follows=[values.new_follow_to_wire(follow) for follow in follows],
            context=_context(ctx),
        )
        return self._write_many(ctx, "follow_many", request)

    def unfollow(self, ctx: Context, follower: int, author: int, brought_id: int | None) -> Receipt:
        """See Dashboard."""
        request = _wire.UnfollowRequest(follower, author, brought_id, _context(ctx))
        return self._write(ctx, "unfollow", request)

    def like(self, ctx: Context, actor: int, post: PostRef, brought_id: int | None) -> Receipt:
        """See Dashboard."""
        request = _wire.LikeRequest(actor, post.author, post.id, brought_id, _context(ctx))
        return self._write(ctx, "like", request)

    def unlike(self, ctx: Context, actor: int, post: PostRef, brought_id: int | None) -> Receipt:
        """See Dashboard."""
        request = _wire.UnlikeRequest(actor, post.author, post.id, brought_id, _context(ctx))
        return self._write(ctx, "unlike", request)

    def mark_read(self, ctx: Context, reader: int, lane: Lane, event_id: int) -> Receipt:
        """See Dashboard."""
        request = _wire.MarkReadRequest(reader, int(lane), event_id, _context(ctx))
        return self._write(ctx, "mark_read", request)

    def page(self, ctx: Context, query: PageQuery) -> Page:
        """See Dashboard."""
        request = values.query_to_wire(query, _context(ctx))
        return values.page_from_wire(self._read(ctx, "page", request))

    def author_posts(
        self, ctx: Context, author: int, before: bytes, after: bytes, limit: int
    ) -> Page:
        """See Dashboard."""
        request = _author_posts(ctx, author, before, after, limit)
        return values.page_from_wire(self._read(ctx, "author_posts", request))

    def posts(self, ctx: Context, refs: Sequence[PostRef]) -> list[PostView]:
        """See Dashboard."""
        request = _wire.PostsRequest([values.ref_to_wire(ref) for ref in refs], _context(ctx))
        return [values.view_from_wire(view) for view in self._read(ctx, "posts", request)]

    def count_newer(self, ctx: Context, reader: int, lane: Lane, cursor: bytes, cap: int) -> Count:
        """See Dashboard."""
        request = _wire.CountNewerRequest(reader, int(lane), cursor, cap, _context(ctx))
        return values.count_from_wire(self._read(ctx, "count_newer", request))

    def unread(self, ctx: Context, reader: int, lane: Lane, cap: int) -> Count:
        """See Dashboard."""
        request = _wire.UnreadRequest(reader, int(lane), cap, _context(ctx))
        return values.count_from_wire(self._read(ctx, "unread", request))

    def following(self, ctx: Context, reader: int, after: int, limit: int) -> Follows:
        """See Dashboard."""
        request = _wire.FollowingRequest(reader, after, limit, _context(ctx))
        return values.follows_from_wire(self._read(ctx, "following", request))

    def is_following(self, ctx: Context, reader: int, authors: Sequence[int]) -> tuple[int, ...]:
        """See Dashboard."""
        request = _wire.IsFollowingRequest(reader, list(authors), _context(ctx))
        return tuple(self._read(ctx, "is_following", request))

    def route(self, ctx: Context, reader: int) -> Home:
        """See Dashboard."""
        request = _wire.RouteRequest(reader, _context(ctx))
        return values.home_from_wire(self._read(ctx, "route", request))

    def topology(self, ctx: Context) -> Topology:
        """See Dashboard."""
        request = _wire.TopologyRequest(_context(ctx))
        return values.topology_from_wire(self._read(ctx, "topology", request))

    def version(self, ctx: Context) -> Build:
        """See Dashboard."""
        request = _wire.VersionRequest(_context(ctx))
        return values.build_from_wire(self._read(ctx, "version", request))

    def _read(self, ctx: Context, method: str, request: Any) -> Any:
        return self._channel.call(method, request, ctx.deadline_ms, repeatable=True)

    def _write(self, ctx: Context, method: str, request: Any) -> Receipt:
        answer = self._channel.call(method, request, ctx.deadline_ms, repeatable=False)
        return values.receipt_from_wire(answer)

    def _write_many(self, ctx: Context, method: str, request: Any) -> list[Receipt]:
        answer = self._channel.call(method, request, ctx.deadline_ms, repeatable=False)
        return [values.receipt_from_wire(each) for each in answer]


class RelayedDashboards(DashboardClient):
    """For a router: pages are passed on as they came, since nobody looks into them on the way.

    A cell that hangs is Unavailable here while some of the caller's time is left, so that the
    router's word about it reaches the caller within the caller's own deadline.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        tls: ssl.SSLContext | None = None,
        connections_max: int = 64,
    ) -> None:
        super().__init__(addresses, tls=tls, connections_max=connections_max, grace_s=0.0)

    def page(self, ctx: Context, query: PageQuery) -> Page:
        """See Dashboard; what it returns is for `dashboard_service` alone."""
        request = values.query_to_wire(query, _context(ctx))
        return self._relayed(ctx, "page", request, query.reader)

    def author_posts(
        self, ctx: Context, author: int, before: bytes, after: bytes, limit: int
    ) -> Page:
        """See `page`."""
        request = _author_posts(ctx, author, before, after, limit)
        return self._relayed(ctx, "author_posts", request, author)

    def _relayed(self, ctx: Context, method: str, request: Any, user: int) -> Page:
        # A dashboard may have shown a reader what another one learns a moment later.
        turn = spread(user)
        with _in_time(ctx, request) as wait_ms:
            return cast("Page", self._channel.relay(method, request, wait_ms, turn))

    def _read(self, ctx: Context, method: str, request: Any) -> Any:
        with _in_time(ctx, request) as wait_ms:
            return self._channel.call(method, request, wait_ms, repeatable=True)


@contextmanager
def _in_time(ctx: Context, request: Any) -> Iterator[int]:
    """How long to wait for a cell, which is told to answer somewhat earlier. Raises Unavailable
    when it does not."""
    request.context.deadline_ms = max(1, int(ctx.deadline_ms * TOLD_SHARE))
    try:
        yield max(1, int(ctx.deadline_ms * WAITED_SHARE))
    except DeadlineExceeded as error:
        raise Unavailable(f"the cell hangs or is slow: {error}", SILENT_RETRY_MS) from error


def _author_posts(ctx: Context, author: int, before: bytes, after: bytes, limit: int) -> Any:
    return _wire.AuthorPostsRequest(author, before or None, after or None, limit, _context(ctx))


def _context(ctx: Context) -> Any:
    return _wire.Context(deadline_ms=ctx.deadline_ms, request_id=ctx.request_id or None)
