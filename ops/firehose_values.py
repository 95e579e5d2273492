"""The values of the service Firehose as Thrift structs and back (thrift/firehose.thrift).

`*_from_wire` functions raise BadRequest that names the field as the client knows it, from the
request down: `events[3].liked.post_id`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from firehose.codec import Kind, kind_in
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
from firehose.event_json import KINDS, UNKNOWN, authored_ms
from firehose.handler import Window
from firehose.log import Record, Span
from firehose.reads import Asked, Found
from firehose.receipts import (
    EventReceipt,
    NewEvent,
    NewFollow,
    NewLike,
    NewMark,
    NewPost,
    NewRemoval,
    NewUnfollow,
    NewUnlike,
)
from firehose.selection import Selection, selection_of
from idgen.errors import BadRequest
from idgen.idl import load
from ops.thrift_values import (
    draft_from_wire,
    draft_to_wire,
    lane_from_wire,
    number_from_wire,
    text_from_wire,
)

wire = load("firehose")

WORDS: Final[dict[type, str]] = {
    NewPost: KINDS[PostCreated],
    NewRemoval: KINDS[PostRemoved],
    NewFollow: KINDS[Followed],
    NewUnfollow: KINDS[Unfollowed],
    NewLike: KINDS[Liked],
    NewUnlike: KINDS[Unliked],
    NewMark: KINDS[MarkedRead],
}
"""The field of NewEvent that each is in."""


def path_in_event(new: NewEvent, field: str) -> str:
    """Where in a NewEvent a field is that is refused."""
    return field if field == "brought_id" else f"{WORDS[type(new)]}.{field}"


def path_in_events(number: int, new: NewEvent, field: str) -> str:
    """The same of one in a list."""
    return f"events[{number}].{path_in_event(new, field)}"


def new_event_from_wire(event: Any, field: str) -> NewEvent:
    """A NewEvent; `field` is where it stands."""
    if event is None:
        raise BadRequest(field, "is missing")
    word = ""
    for name in _NEW:
        if getattr(event, name) is not None:
            if word:
                raise BadRequest(field, f"is {word} and {name}: an event is of one kind")
            word = name
    if not word:
        raise BadRequest(field, f"has none of {', '.join(_NEW)} (a newer kind, perhaps)")
    try:
        return _NEW[word](getattr(event, word), event.brought_id)
    except BadRequest as error:
        raise BadRequest(f"{field}.{word}.{error.field}", error.why) from None


def new_events_from_wire(events: Any) -> list[NewEvent]:
    """A list of them that has to be there, empty or not."""
    if events is None:
        raise BadRequest("events", "is missing")
    return [new_event_from_wire(event, f"events[{at}]") for at, event in enumerate(events)]


def asked_from_wire(request: Any) -> Asked:
    """What a ReadRequest asks for."""
    start = text_from_wire(request.start, "start")
    if not start:
        raise BadRequest("start", "is missing: name a cursor, a time, earliest or latest")
    limit = number_from_wire(request.limit, "limit")
    wait_ms = number_from_wire(request.wait_ms, "wait_ms")
    return Asked(start, _selection(request), limit, wait_ms)


def receipt_to_wire(receipt: EventReceipt) -> Any:
    """Where an event is."""
    return wire.Receipt(receipt.id, receipt.partition, receipt.offset, receipt.at_ms, receipt.token)


def found_to_wire(found: Found) -> Any:
    """An answer to `read`."""
    return wire.ReadAnswer(
        events=[event_to_wire(record, event) for record, event in found.events],
        next_cursor=found.cursor,
        at_end=found.at_end,
    )


def event_to_wire(record: Record, event: Event | str) -> Any:
    """An event as it lies in the log."""
    made = wire.Event(partition=record.partition, offset=record.offset, appended_ms=record.at_ms)
    if isinstance(event, str):
        why = wire.WhyUnreadable.UNKNOWN if event == UNKNOWN else wire.WhyUnreadable.DAMAGED
        made.unreadable = wire.Unreadable(why, kind_in(record.value), record.value)
        return made
    made.id = event.id
    made.authored_ms = authored_ms(event)
    setattr(made, KINDS[type(event)], _LOGGED[type(event)](event))
    return made


def spans_to_wire(spans: Sequence[Span]) -> list[Any]:
    """The retained offsets of every partition."""
    return [wire.Span(partition, *span) for partition, span in enumerate(spans)]


def window_to_wire(window: Window) -> Any:
    """What can be read."""
    return wire.Window(
        oldest_cursor=window.oldest,
        newest_cursor=window.newest,
        oldest_ms=window.oldest_ms,
        newest_ms=window.newest_ms,
        retention_ms=window.retention_ms,
        now_ms=window.now_ms,
    )


def _selection(request: Any) -> Selection:
    names = []
    for at, number in enumerate(request.kinds or ()):
        if number not in _KIND_NAMES:
            known = ", ".join(f"{name.upper()} = {each}" for each, name in _KIND_NAMES.items())
            raise BadRequest(f"kinds[{at}]", f"{number} is none of {known}")
        names.append(_KIND_NAMES[number])
    share = text_from_wire(request.partitions, "partitions")
    return selection_of(names, request.authors or (), share)


def _post(post: Any, brought_id: int | None) -> NewPost:
    draft = draft_from_wire(post.draft, "draft")
    return NewPost(number_from_wire(post.author, "author"), draft, brought_id)


def _removal(removal: Any, brought_id: int | None) -> NewRemoval:
    author = number_from_wire(removal.author, "author")
    return NewRemoval(author, number_from_wire(removal.post_id, "post_id"), brought_id)


def _follow(follow: Any, brought_id: int | None) -> NewFollow:
    follower = number_from_wire(follow.follower, "follower")
    author = number_from_wire(follow.author, "author")
    return NewFollow(follower, author, brought_id, follow.backfill)


def _unfollow(unfollow: Any, brought_id: int | None) -> NewUnfollow:
    follower = number_from_wire(unfollow.follower, "follower")
    return NewUnfollow(follower, number_from_wire(unfollow.author, "author"), brought_id)


def _like(like: Any, brought_id: int | None) -> NewLike:
    return NewLike(*_like_parts(like), brought_id)


def _unlike(like: Any, brought_id: int | None) -> NewUnlike:
    return NewUnlike(*_like_parts(like), brought_id)


def _like_parts(like: Any) -> tuple[int, int, int]:
    actor = number_from_wire(like.actor, "actor")
    author = number_from_wire(like.author, "author")
    return actor, author, number_from_wire(like.post_id, "post_id")


def _mark(mark: Any, brought_id: int | None) -> NewMark:
    reader = number_from_wire(mark.reader, "reader")
    lane = lane_from_wire(mark.lane)
    return NewMark(reader, lane, number_from_wire(mark.event_id, "event_id"), brought_id)


def _post_to_wire(event: PostCreated) -> Any:
    return wire.PostCreated(event.author, draft_to_wire(event.draft), event.brought or None)


_NEW: Final[dict[str, Callable[[Any, int | None], NewEvent]]] = {
    WORDS[NewPost]: _post,
    WORDS[NewRemoval]: _removal,
    WORDS[NewFollow]: _follow,
    WORDS[NewUnfollow]: _unfollow,
    WORDS[NewLike]: _like,
    WORDS[NewUnlike]: _unlike,
    WORDS[NewMark]: _mark,
}

_LOGGED: Final[dict[type, Callable[[Any], Any]]] = {
    PostCreated: _post_to_wire,
    PostRemoved: lambda e: wire.PostRemoved(e.author, e.post_id),
    Followed: lambda e: wire.Followed(e.follower, e.author, e.backfill),
    Unfollowed: lambda e: wire.Unfollowed(e.follower, e.author),
    Liked: lambda e: wire.Liked(e.actor, e.author, e.post_id),
    Unliked: lambda e: wire.Unliked(e.actor, e.author, e.post_id),
    MarkedRead: lambda e: wire.MarkedRead(e.reader, int(e.lane), e.event_id),
}

_KIND_NAMES: Final[dict[int, str]] = {int(Kind[name.upper()]): name for name in KINDS.values()}
