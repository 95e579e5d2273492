"""Events as JSON, for those who read the firehose over HTTP or from a file.

An object has `kind`, `partition`, `offset`, `appended_ms` (by the log's clock), `authored_ms` (by
the author's, where they gave one, else when the id was given), and the fields of the event by their
names in thrift/event.thrift (of a post, `post_kind` is what is `kind` there). What is empty is left
out. Whole numbers of 64 bits come twice, as `id` and as the text `id_str`: JavaScript's numbers
lose some of their digits.

Bytes that this program cannot read are never left out: they come with the kind `unknown` (an event
of a later program) or `damaged`, and as base64 in `bytes`.
"""

import base64
from collections.abc import Iterable
from typing import Any

from firehose.codec import Kind, Poison, UnknownKind, decode
from firehose.event import (
    Event,
    Followed,
    Liked,
    MarkedRead,
    PostCreated,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from firehose.log import Record
from idgen.errors import Corrupt
from idgen.ids import at_ms

KINDS: dict[type[Event], str] = {
    PostCreated: Kind.POST_CREATED.name.lower(),
    PostRemoved: Kind.POST_REMOVED.name.lower(),
    Followed: Kind.FOLLOWED.name.lower(),
    Unfollowed: Kind.UNFOLLOWED.name.lower(),
    Liked: Kind.LIKED.name.lower(),
    Unliked: Kind.UNLIKED.name.lower(),
    MarkedRead: Kind.MARKED_READ.name.lower(),
}
"""The kinds by which events are named and selected."""
UNKNOWN, DAMAGED = "unknown", "damaged"


def read_event(record: Record) -> Event | str:
    """The event of a record, or what it is instead: UNKNOWN or DAMAGED."""
    try:
        return decode(record.value)
    except UnknownKind:
        return UNKNOWN
    except (Corrupt, Poison):
        return DAMAGED


def document(record: Record, event: Event | str) -> dict[str, Any]:
    """A record and its event as JSON."""
    kind = event if isinstance(event, str) else KINDS[type(event)]
    head = {
        "kind": kind,
        "partition": record.partition,
        "offset": record.offset,
        "appended_ms": record.at_ms,
    }
    if isinstance(event, str):
        return head | {"bytes": base64.b64encode(record.value).decode()}
    return head | {"authored_ms": authored_ms(event)} | _fields(event)


def authored_ms(event: Event) -> int:
    """When an event was made, by its author's word or by its id."""
    if isinstance(event, PostCreated) and event.draft.at_ms is not None:
        return event.draft.at_ms
    return at_ms(event.id)


def _fields(event: Event) -> dict[str, Any]:
    match event:
        case PostCreated():
            return _post(event)
        case PostRemoved():
            return _whole(id=event.id, author=event.author, post_id=event.post_id)
        case Followed():
            edge = _whole(id=event.id, follower=event.follower, author=event.author)
            return edge | {"backfill": event.backfill}
        case Unfollowed():
            return _whole(id=event.id, follower=event.follower, author=event.author)
        case Liked() | Unliked():
            return _whole(
                id=event.id, actor=event.actor, author=event.author, post_id=event.post_id
            )
        case MarkedRead():
            mark = _whole(id=event.id, reader=event.reader, event_id=event.event_id)
            return mark | {"lane": event.lane.name.lower()}


def _post(event: PostCreated) -> dict[str, Any]:
    draft = event.draft
    told: dict[str, Any] = {
        "post_kind": draft.kind.name.lower(),
        "title": draft.title,
        "body": draft.body,
        "tags": list(draft.tags),
        "reblog_of": _ref(draft.reblog_of),
        "reply_to": _ref(draft.reply_to),
        "brought": event.brought,
        **_all("mentions", draft.mentions),
    }
    return _whole(id=event.id, author=event.author) | {k: v for k, v in told.items() if v}


def _ref(ref: PostRef | None) -> dict[str, Any] | None:
    return None if ref is None else _whole(author=ref.author, id=ref.id)


def _whole(**numbers: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, number in numbers.items():
        found |= {name: number, f"{name}_str": str(number)}
    return found


def _all(name: str, numbers: Iterable[int]) -> dict[str, Any]:
    return {name: list(numbers), f"{name}_str": [str(number) for number in numbers]}
