"""What the clients of benches send and take for an answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from thriftpy2.protocol.cybin import TCyBinaryProtocol
from thriftpy2.thrift import TMessageType
from thriftpy2.transport.memory import TCyMemoryBuffer

from cell.dashboard import Entry, EntryKind, Page, PageQuery, PostView
from firehose.event import Draft, Lane, PostRef
from firehose.receipts import Receipt
from idgen.errors import BadRequest, Unavailable
from ops import thrift_values as values
from ops.bench.calls import (
    VARIANTS,
    BarePages,
    Framed,
    Pages,
    PostsSeen,
    check_page,
    kinds_of,
    page_frame,
)
from ops.thrift_errors import to_wire

AUTHOR = 5


def entry(post_id: int, body: str = "hello") -> Entry:
    post = PostView(PostRef(AUTHOR, post_id), 1, Draft(body=body))
    return Entry(post_id, Lane.POSTS, EntryKind.TEXT, AUTHOR, 1, False, b"c", post)


def reply(**fields: object) -> bytes:
    transport = TCyMemoryBuffer()
    protocol = TCyBinaryProtocol(transport)
    protocol.write_message_begin("page", TMessageType.REPLY, 0)
    protocol.write_struct(values.wire.Dashboard.page_result(**fields))
    return bytes(transport.getvalue())


def page_reply(*ids: int) -> bytes:
    page = Page(tuple(entry(i) for i in ids), b"n", b"p", False, b"t", "a", 1, 0)
    whole = values.page_frame_to_wire(page)
    whole.entries = values.entries_to_wire(page.entries).entries
    return reply(success=whole)


def error_reply() -> bytes:
    return reply(bad_request=to_wire(BadRequest("limit", "too many")))


@contextmanager
def server(answers: list[bytes], piece: int = 1 << 20) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each frame with the next of `answers`, in pieces; the frames that came."""
    came: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        for answer in answers:
            connection = at.pop() if at else listening.accept()[0]
            at.append(connection)
            size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL))
            came.append(connection.recv(size, socket.MSG_WAITALL))
            frame = len(answer).to_bytes(4) + answer
            for first in range(0, len(frame), piece):
                connection.sendall(frame[first : first + piece])
        for connection in at:
            connection.close()

    at: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", came
        thread.join(10)


@pytest.mark.parametrize("piece", [1, 3, 100_000])
def test_a_frame_is_read_whole_however_it_comes(piece: int):
    with server([b"x" * 2_000, b"", b"yz"], piece) as (address, came):
        connection = Framed(address)
        assert connection.exchange((3).to_bytes(4) + b"abc") == b"x" * 2_000
        assert connection.exchange((1).to_bytes(4) + b"d") == b""
        assert connection.exchange((1).to_bytes(4) + b"e") == b"yz"
    assert came == [b"abc", b"d", b"e"]


def test_a_connection_that_ends_within_an_answer_is_an_error():
    with server([b"x"]) as (address, _):
        connection = Framed(address)
        connection.exchange((1).to_bytes(4) + b"a")
        with pytest.raises(ConnectionError):
            connection.exchange((1).to_bytes(4) + b"b")


def test_a_page_is_asked_for_as_the_service_understands_it():
    frame = page_frame(PageQuery(77, limit=20))
    assert int.from_bytes(frame[:4]) == len(frame) - 4
    protocol = TCyBinaryProtocol(TCyMemoryBuffer(frame[4:]))
    assert protocol.read_message_begin()[:2] == ("page", TMessageType.CALL)
    arguments = values.wire.Dashboard.page_args()
    protocol.read_struct(arguments)
    assert (arguments.request.reader, arguments.request.limit) == (77, 20)


def test_a_page_that_is_not_full_is_an_error():
    check_page(page_reply(3, 2, 1), 3)
    with pytest.raises(Unavailable, match="3 whole posts of 4"):
        check_page(page_reply(3, 2, 1), 4)


def test_an_answer_that_is_an_error_is_raised_whatever_its_number():
    with server([page_reply(2, 1), error_reply()]) as (address, _):
        call = Pages(address, (100, 10), limit=2)()
        call(1)
        with pytest.raises(BadRequest, match="too many"):
            call(2)


def test_the_first_of_many_answers_is_looked_at_whole():
    with server([page_reply(1)]) as (address, _):
        call = Pages(address, (100, 10), limit=2)()
        with pytest.raises(Unavailable, match="1 whole posts of 2"):
            call(0)


def test_a_bare_page_has_as_many_entries_as_were_asked_for():
    head = b"\x80\x01\x00\x02\x00\x00\x00\x04page" + bytes(4)
    good = head + b"\x0f\x00\x00\x0c" + (2).to_bytes(4)
    short = head + b"\x0f\x00\x00\x0c" + (1).to_bytes(4)
    with server([good, short]) as (address, came):
        call = BarePages(address, (100, 1), limit=2)()
        call(0)
        with pytest.raises(Unavailable, match="no page of 2"):
            call(1)
    reader, before, limit = (100).to_bytes(8), bytes(8), (2).to_bytes(4)
    asked = reader + b"\x0a\x00\x02" + before + b"\x08\x00\x03" + limit + b"\x00"
    assert came[0].endswith(asked)


@contextmanager
def seen_by(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> Iterator[PostsSeen]:
    """A post published as number 3, and what its follower's page answers."""
    token = b"applied"
    receipt = Receipt(3, token)
    monkeypatch.setattr("ops.bench.calls.DashboardClient.publish", lambda *_: receipt)
    with server([answer]) as (address, came):
        yield PostsSeen(address, (AUTHOR,), (9,))
    asked = TCyBinaryProtocol(TCyMemoryBuffer(came[0]))
    asked.read_message_begin()
    arguments = values.wire.Dashboard.page_args()
    asked.read_struct(arguments)
    assert arguments.request.reader == 9
    assert arguments.request.at_least == [token]


def test_a_post_is_seen_on_the_page_that_its_token_asks_for(monkeypatch: pytest.MonkeyPatch):
    with seen_by(monkeypatch, page_reply(3, 2)) as seen:
        seen()(0)


def test_a_post_that_is_applied_and_not_on_the_page_is_an_error(monkeypatch: pytest.MonkeyPatch):
    with (
        seen_by(monkeypatch, page_reply(2, 1)) as seen,
        pytest.raises(Unavailable, match="post 3 is applied and not on the page"),
    ):
        seen()(0)


def test_pages_that_are_not_kept_are_asked_for_in_another_way_each_time():
    ways = [page_frame(PageQuery(9, kinds=kinds_of(turn))) for turn in range(VARIANTS)]
    assert len(set(ways)) == VARIANTS
    assert all(EntryKind.TEXT in kinds_of(turn) for turn in range(VARIANTS))
