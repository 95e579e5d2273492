"""The values of the dashboard API as Thrift structs and back (thrift/dashboard.thrift).

`*_from_wire` functions check what Thrift does not: that a field is there, that an enum's value is
known, that a string is UTF-8 (the decoder leaves one that is not as bytes). They raise BadRequest
that names the field as the client knows it, from the request down: `draft.kind`. Whether a value
makes sense is for the handler to judge.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final, TypeVar, cast

from cell.dashboard import (
    Build,
    Count,
    Entry,
    EntryKind,
    Follows,
    Home,
    NewFollow,
    NewPost,
    Page,
    PageQuery,
    PostView,
    Receipt,
    SliceHome,
    Topology,
)
from firehose.event import Draft, Lane, PostKind, PostRef
from idgen.errors import BadRequest
from idgen.idl import load

wire = load("dashboard")

_LANE_BOTH: Final = 3
_PLACE_BYTES: Final = 8

_Enum = TypeVar("_Enum", bound=IntEnum)


_MEMBERS: Final[dict[type[IntEnum], dict[int, IntEnum]]] = {
    kind: {each.value: each for each in kind} for kind in (PostKind, Lane, EntryKind)
}


def _missing(*field: str) -> BadRequest:
    return BadRequest(".".join(field), "is missing")


def number_from_wire(value: Any, *field: str) -> int:
    """An integer that has to be there. `field` is its path: joined only for an error, because
    most of the time there is none."""
    if value is None:
        raise _missing(*field)
    number: int = value
    return number


def enum_from_wire(kind: type[_Enum], value: Any, *field: str) -> _Enum:
    """A value of an enum that this version knows."""
    member = _MEMBERS[kind].get(value)
    if member is not None:
        return cast("_Enum", member)
    if value is None:
        raise _missing(*field)
    known = ", ".join(f"{each.name} = {each.value}" for each in kind)
    raise BadRequest(".".join(field), f"{value} is none of {known}")


def text_from_wire(value: Any, *field: str) -> str:
    """A string, "" where it was not sent."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(".".join(field), "is not valid UTF-8")
    return value


def _texts_from_wire(texts: Any, field: str) -> tuple[str, ...]:
    for at, text in enumerate(texts or ()):
        if not isinstance(text, str):
            raise BadRequest(f"{field}[{at}]", "is not valid UTF-8")
    return tuple(texts or ())


def lane_from_wire(value: Any, field: str = "lane") -> Lane:
    """One lane; of both only `page` can tell."""
    if value == _LANE_BOTH:
        raise BadRequest(field, "BOTH is for pages alone; name POSTS or NOTICES")
    return enum_from_wire(Lane, value, field)


def ref_from_wire(ref: Any, *field: str) -> PostRef:
    """A post's address."""
    if ref is None:
        raise _missing(*field)
    if ref.author is None or ref.id is None:
        raise _missing(*field, "author" if ref.author is None else "id")
    return PostRef(ref.author, ref.id)


def ref_to_wire(ref: PostRef | None) -> Any:
    """A post's address, or nothing."""
    return None if ref is None else wire.PostRef(author=ref.author, id=ref.id)


def draft_from_wire(draft: Any, field: str) -> Draft:
    """What an author writes."""
    if draft is None:
        raise _missing(field)
    return Draft(
        kind=enum_from_wire(PostKind, draft.kind, field, "kind"),
        title=text_from_wire(draft.title, field, "title"),
        body=text_from_wire(draft.body, field, "body"),
        tags=_texts_from_wire(draft.tags, f"{field}.tags") if draft.tags else (),
        mentions=tuple(draft.mentions) if draft.mentions else (),
        reblog_of=_optional_ref(draft.reblog_of, field, "reblog_of"),
        reply_to=_optional_ref(draft.reply_to, field, "reply_to"),
        at_ms=draft.at_ms,
    )


def _optional_ref(ref: Any, *field: str) -> PostRef | None:
    return None if ref is None else ref_from_wire(ref, *field)


def draft_to_wire(draft: Draft) -> Any:
    """What an author writes; empty fields are left out."""
    return wire.Draft(
        kind=int(draft.kind),
        title=draft.title or None,
        body=draft.body or None,
        tags=list(draft.tags) or None,
        mentions=list(draft.mentions) or None,
        reblog_of=ref_to_wire(draft.reblog_of),
        reply_to=ref_to_wire(draft.reply_to),
        at_ms=draft.at_ms,
    )


def new_post_from_wire(request: Any, field: str = "") -> NewPost:
    """A PublishRequest; `field` is where it stands in a list, with its dot."""
    return NewPost(
        number_from_wire(request.author, f"{field}author"),
        draft_from_wire(request.draft, f"{field}draft"),
        request.brought_id,
    )


def new_post_to_wire(post: NewPost, context: Any = None) -> Any:
    """A PublishRequest."""
    return wire.PublishRequest(
        author=post.author,
        draft=draft_to_wire(post.draft),
        brought_id=post.brought_id,
        context=context,
    )


def new_follow_from_wire(request: Any, field: str = "") -> NewFollow:
    """A FollowRequest; `field` is where it stands in a list, with its dot."""
    return NewFollow(
        number_from_wire(request.follower, f"{field}follower"),
        number_from_wire(request.author, f"{field}author"),
        request.brought_id,
        request.backfill,
    )


def new_follow_to_wire(follow: NewFollow, context: Any = None) -> Any:
    """A FollowRequest."""
    return wire.FollowRequest(
        follower=follow.follower,
        author=follow.author,
        brought_id=follow.brought_id,
        backfill=follow.backfill,
        context=context,
    )


def query_from_wire(request: Any) -> PageQuery:
    """What to show of a dashboard."""
    if request.lane == _LANE_BOTH:
        lanes = frozenset(Lane)
    else:
        lanes = frozenset((enum_from_wire(Lane, request.lane, "lane"),))
    return PageQuery(
        reader=number_from_wire(request.reader, "reader"),
        lanes=lanes,
        kinds=frozenset(
            enum_from_wire(EntryKind, kind, f"kinds[{at}]")
            for at, kind in enumerate(request.kinds or ())
        ),
        before=request.before or b"",
        after=request.after or b"",
        oldest_first=request.oldest_first,
        limit=request.limit,
        hydrate=request.hydrate,
        at_least=tuple(request.at_least or ()),
    )


def query_to_wire(query: PageQuery, context: Any = None) -> Any:
    """A PageRequest. Raises BadRequest for a query of no lane."""
    if not query.lanes:
        raise BadRequest("lane", "name POSTS, NOTICES or BOTH")
    return wire.PageRequest(
        reader=query.reader,
        lane=_LANE_BOTH if len(query.lanes) > 1 else int(next(iter(query.lanes))),
        kinds=sorted(int(kind) for kind in query.kinds) or None,
        before=query.before or None,
        after=query.after or None,
        oldest_first=query.oldest_first,
        limit=query.limit,
        hydrate=query.hydrate,
        at_least=list(query.at_least) or None,
        context=context,
    )


def receipt_to_wire(receipt: Receipt) -> Any:
    """A write's receipt."""
    return wire.Receipt(id=receipt.id, token=receipt.token)


def receipt_from_wire(receipt: Any) -> Receipt:
    """A write's receipt."""
    return Receipt(receipt.id, receipt.token)


def view_to_wire(view: PostView | None) -> Any:
    """A post as readers see it, or nothing."""
    if view is None:
        return None
    return wire.PostView(
        ref=ref_to_wire(view.ref),
        at_ms=view.at_ms,
        draft=None if view.draft is None else draft_to_wire(view.draft),
        removed=view.removed,
        original=view_to_wire(view.original),
    )


def view_from_wire(view: Any) -> PostView:
    """A post as readers see it."""
    return PostView(
        ref=ref_from_wire(view.ref, "ref"),
        at_ms=view.at_ms,
        draft=None if view.draft is None else draft_from_wire(view.draft, "draft"),
        removed=view.removed,
        original=None if view.original is None else view_from_wire(view.original),
    )


def _entry_to_wire(entry: Entry) -> Any:
    return wire.Entry(
        id=entry.id,
        lane=int(entry.lane),
        kind=int(entry.kind),
        actor=entry.actor,
        at_ms=entry.at_ms,
        unread=entry.unread,
        cursor=entry.cursor,
        post=view_to_wire(entry.post),
        target=ref_to_wire(entry.target),
    )


def _entry_from_wire(entry: Any) -> Entry:
    return Entry(
        id=entry.id,
        lane=enum_from_wire(Lane, entry.lane, "lane"),
        kind=enum_from_wire(EntryKind, entry.kind, "kind"),
        actor=entry.actor,
        at_ms=entry.at_ms,
        unread=entry.unread,
        cursor=entry.cursor,
        post=None if entry.post is None else view_from_wire(entry.post),
        target=_optional_ref(entry.target, "target"),
    )


def entries_to_wire(entries: Iterable[Entry]) -> Any:
    """A page's entries, as a page that has nothing else."""
    return wire.Page(entries=[_entry_to_wire(entry) for entry in entries])


def page_frame_to_wire(page: Page) -> Any:
    """A page without its entries."""
    return wire.Page(
        next_cursor=page.next_cursor or None,
        previous_cursor=page.previous_cursor or None,
        at_end=page.end,
        token=page.token,
        cell=page.cell,
        epoch=page.epoch,
        lag_ms=page.lag_ms,
    )


def page_from_wire(page: Any) -> Page:
    """A page."""
    return Page(
        entries=tuple(_entry_from_wire(entry) for entry in page.entries),
        next_cursor=page.next_cursor or b"",
        previous_cursor=page.previous_cursor or b"",
        end=page.at_end,
        token=page.token,
        cell=page.cell,
        epoch=page.epoch,
        lag_ms=page.lag_ms,
    )


def numbers_from_wire(values: Any, field: str) -> tuple[int, ...]:
    """A list of integers that has to be there, empty or not."""
    if values is None:
        raise BadRequest(field, "is missing")
    return tuple(values)


def refs_from_wire(refs: Any, field: str) -> list[PostRef]:
    """A list of post addresses that has to be there, empty or not."""
    if refs is None:
        raise BadRequest(field, "is missing")
    return [ref_from_wire(ref, f"{field}[{at}]") for at, ref in enumerate(refs)]


def views_to_wire(views: Iterable[PostView]) -> list[Any]:
    """Posts."""
    return [view_to_wire(view) for view in views]


def count_to_wire(count: Count) -> Any:
    """A count."""
    return wire.Count(count=count.count, capped=count.capped)


def count_from_wire(count: Any) -> Count:
    """A count."""
    return Count(count.count, count.capped)


def follows_to_wire(follows: Follows) -> Any:
    """Authors that a reader follows."""
    return wire.Follows(authors=list(follows.authors), next_after=follows.next_after)


def follows_from_wire(follows: Any) -> Follows:
    """Authors that a reader follows."""
    return Follows(tuple(follows.authors), follows.next_after)


def home_to_wire(home: Home) -> Any:
    """A reader's home."""
    return wire.Home(cell=home.cell, epoch=home.epoch, addresses=list(home.addresses))


def home_from_wire(home: Any) -> Home:
    """A reader's home."""
    return Home(home.cell, home.epoch, tuple(home.addresses))


def topology_to_wire(topology: Topology) -> Any:
    """All slices and cells."""
    return wire.Topology(
        slices=[
            wire.SliceHome(
                start=each.start.to_bytes(_PLACE_BYTES), cell=each.cell, epoch=each.epoch
            )
            for each in topology.slices
        ],
        cells={cell: list(addresses) for cell, addresses in topology.cells.items()},
    )


def topology_from_wire(topology: Any) -> Topology:
    """All slices and cells."""
    return Topology(
        tuple(
            SliceHome(int.from_bytes(each.start), each.cell, each.epoch) for each in topology.slices
        ),
        {cell: tuple(addresses) for cell, addresses in topology.cells.items()},
    )


def build_to_wire(build: Build) -> Any:
    """What answers."""
    return wire.Build(version=build.version, role=build.role, cell=build.cell)


def build_from_wire(build: Any) -> Build:
    """What answers."""
    return Build(build.version, build.role, build.cell)
