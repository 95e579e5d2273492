"""What clients ask, made picklable: a page through a router, and a post until it can be seen.

Pages are asked for with bytes made beforehand and their answers are looked at as bytes: a client of
Python objects would spend on decoding more than the servers on answering, on their own two cores.
One answer in `CHECK_EVERY` is decoded whole and compared with what was asked for.
"""

import socket
from dataclasses import dataclass

from cell.dashboard import Context, EntryKind, PageQuery
from firehose.event import Draft, PostKind
from idgen.errors import Unavailable
from ops import thrift_values as values
from ops.bench.load import zipf_order
from ops.bench.open_loop import Call
from ops.dashboard_client import DashboardClient
from ops.thrift_calls import decode_answer, encode_call

CHECK_EVERY = 100
ORDER = 100_000
"""So many readers are drawn; then it begins again."""
DEADLINE_MS = 30_000
_ANSWER = b"\x80\x01\x00\x02\x00\x00\x00\x04page\x00\x00\x00\x00\x0c\x00\x00"
"""How a reply with a result begins: strict, a reply, its name, our sequence id, field 0."""

_BARE_ANSWER = b"\x80\x01\x00\x02\x00\x00\x00\x04page\x00\x00\x00\x00\x0f\x00\x00\x0c"


class Framed:
    """One framed Thrift connection, used by one thread."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=DEADLINE_MS / 1000)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, frame: bytes) -> bytes:
        """Send a frame and read the answer's, without its length."""
        self._socket.sendall(frame)
        got = self._socket.recv(1 << 18)
        if not got:
            raise ConnectionError("the server closed the connection")
        while len(got) < 4:
            got += self._more()
        size = int.from_bytes(got[:4]) + 4
        if len(got) == size:
            return got[4:]
        parts = [got]
        left = size - len(got)
        while left > 0:
            parts.append(self._more())
            left -= len(parts[-1])
        return b"".join(parts)[4:]

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 18)
        if not more:
            raise ConnectionError("the server closed the connection within an answer")
        return more


def page_frame(query: PageQuery) -> bytes:
    """A call of `page` with its frame's length."""
    context = values.wire.Context(deadline_ms=DEADLINE_MS)
    body = encode_call(values.wire.Dashboard, "page", values.query_to_wire(query, context))
    return len(body).to_bytes(4) + body


_OTHER_KINDS = tuple(EntryKind(kind) for kind in PostKind if kind is not PostKind.TEXT)
VARIANTS = 1 << len(_OTHER_KINDS)


def kinds_of(number: int) -> frozenset[EntryKind]:
    """Kinds of posts to ask for, that of the bench's own among them; others for the next number.

    A dashboard keeps a reader's page by what it was asked with, so what is asked with these in turn
    is read from the tables, and is the same page.
    """
    others = (kind for place, kind in enumerate(_OTHER_KINDS) if number >> place & 1)
    return frozenset((EntryKind.TEXT, *others))


def _drawn(readers: tuple[int, int], seed: int) -> list[int]:
    """ORDER of these readers, the first more often than the last."""
    first, count = readers
    return [first + place for place in zipf_order(count, ORDER, seed).tolist()]


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages of readers, the popular ones more often (Zipf), each full of whole posts.

    `readers` are (first, how many) of consecutive users. `kept` False: of pages that a dashboard
    has not kept.
    """

    address: str
    readers: tuple[int, int]
    limit: int = 20
    seed: int = 1
    kept: bool = True

    def answer(self) -> bytes:
        """The message that answers the first of them."""
        return Framed(self.address).exchange(
            page_frame(PageQuery(self.readers[0], limit=self.limit))
        )

    def __call__(self) -> Call:
        """A connection of its own."""
        readers = _drawn(self.readers, self.seed)
        connection = Framed(self.address)
        frames: dict[tuple[int, int], bytes] = {}

        def call(number: int) -> None:
            reader = readers[number % ORDER]
            turn = 0 if self.kept else number % VARIANTS
            frame = frames.get((reader, turn))
            if frame is None:
                query = PageQuery(reader, limit=self.limit, kinds=kinds_of(turn))
                frame = frames[reader, turn] = page_frame(query)
            reply = connection.exchange(frame)
            if number % CHECK_EVERY == 0 or not reply.startswith(_ANSWER):
                check_page(reply, self.limit)

        return call


@dataclass(frozen=True, slots=True)
class BarePages:
    """The same of a bare page server (ops/bench/peers/bare_pages.thrift)."""

    address: str
    readers: tuple[int, int]
    limit: int = 20
    seed: int = 1

    def __call__(self) -> Call:
        """A connection of its own."""
        readers = _drawn(self.readers, self.seed)
        connection = Framed(self.address)
        whole = _BARE_ANSWER + self.limit.to_bytes(4)

        def call(number: int) -> None:
            reader = readers[number % ORDER]
            reply = connection.exchange(_bare_frame(reader, self.limit))
            if not reply.startswith(whole):
                raise Unavailable(f"no page of {self.limit} entries but {reply[:80]!r}")

        return call


def _bare_frame(reader: int, limit: int) -> bytes:
    """page(1: i64 reader, 2: i64 before = 0, 3: i32 limit)."""
    body = b"".join(
        (
            b"\x80\x01\x00\x01\x00\x00\x00\x04page\x00\x00\x00\x00",
            b"\x0a\x00\x01", reader.to_bytes(8),
            b"\x0a\x00\x02", bytes(8),
            b"\x08\x00\x03", limit.to_bytes(4), b"\x00",
        )
    )  # fmt: skip
    return len(body).to_bytes(4) + body


def check_page(reply: bytes, limit: int) -> None:
    """Raises what the reply holds, and Unavailable for a page that is not full of whole posts."""
    answer = decode_answer(values.wire.Dashboard, "page", reply)
    page = values.page_from_wire(answer)
    whole = sum(e.post is not None and e.post.draft is not None for e in page.entries)
    if whole != limit:
        raise Unavailable(f"a page has {whole} whole posts of {limit}")


@dataclass(frozen=True, slots=True)
class PostsSeen:
    """Posts through the router, each until the follower whose row lies last sees it on a page.

    That page is asked for with the receipt's token, so it is answered when the post is applied. A
    client that asks over and over instead takes the processors from what it waits for: sixteen of
    them made a worker's writes five times as slow. `authors` and their `readers` take turns.
    """

    address: str
    authors: tuple[int, ...]
    readers: tuple[int, ...]

    def __call__(self) -> Call:
        """A connection for the posts, and one for the pages."""
        client = DashboardClient([self.address])
        pages = Framed(self.address)
        context = Context(DEADLINE_MS)
        body = "a post of average length, " * 8

        def call(number: int) -> None:
            turn = number % len(self.authors)
            receipt = client.publish(context, self.authors[turn], Draft(body=body), None)
            query = PageQuery(self.readers[turn], limit=5, at_least=(receipt.token,))
            answer = decode_answer(values.wire.Dashboard, "page", pages.exchange(page_frame(query)))
            if all(entry.id != receipt.id for entry in values.page_from_wire(answer).entries):
                raise Unavailable(f"post {receipt.id} is applied and not on the page of its reader")

        return call
