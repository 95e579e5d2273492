"""The envelope, and what decoding refuses as what."""

import struct

import pytest
from crc32c import crc32c

from firehose.codec import (
    GONE_PREFIX,
    HEAD_BYTES,
    Gone,
    Kind,
    Poison,
    UnknownKind,
    decode,
    decode_stored,
    encode,
    encode_gone,
    is_gone,
    seal,
)
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
from idgen.errors import Corrupt
from idgen.idl import binary_encode, load
from idgen.ids import MAX_ID, MAX_USER

IDL = load("event")
POST = PostCreated(77, 5, Draft(body="hello"))
FULL = PostCreated(
    MAX_ID,
    MAX_USER,
    Draft(
        PostKind.CHAT,
        "t\u00eftle \x00",
        "b\U0001f600dy",
        ("tag", "\u65e5\u672c"),
        (1, MAX_USER),
        PostRef(4, 8),
        PostRef(15, 16),
        1_341_100_972_000,
    ),
    brought=True,
)
EVENTS: list[Event] = [
    POST,
    FULL,
    PostRemoved(78, 5, 77),
    Followed(79, 6, 5, 0),
    Unfollowed(80, 6, 5),
    Liked(81, 6, 5, 77),
    Unliked(82, 6, 5, 77),
    MarkedRead(83, 6, Lane.NOTICES, 81),
]


def sealed(kind: int, name: str, /, **fields: object) -> bytes:
    return seal(kind, binary_encode(getattr(IDL, name)(**fields)))


def resealed(data: bytes, **head: int) -> bytes:
    """The same payload under another head, with the right checksum."""
    payload = data[HEAD_BYTES:]
    _, version, kind, length = struct.unpack_from(">2sBBI", data)
    new = struct.pack(
        ">2sBBI", data[:2], head.get("version", version), head.get("kind", kind), length
    )
    return new + struct.pack(">I", crc32c(payload, crc32c(new))) + payload


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_what_is_encoded_decodes_to_the_same(event: Event) -> None:
    assert decode(encode(event)) == event


def test_the_bytes_are_those_written_down_here() -> None:
    # Logs and tables outlive programs: when this changes, FORMAT_VERSION has to.
    payload = bytes.fromhex("0a0001000000000000004f0a000200000000000000060a0003000000000000000500")
    head = bytes.fromhex("dc0e010400000022")
    assert (
        encode(Unfollowed(79, 6, 5)) == head + struct.pack(">I", crc32c(head + payload)) + payload
    )


def test_one_event_has_one_encoding() -> None:
    # One version has one content: whoever writes a row again writes the same bytes.
    assert encode(decode(encode(FULL))) == encode(FULL)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_every_truncation_and_every_trailing_byte_is_corrupt(event: Event) -> None:
    data = encode(event)
    for cut in range(len(data)):
        with pytest.raises(Corrupt):
            decode(data[:cut])
    with pytest.raises(Corrupt):
        decode(data + b"\0")


def test_a_length_that_lies_is_corrupt_and_reserves_nothing() -> None:
    data = bytearray(encode(POST))
    data[4:8] = (2**31).to_bytes(4, "big")
    with pytest.raises(Corrupt):
        decode(bytes(data))


def test_wrong_magic_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        decode(b"\xdc\x0f" + encode(POST)[2:])


@pytest.mark.parametrize(
    "kind", [Kind.POST_EDITED, Kind.BLOCKED, Kind.UNBLOCKED, Kind.USER_ERASED, 99]
)
def test_an_unknown_kind_is_neither_corrupt_nor_poison(kind: int) -> None:
    with pytest.raises(UnknownKind, match="upgrade cells before producers"):
        decode(seal(kind, b"whatever it holds"))


def test_a_newer_version_is_unknown_and_a_damaged_version_byte_is_corrupt() -> None:
    with pytest.raises(UnknownKind, match="version 2"):
        decode(resealed(encode(POST), version=2))
    damaged = bytearray(encode(POST))
    damaged[2] = 2
    with pytest.raises(Corrupt):
        decode(bytes(damaged))


def test_fields_of_a_newer_program_are_ignored() -> None:
    payload = encode(Unfollowed(79, 6, 5))[HEAD_BYTES:-1] + bytes.fromhex("0a0063") + b"\1" * 8
    assert decode(seal(Kind.UNFOLLOWED, payload + b"\0")) == Unfollowed(79, 6, 5)


GOOD = {"id": 1, "author": 2, "kind": 1}


@pytest.mark.parametrize(
    ("kind", "name", "fields", "field"),
    [
        (Kind.POST_CREATED, "PostCreated", {**GOOD, "id": -1}, "id"),
        (Kind.POST_CREATED, "PostCreated", {**GOOD, "author": 0}, "author"),
        (Kind.POST_CREATED, "PostCreated", {**GOOD, "kind": 8}, "8"),
        (Kind.POST_CREATED, "PostCreated", {"id": 1, "author": 2}, "PostKind"),
        (Kind.POST_CREATED, "PostCreated", {**GOOD, "title": "x" * 1025}, "draft.title"),
        (Kind.POST_CREATED, "PostCreated", {**GOOD, "body": "\u00e9" * 32_769}, "draft.body"),
        (Kind.POST_CREATED, "PostCreated", {**GOOD, "tags": ["a"] * 31}, "draft.tags"),
        (Kind.POST_CREATED, "PostCreated", {**GOOD, "mentions": [-3]}, r"draft.mentions\[0\]"),
        (Kind.POST_CREATED, "PostCreated", {**GOOD, "at_ms": -1}, "draft.at_ms"),
        (
            Kind.POST_CREATED,
            "PostCreated",
            {**GOOD, "reply_to": IDL.PostRef(author=1)},
            "draft.reply_to.id",
        ),
        (Kind.POST_REMOVED, "PostRemoved", {"id": 1, "author": 2}, "post_id"),
        (Kind.FOLLOWED, "Followed", {"id": 1, "follower": 2, "author": 2}, "author"),
        (Kind.FOLLOWED, "Followed", {"id": 1, "follower": 2, "author": 3}, "backfill"),
        (Kind.UNFOLLOWED, "Unfollowed", {"id": 1, "follower": -2, "author": 3}, "follower"),
        (Kind.LIKED, "Liked", {"id": 1, "author": 3, "post_id": 4}, "actor"),
        (Kind.UNLIKED, "Unliked", {"id": 1, "actor": 3, "author": 3, "post_id": 0}, "post_id"),
        (Kind.MARKED_READ, "MarkedRead", {"id": 1, "reader": 3, "lane": 3, "event_id": 1}, "3"),
        (Kind.MARKED_READ, "MarkedRead", {"id": 1, "reader": 3, "lane": 1}, "event_id"),
    ],
)
def test_contents_that_make_no_sense_are_poison(
    kind: Kind, name: str, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(Poison, match=field):
        decode(sealed(kind, name, **fields))


def test_an_intact_envelope_around_no_struct_is_poison() -> None:
    with pytest.raises(Poison):
        decode(seal(Kind.FOLLOWED, b"\xff" * 20))
    # a string that is no UTF-8
    invalid = sealed(Kind.POST_CREATED, "PostCreated", **GOOD, body="~~")[HEAD_BYTES:]
    with pytest.raises(Poison):
        decode(seal(Kind.POST_CREATED, invalid.replace(b"~~", b"\xff\xfe")))


def test_a_gone_post_keeps_its_creation_version_and_whom_it_notified() -> None:
    for notified in ((), (3, 1, MAX_USER)):
        data = encode_gone(123, notified)
        assert decode_stored(data) == Gone(123, notified)
        assert data.startswith(GONE_PREFIX)
        assert is_gone(data)


def test_a_stored_post_is_its_events_own_bytes() -> None:
    assert decode_stored(encode(FULL)) == FULL
    assert not is_gone(encode(FULL))


def test_a_posts_row_with_anything_else_is_refused() -> None:
    with pytest.raises(Corrupt, match="Liked"):
        decode_stored(encode(Liked(81, 6, 5, 77)))
    with pytest.raises(Corrupt):
        decode_stored(b"")
    with pytest.raises(Corrupt):
        decode_stored(encode_gone(1, [2])[:-1])
    with pytest.raises(Poison):
        decode_stored(sealed(Kind.GONE, "Gone", created_version=-1))


def test_gone_is_no_event() -> None:
    with pytest.raises(UnknownKind):
        decode(encode_gone(1, []))
