"""What the walk over a frame lets pass decodes; what it refuses costs nothing."""

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thriftpy2.protocol.compact import TCompactProtocol
from thriftpy2.protocol.cybin import TCyBinaryProtocol
from thriftpy2.thrift import TMessageType
from thriftpy2.transport.memory import TCyMemoryBuffer, TMemoryBuffer

from cell.dashboard import NewPost, PageQuery
from firehose.event import Draft, PostRef
from ops import thrift_values as values
from ops.template import frames
from ops.template.frames import WireFault, check_call
from ops.thrift_calls import encode_call

CONTEXT = values.wire.Context(1000, "abc")
PAGE = encode_call(
    values.wire.Dashboard,
    "page",
    values.query_to_wire(PageQuery(1, before=b"b" * 24, at_least=(b"t" * 30,)), CONTEXT),
)
DRAFT = Draft(
    title="t", body="b", tags=("x", "y"), mentions=(1, 2), reblog_of=PostRef(1, 2), at_ms=3
)
PUBLISH = encode_call(
    values.wire.Dashboard,
    "publish_many",
    values.wire.PublishManyRequest([values.new_post_to_wire(NewPost(1, DRAFT, 5))] * 3, CONTEXT),
)
HEAD = b"\x80\x01\x00\x01" + struct.pack(">I", 4) + b"page" + struct.pack(">i", 7)
"""A call's header; what follows are its arguments."""


def field(kind: int, content: bytes) -> bytes:
    return struct.pack(">bh", kind, 1) + content


def refused(frame: bytes) -> str:
    with pytest.raises(WireFault) as caught:
        check_call(frame)
    return caught.value.kind


@pytest.mark.parametrize("frame", [PAGE, PUBLISH])
def test_calls_of_our_client_pass(frame):
    assert check_call(frame).method in ("page", "publish_many")


def test_the_header_is_the_method_and_the_number_of_the_call():
    assert check_call(HEAD + b"\x00") == ("page", 7)


@pytest.mark.parametrize("frame", [PAGE, PUBLISH])
def test_a_call_cut_anywhere_is_refused(frame):
    for size in range(len(frame)):
        assert refused(frame[:size]) in ("wrong_protocol", "truncated", "malformed")


@pytest.mark.parametrize("frame", [PAGE, PUBLISH])
def test_bytes_behind_a_call_are_refused(frame):
    assert refused(frame + b"\x00") == "malformed"


def test_each_message_type_but_a_call_is_refused():
    for kind in (0, 2, 3, 4, 255):
        assert refused(PAGE[:3] + bytes((kind,)) + PAGE[4:]) == "malformed"


def test_a_long_method_name_and_one_that_is_no_utf8_are_refused():
    head = b"\x80\x01\x00\x01" + struct.pack(">I", 65) + b"p" * 65 + b"\x00" * 5
    assert refused(head) == "malformed"
    assert refused(HEAD.replace(b"page", b"p\xffge") + b"\x00") == "malformed"


@pytest.mark.parametrize("kind", [1, 5, 7, 9, 16, 17, 18, 127, 255])
def test_type_ids_that_do_not_exist_are_refused(kind):
    assert refused(HEAD + struct.pack(">Bh", kind, 1) + b"\x00" * 40) == "malformed"
    listed = struct.pack(">BI", kind, 1) + b"\x00" * 40
    assert refused(HEAD + field(15, listed) + b"\x00") == "malformed"


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 1_000_000, 3])
def test_a_string_longer_than_its_frame_is_refused(length):
    assert refused(HEAD + field(11, struct.pack(">I", length) + b"\x00")) == "malformed"


@pytest.mark.parametrize("element", [2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15])
def test_a_container_larger_than_its_frame_is_refused(element):
    for kind in (14, 15):
        hostile = struct.pack(">BI", element, 0x7FFFFFFF)
        assert refused(HEAD + field(kind, hostile) + b"\x00" * 9) == "malformed"
    hostile = struct.pack(">BBI", element, element, 0x7FFFFFFF)
    assert refused(HEAD + field(13, hostile) + b"\x00" * 9) == "malformed"


def test_structs_and_containers_nest_to_the_limit_and_not_deeper():
    def structs(depth: int) -> bytes:
        # The arguments are the outermost struct.
        return HEAD + field(12, b"") * (depth - 1) + b"\x00" * depth

    def lists(depth: int) -> bytes:
        return HEAD + field(15, b"\x0f\x00\x00\x00\x01" * (depth - 2)) + b"\x03\0\0\0\0\0"

    assert check_call(structs(64))
    assert check_call(lists(64))
    assert refused(structs(65)) == "too_deep"
    assert refused(lists(66)) == "too_deep"


def test_a_hundred_thousand_levels_do_not_exhaust_the_stack():
    assert refused(HEAD + field(12, b"") * 100_000) == "too_deep"
    assert refused(HEAD + field(15, b"\x0f\x00\x00\x00\x01" * 200_000)) == "too_deep"


def test_very_many_small_values_are_refused():
    empty_structs = struct.pack(">BI", 12, 10_001) + b"\x00" * 10_001
    assert refused(HEAD + field(15, empty_structs) + b"\x00") == "too_many_values"
    assert refused(HEAD + field(2, b"\x01") * 160_000 + b"\x00") == "too_many_values"
    numbers = struct.pack(">BI", 3, 160_000) + b"\x00" * 160_000
    assert refused(HEAD + field(15, numbers) + b"\x00") == "too_many_values"


def test_the_largest_honest_batch_passes():
    draft = Draft(
        body="b", tags=("tag",) * 30, mentions=tuple(range(1, 51)), reply_to=PostRef(1, 2)
    )
    posts = [values.new_post_to_wire(NewPost(1, draft, 5))] * 1000
    request = values.wire.PublishManyRequest(posts, CONTEXT)
    frame = encode_call(values.wire.Dashboard, "publish_many", request)
    assert len(frame) < 1024 * 1024
    assert check_call(frame).method == "publish_many"


def test_the_walk_allocates_next_to_nothing_for_a_hostile_megabyte():
    frame = HEAD + field(12, b"") * 50 + b"\x00" * 1_000_000
    tracemalloc.start()
    refused(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000


def test_other_protocols_are_known_as_such():
    transport = TMemoryBuffer()
    compact = TCompactProtocol(transport)
    compact.write_message_begin("page", TMessageType.CALL, 1)
    assert refused(transport.getvalue()) == "wrong_protocol"
    assert refused(b"GET / HTTP/1.1\r\n\r\n") == "wrong_protocol"
    # The binary protocol as it was before its version was sent: the name comes first.
    assert refused(struct.pack(">I", 4) + b"page\x01" + b"\x00" * 5) == "wrong_protocol"


@settings(max_examples=2000, deadline=None)
@given(st.data())
def test_whatever_comes_is_refused_as_a_fault_or_can_be_decoded(data):
    frame = bytearray(data.draw(st.sampled_from([PAGE, PUBLISH])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at] = data.draw(st.integers(0, 255))
    try:
        header = check_call(bytes(frame))
    except WireFault:
        return
    assert len(header.method) <= frames.NAME_BYTES_MAX
    if header.method not in ("page", "publish_many"):
        return
    _, protocol = _protocol(bytes(frame))
    protocol.read_message_begin()
    args = getattr(values.wire.Dashboard, f"{header.method}_args")()
    protocol.read_struct(args)
    assert protocol.trans.getvalue() == b""


def _protocol(frame: bytes):
    transport = TCyMemoryBuffer(frame)
    return transport, TCyBinaryProtocol(transport)
