"""Readers of `GET /v1/stream` in processes of their own, which count events and decode nothing.

A reader of Python objects would spend more on decoding than the server on all its streams. A
process holds many connections; it is told how many events are to come on each, and says when
(the monotonic clock is the machine's) the last connection had the last of them.
"""

import multiprocessing as mp
import resource
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple, Self

from idgen.errors import Corrupt, Unauthenticated, Unavailable
from ops.bench.processes import END_S_MAX

EVENT: Final = b'{"frame":"event",'
START: Final = b'{"frame":"start",'
END: Final = b'{"frame":"end",'
"""None of them can lie within a JSON string, where quotes have a backslash before them."""
HEAD_MAX: Final = 65_536
READ_BYTES: Final = 262_144
OPEN_S: Final = 120.0
SILENCE_S: Final = 60.0
_FILES: Final = 256


class Stream(NamedTuple):
    """What to ask for: `server` is "host:port", `query` without its question mark."""

    server: str
    token: str
    query: str


class Taken:
    """What came on one connection; marks are found wherever the bytes were cut."""

    def __init__(self) -> None:
        self.events = 0
        self.started = False
        self._head = b""
        self._rest = b""

    def feed(self, data: bytes) -> bool:
        """Count what is in these bytes; whether there is an end frame. Raises Unauthenticated,
        and Unavailable for any other answer than a stream."""
        if not self.started:
            self._head += data
            if START not in self._head:
                self._check_head()
                return False
            self.started, data, self._head = True, self._head, b""
        seen = self._rest + data
        self.events += seen.count(EVENT)
        # One byte short of the longest mark: no mark is seen twice, and none is missed.
        self._rest = seen[-(len(EVENT) - 1) :]
        return END in seen

    def _check_head(self) -> None:
        status = self._head[9:12]
        if status == b"401":
            raise Unauthenticated("the stream's server does not know the token")
        if (len(status) == 3 and status != b"200") or len(self._head) > HEAD_MAX:
            raise Unavailable(f"no stream but {self._head[:300]!r}")


def replay(stream: Stream, count: int) -> float:
    """Events a second of a stream that ends by itself, from its request to its last frame. Raises
    Corrupt when it had not so many."""
    began = time.perf_counter()
    taken = Taken()
    with opened(stream) as connection:
        while data := connection.recv(READ_BYTES):
            if taken.feed(data):
                break
    if taken.events != count:
        raise Corrupt(f"a stream had {taken.events} events where {count} are due")
    return count / (time.perf_counter() - began)


def opened(stream: Stream) -> socket.socket:
    """A connection on which the stream was asked for."""
    host, _, port = stream.server.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=SILENCE_S)
    lines = (
        f"GET /v1/stream?{stream.query} HTTP/1.1",
        f"Host: {stream.server}",
        f"Authorization: Bearer {stream.token}",
    )
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return connection


@dataclass(slots=True)
class _Child:
    process: Any
    pipe: "Connection[Any, Any]"


class Readers:
    """`processes` of them, with `count` streams in all; `with` closes them."""

    def __init__(self, stream: Stream, count: int, processes: int) -> None:
        """Returns when every stream has its first frame. Raises Unavailable."""
        context = mp.get_context("spawn")
        self._children: list[_Child] = []
        try:
            for number in range(processes):
                ours, theirs = context.Pipe()
                share = len(range(number, count, processes))
                args = (theirs, stream, share)
                process = context.Process(target=_hold, args=args, daemon=True)
                process.start()
                theirs.close()
                self._children.append(_Child(process, ours))
            self._heard(OPEN_S)
        except BaseException:
            self.close()
            raise

    def expect(self, events: int) -> None:
        """Tell that so many more will come on each stream; before they are appended."""
        for child in self._children:
            child.pipe.send(events)
        self._heard(SILENCE_S)

    def last_at(self) -> float:
        """When the last stream had all that was expected (`time.monotonic`). Raises Unavailable,
        also for a stream that has ended."""
        return max(self._heard(SILENCE_S))

    def check(self) -> None:
        """See that all streams are open. Raises Unavailable."""
        self.expect(0)
        self.last_at()

    def close(self) -> None:
        """Close all streams, and end the processes."""
        for child in self._children:
            child.pipe.close()
        for child in self._children:
            child.process.join(END_S_MAX)
            if child.process.is_alive():
                child.process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _heard(self, timeout_s: float) -> Sequence[float]:
        until = time.monotonic() + timeout_s
        found = []
        for child in self._children:
            if not child.pipe.poll(max(0.0, until - time.monotonic())):
                raise Unavailable(f"readers of streams said nothing for {timeout_s:.0f} s")
            try:
                said = child.pipe.recv()
            except EOFError:
                raise Unavailable("a process of readers died; its words are on stderr") from None
            if isinstance(said, str):
                raise Unavailable(f"a reader of a stream failed: {said}")
            found.append(said)
        return found


def _hold(pipe: "Connection[Any, Any]", stream: Stream, count: int) -> None:
    """A process of readers."""
    _allow_files(count)
    try:
        with selectors.DefaultSelector() as selector:
            streams = [Taken() for _ in range(count)]
            for taken in streams:
                selector.register(opened(stream), selectors.EVENT_READ, taken)
            while not all(taken.started for taken in streams):
                _turn(selector)
            pipe.send(time.monotonic())
            selector.register(pipe, selectors.EVENT_READ)
            _serve(pipe, selector, streams)
    except Exception as error:  # noqa: BLE001 - told to the parent, which raises
        pipe.send(f"{type(error).__name__}: {error}")


def _serve(
    pipe: "Connection[Any, Any]", selector: selectors.BaseSelector, streams: list[Taken]
) -> None:
    target = -1
    while True:
        if _turn(selector):
            try:
                more = pipe.recv()
            except EOFError:
                return
            target = max((taken.events for taken in streams), default=0) + more
            pipe.send(time.monotonic())
        if target >= 0 and all(taken.events >= target for taken in streams):
            if any(taken.events > target for taken in streams):
                raise Corrupt(f"a stream had more events than the {target} that are due")
            pipe.send(time.monotonic())
            target = -1


def _turn(selector: selectors.BaseSelector) -> bool:
    """Take what has come, for whoever has something; whether the parent spoke."""
    spoken = False
    for key, _ in selector.select(SILENCE_S):
        taken = key.data
        if taken is None:
            spoken = True
            continue
        connection: Any = key.fileobj
        data = connection.recv(READ_BYTES)
        if not data or taken.feed(data):
            raise Unavailable(f"a stream has ended: {data[-400:]!r}")
    return spoken


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
