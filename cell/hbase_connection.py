"""One connection to an HBase Thrift 2 gateway: a call at a time, each with a deadline.

Replies have no frame, so they are parsed as they arrive: strictly, with every length checked
before memory is given for it. After any failure but a declared refusal the connection must be
thrown away, because nobody knows where in the stream it stands.
"""

import select
import socket
import struct
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cell.hbase_bytes import SEQUENCE_ID, FixedShape, take_plain
from cell.tables import FixedRows, Row
from idgen.timed_socket import TimedSocket

REPLY_BYTES_MAX = 32 << 20
"""A larger reply is cut off; the caller asks for fewer rows."""

CONNECT_MS_MAX = 2_000
_BUFFER_BYTES = 1 << 18
_ELEMENTS_MAX = 100_000
_DEPTH_MAX = 16
_NAME_BYTES_MAX = 64

_REPLY, _EXCEPTION = 2, 3
_SIGNED = {3: struct.Struct(">b"), 6: struct.Struct(">h"), 8: struct.Struct(">i"),
           10: struct.Struct(">q"), 4: struct.Struct(">d")}  # fmt: skip

T = TypeVar("T")
Fields = dict[int, object]
Bytes = npt.NDArray[np.uint8]


class GatewayLost(Exception):
    """The connection failed: refused, cut, timed out, or the reply was no reply.

    `sent` tells whether the call may have reached the gateway; then it may have been done.
    """

    def __init__(self, why: str, *, sent: bool = True) -> None:
        super().__init__(why)
        self.sent = sent


class TooMuch(GatewayLost):
    """The reply is larger than REPLY_BYTES_MAX; fewer rows would fit."""


class Refused(Exception):
    """The gateway answered with an exception; the connection is in order."""

    def __init__(self, message: str, *, can_retry: bool) -> None:
        super().__init__(message)
        self.can_retry = can_retry


def split_address(address: str) -> tuple[str, int]:
    """("host", port) of "host:port" or "[v6]:port". Raises ValueError for anything else."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{address!r} is no host:port")
    return host.strip("[]"), int(port)


def remaining_s(deadline: float) -> float:
    """Seconds until `deadline` (time.monotonic); GatewayLost when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise GatewayLost("no answer in time")
    return left


def dial(address: str, deadline: float) -> socket.socket:
    """A connected socket. Raises GatewayLost, not sent."""
    try:
        wait_s = min(remaining_s(deadline), CONNECT_MS_MAX / 1000)
        sock = socket.create_connection(split_address(address), timeout=wait_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, GatewayLost) as error:
        raise GatewayLost(f"{address} cannot be connected to ({error})", sent=False) from error
    return sock


def readable(sock: socket.socket) -> bool:
    """Whether an idle socket has something to read: then the other side closed it, or babbles."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class Connection:
    """A Thrift 2 gateway connection, for one thread at a time."""

    def __init__(self, address: str, deadline: float) -> None:
        self.address = address
        self._sock = TimedSocket(dial(address, deadline))
        self._buffer = bytearray(_BUFFER_BYTES)

    def stale(self) -> bool:
        """Whether the gateway closed it while it was idle."""
        try:
            return not self._sock.is_open()
        except OSError:
            return True

    def call(
        self, method: str, request: bytes, success: Callable[["Reply"], T] | None, deadline: float
    ) -> T | None:
        """Send a call and read its answer; `success` reads the value of field 0.

        Returns None for a void method. Raises Refused, GatewayLost.
        """
        try:
            self._sock.send(request, remaining_s(deadline))
            reply = Reply(self._sock, self._buffer, deadline)
            result = reply.result(method, success)
        except TimeoutError as error:
            raise GatewayLost(f"{self.address} did not answer {method} in time") from error
        except OSError as error:
            raise GatewayLost(f"{self.address} broke off during {method} ({error})") from error
        except GatewayLost as error:
            raise type(error)(f"{self.address}, {method}: {error}") from error
        if len(self._buffer) > _BUFFER_BYTES:
            self._buffer = bytearray(_BUFFER_BYTES)
        return result

    def shut(self) -> None:
        """Break a call that another thread has under way; it then fails with GatewayLost."""
        try:
            self._sock.shut()
        except OSError:
            return  # not connected any more, which is what was wanted

    def close(self) -> None:
        """Let go of the socket."""
        self._sock.close()


class Reply:
    """The answer to one call, read from a socket as far as it is needed.

    Every read method raises GatewayLost when the bytes do not come, or are no such thing.
    """

    def __init__(self, sock: TimedSocket, buffer: bytearray, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._buffer = buffer
        self._at = 0
        self._end = 0
        self._budget = REPLY_BYTES_MAX
        self._kind = 0

    # -- bytes -----------------------------------------------------------------------------

    def _receive(self, into: memoryview) -> int:
        got = self._sock.receive_into(into, remaining_s(self._deadline))
        if not got:
            raise GatewayLost("closed in the middle of an answer")
        self._budget -= got
        if self._budget < 0:
            raise TooMuch(f"the answer is over {REPLY_BYTES_MAX} bytes")
        return got

    def _need(self, count: int) -> None:
        """Have `count` unread bytes in the buffer."""
        have = self._end - self._at
        if have >= count:
            return
        if count - have > self._budget:
            raise TooMuch(f"the answer is over {REPLY_BYTES_MAX} bytes")
        if self._at:
            self._buffer[:have] = self._buffer[self._at : self._end]
            self._at, self._end = 0, have
        if count > len(self._buffer):
            self._buffer.extend(bytes(max(count, 2 * len(self._buffer)) - len(self._buffer)))
        with memoryview(self._buffer) as view:
            while self._end < count:
                with view[self._end :] as rest:
                    self._end += self._receive(rest)

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        self._need(count)
        with memoryview(self._buffer) as view:
            taken = bytes(view[self._at : self._at + count])
        self._at += count
        return taken

    def u8(self) -> int:
        """The next byte."""
        self._need(1)
        self._at += 1
        return self._buffer[self._at - 1]

    def length(self) -> int:
        """A length or a count; a negative one is refused."""
        size = int.from_bytes(self.take(4))
        if size >= 1 << 31:
            raise GatewayLost("a negative length")
        return size

    # -- values ----------------------------------------------------------------------------

    def value(self, kind: int, depth: int = 0) -> object:
        """A value of a Thrift type; structs are dicts from field id to value."""
        if depth > _DEPTH_MAX:
            raise GatewayLost("nested too deeply")
        if kind == 11:
            return self.take(self.length())
        if kind == 2:
            return self.u8() != 0
        if kind in _SIGNED:
            form = _SIGNED[kind]
            return form.unpack(self.take(form.size))[0]
        if kind == 12:
            return self.fields(depth + 1)
        if kind in (14, 15):
            element = self.u8()
            return [self.value(element, depth + 1) for _ in range(self.count())]
        if kind == 13:
            key, element = self.u8(), self.u8()
            return [
                (self.value(key, depth + 1), self.value(element, depth + 1))
                for _ in range(self.count())
            ]
        raise GatewayLost(f"type {kind} does not exist")

    def count(self) -> int:
        """How many elements a container has."""
        size = self.length()
        if size > _ELEMENTS_MAX:
            raise GatewayLost(f"a container of {size} elements")
        return size

    def fields(self, depth: int = 0) -> Fields:
        """The fields of a struct, to its end."""
        found: Fields = {}
        while kind := self.u8():
            number = int.from_bytes(self.take(2))
            found[number] = self.value(kind, depth)
        return found

    # -- answers ---------------------------------------------------------------------------

    def result(self, method: str, success: Callable[["Reply"], T] | None) -> T | None:
        """The message as a whole: header, result struct, and nothing behind it."""
        version = int.from_bytes(self.take(4))
        size = self.length()
        if version not in (0x80010000 | _REPLY, 0x80010000 | _EXCEPTION) or size > _NAME_BYTES_MAX:
            raise GatewayLost("this is no Thrift answer; is it the address of a Thrift 2 gateway?")
        name, sequence = self.take(size), int.from_bytes(self.take(4))
        if version & 0xFF == _EXCEPTION:
            self._raise_application_exception()
        if name != method.encode() or sequence != SEQUENCE_ID:
            raise GatewayLost(f"the answer is one to {name!r}")
        result: T | None = None
        answered = success is None
        while kind := self.u8():
            number = int.from_bytes(self.take(2))
            if number:
                self._raise_declared(self.value(kind))
            elif success is None:
                self.value(kind)
            else:
                self._kind = kind
                result = success(self)
                answered = True
        if not answered:
            raise GatewayLost("the answer is empty")
        self._end_of_message()
        return result

    def _end_of_message(self) -> None:
        if self._at != self._end:
            raise GatewayLost("bytes behind the answer")

    def _raise_application_exception(self) -> None:
        fields = self.fields()
        self._end_of_message()
        # Thrift's own: an unknown method, or a bug or memory shortage within the gateway.
        raise Refused(_text(fields.get(1)) or "no reason given", can_retry=True)

    def _raise_declared(self, error: object) -> None:
        if not isinstance(error, dict) or self.u8():
            raise GatewayLost("an exception that is none")
        self._end_of_message()
        can_retry = error.get(2, True)
        raise Refused(_text(error.get(1)) or "no reason given", can_retry=can_retry is not False)

    def boolean(self) -> bool:
        """The answer of a method that returns bool."""
        self._expect(2)
        return self.u8() != 0

    def _expect(self, kind: int) -> None:
        if self._kind != kind:
            raise GatewayLost(f"the answer has type {self._kind} instead of {kind}")

    def _results_begin(self, asked: int) -> int:
        self._expect(15)
        element, count = self.u8(), self.length()
        if count > asked or (count and element != 12):
            raise GatewayLost(f"{count} results of type {element} where {asked} were asked for")
        return count

    def rows(self, asked: int) -> list[Row | None]:
        """A list of TResult of at most `asked`, in order; None for one without our column."""
        count = self._results_begin(asked)
        return self._rows_left(count)

    def fixed_rows(self, asked: int) -> FixedRows | list[Row | None]:
        """`rows`, as arrays where all have the widths of the first; else as a list."""
        count = self._results_begin(asked)
        if not count:
            return []
        first = self._row()
        rows: list[Row | None] = [first]
        if first is None:
            return rows + self._rows_left(count - 1)
        shape = FixedShape(len(first.key), len(first.value))
        block, matched = self._block(shape, count - 1)
        fixed = shape.rows(block[: matched * shape.stride])
        if matched == count - 1:
            return FixedRows(
                np.concatenate([_array(first.key), fixed.keys]),
                np.concatenate([np.array([first.version], dtype=np.uint64), fixed.versions]),
                np.concatenate([_array(first.value), fixed.values]),
            )
        take_plain(block[: matched * shape.stride].tobytes(), rows, matched)
        return rows + self._rows_left(count - 1 - matched)

    def _rows_left(self, count: int) -> list[Row | None]:
        rows: list[Row | None] = []
        while len(rows) < count:
            self._take_plain(rows, count - len(rows))
            if len(rows) < count:
                rows.append(self._row())
        return rows

    def _take_plain(self, rows: list[Row | None], count: int) -> None:
        with memoryview(self._buffer) as view:
            data = bytes(view[self._at : self._end])
        self._at += take_plain(data, rows, count)

    def _row(self) -> Row | None:
        """One TResult, whatever its fields and their order."""
        fields = self.fields(1)
        key, columns = fields.get(1), fields.get(2)
        if not isinstance(columns, list) or not isinstance(key, bytes | None):
            raise GatewayLost("a result without columns")
        for column in columns:
            if not isinstance(column, dict):
                raise GatewayLost("a column that is none")
            value, version = column.get(3), column.get(4)
            if column.get(1) == b"d" and column.get(2) == b"":
                if key is None or not isinstance(value, bytes) or not isinstance(version, int):
                    raise GatewayLost("a column without value or version")
                return Row(key, version, value)
        return None

    def _block(self, shape: FixedShape, count: int) -> tuple[Bytes, int]:
        """Bytes of up to `count` further results of one shape, and how many are there.

        Whatever does not fit the shape stays unread.
        """
        size = count * shape.stride
        have = min(self._end - self._at, size)
        if size - have > self._budget:
            raise TooMuch(f"the answer is over {REPLY_BYTES_MAX} bytes")
        block = np.empty(size, dtype=np.uint8)
        block[:have] = np.frombuffer(self._buffer, np.uint8, have, self._at)
        self._at += have
        checked = 0
        while True:
            matched = checked + shape.matching(block[checked * shape.stride : have])
            if matched * shape.stride < have:
                self._put_back(block[matched * shape.stride : have])
                return block, matched
            if have == size:
                return block, count
            checked = have // shape.stride
            have += self._receive(block[have:].data)

    def _put_back(self, rest: Bytes) -> None:
        """Make bytes unread again."""
        with memoryview(self._buffer) as view:
            unread = rest.tobytes() + bytes(view[self._at : self._end])
        self._buffer.extend(bytes(max(0, len(unread) - len(self._buffer))))
        self._buffer[: len(unread)] = unread
        self._at, self._end = 0, len(unread)


def _array(data: bytes) -> Bytes:
    return np.frombuffer(data, dtype=np.uint8).reshape(1, len(data))


def _text(message: object) -> str:
    """The first line of a Java exception's message; the stack trace below it helps nobody."""
    if not isinstance(message, bytes):
        return ""
    return message.decode(errors="replace").partition("\n")[0][:500]
