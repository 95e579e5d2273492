"""The Thrift service `Dashboard` over anything that implements `cell.dashboard.Dashboard`."""

from collections.abc import Callable
from typing import Any

from cell.dashboard import Context, Dashboard, Entry, KeptEntries, Page
from firehose.event import PostRef
from idgen.errors import BadRequest
from ops import thrift_values as values
from ops.template.service import Handler, ThriftService
from ops.thrift_encoded import Encoded, encoded, merged


def dashboard_service(dashboard: Dashboard) -> ThriftService:
    """The service for a server to host; the same for a router's dashboard and a cell's."""
    calls = _Calls(dashboard)
    idl = values.wire.Dashboard
    handlers: dict[str, Handler] = {name: getattr(calls, name) for name in idl.thrift_services}
    return ThriftService(idl, handlers)


class _Calls:
    """Each method: what the request says as values, the call, the answer as a struct."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._to = dashboard

    def publish(self, ctx: Context, request: Any) -> Any:
        post = values.new_post_from_wire(request)
        receipt = self._to.publish(ctx, post.author, post.draft, post.brought_id)
        return values.receipt_to_wire(receipt)

    def publish_many(self, ctx: Context, request: Any) -> Any:
        posts = _each(request.posts, "posts", values.new_post_from_wire)
        return [values.receipt_to_wire(each) for each in self._to.publish_many(ctx, posts)]

    def remove_post(self, ctx: Context, request: Any) -> Any:
        receipt = self._to.remove_post(
            ctx,
            values.number_from_wire(request.author, "author"),
            values.number_from_wire(request.post_id, "post_id"),
            request.brought_id,
        )
        return values.receipt_to_wire(receipt)

    def follow(self, ctx: Context, request: Any) -> Any:
        return values.receipt_to_wire(self._to.follow(ctx, values.new_follow_from_wire(request)))

    def follow_many(self, ctx: Context, request: Any) -> Any:
        follows = _each(request.follows, "follows", values.new_follow_from_wire)
        return [values.receipt_to_wire(each) for each in self._to.follow_many(ctx, follows)]

    def unfollow(self, ctx: Context, request: Any) -> Any:
        receipt = self._to.unfollow(
            ctx,
            values.number_from_wire(request.follower, "follower"),
            values.number_from_wire(request.author, "author"),
            request.brought_id,
        )
        return values.receipt_to_wire(receipt)

    def like(self, ctx: Context, request: Any) -> Any:
        actor, post = _like(request)
        return values.receipt_to_wire(self._to.like(ctx, actor, post, request.brought_id))

    def unlike(self, ctx: Context, request: Any) -> Any:
        actor, post = _like(request)
        return values.receipt_to_wire(self._to.unlike(ctx, actor, post, request.brought_id))

    def mark_read(self, ctx: Context, request: Any) -> Any:
        receipt = self._to.mark_read(
            ctx,
            values.number_from_wire(request.reader, "reader"),
            values.lane_from_wire(request.lane),
            values.number_from_wire(request.event_id, "event_id"),
        )
        return values.receipt_to_wire(receipt)

    def page(self, ctx: Context, request: Any) -> Any:
        return _encoded_page(self._to.page(ctx, values.query_from_wire(request)))

    def author_posts(self, ctx: Context, request: Any) -> Any:
        page = self._to.author_posts(
            ctx,
            values.number_from_wire(request.author, "author"),
            request.before or b"",
            request.after or b"",
            request.limit,
        )
        return _encoded_page(page)

    def posts(self, ctx: Context, request: Any) -> Any:
        refs = values.refs_from_wire(request.refs, "refs")
        return values.views_to_wire(self._to.posts(ctx, refs))

    def count_newer(self, ctx: Context, request: Any) -> Any:
        count = self._to.count_newer(
            ctx,
            values.number_from_wire(request.reader, "reader"),
            values.lane_from_wire(request.lane),
            request.cursor or b"",
            request.cap,
        )
        return values.count_to_wire(count)

    def unread(self, ctx: Context, request: Any) -> Any:
        count = self._to.unread(
            ctx,
            values.number_from_wire(request.reader, "reader"),
            values.lane_from_wire(request.lane),
            request.cap,
        )
        return values.count_to_wire(count)

    def following(self, ctx: Context, request: Any) -> Any:
        follows = self._to.following(
            ctx,
            values.number_from_wire(request.reader, "reader"),
            request.after,
            request.limit,
        )
        return values.follows_to_wire(follows)

    def is_following(self, ctx: Context, request: Any) -> Any:
        followed = self._to.is_following(
            ctx,
            values.number_from_wire(request.reader, "reader"),
            values.numbers_from_wire(request.authors, "authors"),
        )
        return list(followed)

    def route(self, ctx: Context, request: Any) -> Any:
        reader = values.number_from_wire(request.reader, "reader")
        return values.home_to_wire(self._to.route(ctx, reader))

    def topology(self, ctx: Context, _request: Any) -> Any:
        return values.topology_to_wire(self._to.topology(ctx))

    def version(self, ctx: Context, _request: Any) -> Any:
        return values.build_to_wire(self._to.version(ctx))


def _encoded_page(page: Page | Encoded) -> Encoded:
    """A page's bytes: as they came where it was relayed, and of entries that were sent before what
    was made of them then."""
    if isinstance(page, Encoded):
        return page
    return merged(_encoded_entries(page.entries), encoded(values.page_frame_to_wire(page)))


def _encoded_entries(entries: tuple[Entry, ...]) -> bytes:
    if not isinstance(entries, KeptEntries):
        return encoded(values.entries_to_wire(entries))
    if entries.wire is None:
        entries.wire = encoded(values.entries_to_wire(entries))
    return entries.wire


def _each(requests: Any, field: str, convert: Callable[[Any, str], Any]) -> list[Any]:
    if requests is None:
        raise BadRequest(field, "is missing")
    return [convert(request, f"{field}[{at}].") for at, request in enumerate(requests)]


def _like(request: Any) -> tuple[int, PostRef]:
    """Who likes, and which post."""
    author = values.number_from_wire(request.author, "author")
    post_id = values.number_from_wire(request.post_id, "post_id")
    return values.number_from_wire(request.actor, "actor"), PostRef(author, post_id)
