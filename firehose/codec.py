"""Events as bytes: an envelope around the Thrift struct of thrift/event.thrift.

The envelope, big-endian: magic 2 bytes, format version 1, kind 1, payload length 4, crc32c 4 (of
the eight bytes before it and of the payload); then the payload, Thrift's binary protocol. The
envelope keeps this form in every version, so that damaged bytes are told from new ones: magic,
length and checksum are looked at before version and kind.

Thrift's decoder believes lengths and is silent about cut bytes, hence the envelope.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import ModuleType
from typing import Any

from crc32c import crc32c

from firehose.event import (
    Draft,
    Event,
    Followed,
    Lane,
    Liked,
    MarkedRead,
    PostCreated,
    PostKind,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from firehose.log import RECORD_BYTES_MAX
from firehose.validation import check_backfill, check_draft, check_id, check_pair, check_user
from idgen.errors import BadRequest, Corrupt, DashcellError
from idgen.idl import binary_decode, binary_encode, load

MAGIC = b"\xdc\x0e"
FORMAT_VERSION = 1
_HEAD = struct.Struct(">2sBBI")
_CHECKSUM = struct.Struct(">I")
HEAD_BYTES = _HEAD.size + _CHECKSUM.size
_KIND_AT = 3

_idl: ModuleType = load("event")


class Kind(IntEnum):
    """What an envelope holds. 1 to 127 are events; the numbers are in logs and tables for good."""

    POST_CREATED = 1
    POST_REMOVED = 2
    FOLLOWED = 3
    UNFOLLOWED = 4
    LIKED = 5
    UNLIKED = 6
    MARKED_READ = 7
    # Reserved for events to come; until then they are unknown kinds.
    POST_EDITED = 8
    BLOCKED = 9
    UNBLOCKED = 10
    USER_ERASED = 11
    # Never in the firehose: values of the posts table and of the dead-letter log.
    GONE = 128
    DEAD_LETTER = 129
    DEAD_LETTER_SETTLED = 130


GONE_PREFIX = MAGIC + bytes((FORMAT_VERSION, Kind.GONE))
"""The first bytes of every Gone value, and of no other."""


class UnknownKind(DashcellError):
    """An intact event of a kind or a version that this program does not know.

    Never skipped and never a dead letter: the partition stops until the program is upgraded.
    """

    reason = "unknown_kind"


class Poison(DashcellError):
    """An intact event of a known kind with contents that can never be applied."""

    reason = "poison"


@dataclass(frozen=True, slots=True)
class Gone:
    """What the posts table holds of a removed post.

    `created_version` is the version of the PostCreated row that it replaces, 0 where there was
    none; `notified` are the readers whom that post had notified.
    """

    created_version: int
    notified: tuple[int, ...] = ()


def seal(kind: int, payload: bytes) -> bytes:
    """The payload in an envelope."""
    head = _HEAD.pack(MAGIC, FORMAT_VERSION, kind, len(payload))
    return b"%b%b%b" % (head, _CHECKSUM.pack(crc32c(payload, crc32c(head))), payload)


def open_envelope(data: bytes) -> tuple[int, bytes]:
    """The kind and the payload. Raises Corrupt for damaged bytes, UnknownKind for a new version."""
    if len(data) < HEAD_BYTES or data[:2] != MAGIC:
        raise Corrupt(f"{len(data)} bytes without the head of an event: {data[:HEAD_BYTES].hex()}")
    _, version, kind, length = _HEAD.unpack_from(data)
    if len(data) != HEAD_BYTES + length or length > RECORD_BYTES_MAX:
        raise Corrupt(f"{len(data) - HEAD_BYTES} bytes of payload where the head says {length}")
    payload = data[HEAD_BYTES:]
    if crc32c(payload, crc32c(data[: _HEAD.size])) != _CHECKSUM.unpack_from(data, _HEAD.size)[0]:
        raise Corrupt(f"wrong checksum over a payload of {length} bytes, kind {kind}")
    if version != FORMAT_VERSION:
        raise UnknownKind(
            f"format version {version}, this program knows {FORMAT_VERSION}: "
            "upgrade cells before producers"
        )
    return kind, payload


def kind_in(data: bytes) -> int | None:
    """The kind's number by an envelope's head, which is the same in every version; None where there
    is no head."""
    return data[_KIND_AT] if len(data) >= HEAD_BYTES and data.startswith(MAGIC) else None


def encode(event: Event) -> bytes:
    """The event's bytes; its contents must have been validated (ValueError where one cannot be
    written at all).
    """
    kind, to_struct = _ENCODERS[type(event)]
    return seal(kind, binary_encode(to_struct(event)))


def decode(data: bytes) -> Event:
    """The event in `data`, all of it.

    Raises Corrupt for bytes that are not what was written, UnknownKind for an intact event of a
    kind or version yet unknown, Poison for contents of a known kind that make no sense.
    """
    kind, payload = open_envelope(data)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise UnknownKind(f"event of kind {kind} is unknown here: upgrade cells before producers")
    struct_type, to_event = decoder
    found = payload_struct(struct_type, payload)
    try:
        return to_event(found)
    except BadRequest as error:
        raise Poison(f"{struct_type.__name__}: {error}") from None
    except (TypeError, ValueError) as error:  # a field is missing, or an enum's number unknown
        raise Poison(f"{struct_type.__name__}: {error}") from None


def encode_gone(created_version: int, notified: Sequence[int]) -> bytes:
    """The posts table's value of a removed post."""
    value = _idl.Gone(created_version=created_version, notified=list(notified) or None)
    return seal(Kind.GONE, binary_encode(value))


def decode_stored(data: bytes) -> PostCreated | Gone:
    """The post in a value of the posts table, or what is left of it.

    Raises Corrupt also for an event that is none of a post's creation, and UnknownKind or Poison
    as `decode` does.
    """
    if not is_gone(data):
        event = decode(data)
        if not isinstance(event, PostCreated):
            raise Corrupt(f"a posts row holds a {type(event).__name__}")
        return event
    found = payload_struct(_idl.Gone, open_envelope(data)[1])
    if found.created_version is None or found.created_version < 0:
        raise Poison(f"Gone: created_version is {found.created_version}")
    return Gone(found.created_version, tuple(found.notified or ()))


def is_gone(data: bytes) -> bool:
    """Whether a value of the posts table is of a removed post, by its first bytes alone."""
    return data.startswith(GONE_PREFIX)


def payload_struct(struct_type: type[Any], payload: bytes) -> Any:
    """The struct in a payload whose checksum was right. Raises Poison where it holds none: so it
    was written, and reading it again cannot help.
    """
    try:
        return binary_decode(struct_type, payload)
    except Corrupt as error:
        raise Poison(str(error)) from None


def _created_struct(event: PostCreated) -> Any:
    draft = event.draft
    found = _idl.PostCreated(id=event.id, author=event.author, kind=int(draft.kind))
    # What is empty is left out: most posts carry little, and 50 GB of them arrive a day.
    found.title = draft.title or None
    found.body = draft.body or None
    found.tags = draft.tags or None
    found.mentions = draft.mentions or None
    found.reblog_of = _ref_struct(draft.reblog_of)
    found.reply_to = _ref_struct(draft.reply_to)
    found.at_ms = draft.at_ms
    found.brought = event.brought or None
    return found


def _ref_struct(ref: PostRef | None) -> Any:
    return None if ref is None else _idl.PostRef(author=ref.author, id=ref.id)


def _ref(found: Any) -> PostRef | None:
    return None if found is None else PostRef(found.author, found.id)


def _created(found: Any) -> PostCreated:
    draft = Draft(
        PostKind(found.kind),
        found.title or "",
        found.body or "",
        tuple(found.tags or ()),
        tuple(found.mentions or ()),
        _ref(found.reblog_of),
        _ref(found.reply_to),
        found.at_ms,
    )
    check_id("id", found.id)
    check_user("author", found.author)
    check_draft("draft", draft)
    return PostCreated(found.id, found.author, draft, bool(found.brought))


def _removed(found: Any) -> PostRemoved:
    check_id("id", found.id)
    check_user("author", found.author)
    check_id("post_id", found.post_id)
    return PostRemoved(found.id, found.author, found.post_id)


def _followed(found: Any) -> Followed:
    check_id("id", found.id)
    check_pair("", found.follower, found.author)
    check_backfill("backfill", found.backfill)
    return Followed(found.id, found.follower, found.author, found.backfill)


def _unfollowed(found: Any) -> Unfollowed:
    check_id("id", found.id)
    check_pair("", found.follower, found.author)
    return Unfollowed(found.id, found.follower, found.author)


def _liked(found: Any) -> Liked:
    _check_like(found)
    return Liked(found.id, found.actor, found.author, found.post_id)


def _unliked(found: Any) -> Unliked:
    _check_like(found)
    return Unliked(found.id, found.actor, found.author, found.post_id)


def _check_like(found: Any) -> None:
    check_id("id", found.id)
    check_user("actor", found.actor)
    check_user("author", found.author)
    check_id("post_id", found.post_id)


def _marked(found: Any) -> MarkedRead:
    check_id("id", found.id)
    check_user("reader", found.reader)
    check_id("event_id", found.event_id)
    return MarkedRead(found.id, found.reader, Lane(found.lane), found.event_id)


_ENCODERS: dict[type, tuple[Kind, Callable[[Any], Any]]] = {
    PostCreated: (Kind.POST_CREATED, _created_struct),
    PostRemoved: (
        Kind.POST_REMOVED,
        lambda e: _idl.PostRemoved(id=e.id, author=e.author, post_id=e.post_id),
    ),
    Followed: (
        Kind.FOLLOWED,
        lambda e: _idl.Followed(id=e.id, follower=e.follower, author=e.author, backfill=e.backfill),
    ),
    Unfollowed: (
        Kind.UNFOLLOWED,
        lambda e: _idl.Unfollowed(id=e.id, follower=e.follower, author=e.author),
    ),
    Liked: (
        Kind.LIKED,
        lambda e: _idl.Liked(id=e.id, actor=e.actor, author=e.author, post_id=e.post_id),
    ),
    Unliked: (
        Kind.UNLIKED,
        lambda e: _idl.Unliked(id=e.id, actor=e.actor, author=e.author, post_id=e.post_id),
    ),
    MarkedRead: (
        Kind.MARKED_READ,
        lambda e: _idl.MarkedRead(id=e.id, reader=e.reader, lane=int(e.lane), event_id=e.event_id),
    ),
}

_DECODERS: dict[int, tuple[type[Any], Callable[[Any], Event]]] = {
    Kind.POST_CREATED: (_idl.PostCreated, _created),
    Kind.POST_REMOVED: (_idl.PostRemoved, _removed),
    Kind.FOLLOWED: (_idl.Followed, _followed),
    Kind.UNFOLLOWED: (_idl.Unfollowed, _unfollowed),
    Kind.LIKED: (_idl.Liked, _liked),
    Kind.UNLIKED: (_idl.Unliked, _unliked),
    Kind.MARKED_READ: (_idl.MarkedRead, _marked),
}
