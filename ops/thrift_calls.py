"""Calling a Thrift service of ours: pooled connections, a deadline on every call, typed errors."""

import contextlib
import itertools
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from thriftpy2.protocol.cybin import ProtocolError, TCyBinaryProtocol
from thriftpy2.thrift import TApplicationException, TDecodeException, TMessageType
from thriftpy2.transport.memory import TCyMemoryBuffer

from idgen.errors import BadRequest, DashcellError, DeadlineExceeded, Throttled, Unavailable
from idgen.idl import DEPTH_MAX
from idgen.timed_socket import TimedSocket
from ops.thrift_encoded import Encoded, result_in
from ops.thrift_errors import from_wire

REPLY_BYTES_MAX: Final = 64 * 1024 * 1024
"""A page of 100 reblogs with full bodies is 13 MB."""

REQUEST_BYTES_MAX: Final = 1024 * 1024
"""What servers take by default; beyond it they close the connection without a word."""

GRACE_S: Final = 0.25
"""Waited beyond the call's deadline, so that the server's own word about it arrives."""

CONNECT_S_MAX: Final = 1.0
_AVOIDED_S: Final = 1.0
_CHUNK: Final = 64 * 1024


class _Broken(Exception):
    """A connection that is of no more use; `sent`: the server may have seen the call."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Channel:
    """Calls of one service at any of several addresses (`host:port`). Safe to use from many
    threads; every call has a connection of its own while it lasts.

    An address that does not answer is avoided for a second while others do.
    """

    def __init__(
        self,
        service: Any,
        addresses: Sequence[str],
        *,
        tls: ssl.SSLContext | None = None,
        connections_max: int = 64,
        grace_s: float = GRACE_S,
    ) -> None:
        self._grace_s = grace_s
        self._service = service
        self._tls = tls
        self._places: list[_Place] = []
        self.point_at(addresses)
        self._turn = itertools.count()
        self._room = threading.BoundedSemaphore(connections_max)
        self._connections_max = connections_max
        self._closed = False

    def point_at(self, addresses: Sequence[str]) -> None:
        """Use these addresses from now on. Connections to those that stay are kept, and calls in
        flight end as they would have."""
        if not addresses:
            raise BadRequest("addresses", "name at least one host:port")
        known = {place.address: place for place in self._places}
        self._places = [
            known.pop(each) if each in known else _Place(each, self._tls) for each in addresses
        ]
        for place in known.values():
            place.close()

    def call(self, method: str, request: Any, deadline_ms: int, *, repeatable: bool) -> Any:
        """The answer's struct. `repeatable`: if the connection breaks after the call was sent, it
        is sent once more, on a fresh one.

        Raises the error that the server answers with; Unavailable when no address answers,
        DeadlineExceeded when the answer does not come in time, BadRequest for a value that does
        not fit its field.
        """
        reply = self._reply(method, request, deadline_ms, repeatable=repeatable)
        return decode_answer(self._service, method, reply)

    def relay(self, method: str, request: Any, deadline_ms: int, turn: int) -> Encoded:
        """The answer to a repeatable call, as it came; raises as `call` does.

        Calls of one `turn` go to the same address, as long as it answers.
        """
        reply = self._reply(method, request, deadline_ms, repeatable=True, turn=turn)
        result = result_in(reply, method)
        # Without a result it is an error, which decoding raises.
        return result or decode_answer(self._service, method, reply)

    def _reply(
        self,
        method: str,
        request: Any,
        deadline_ms: int,
        *,
        repeatable: bool,
        turn: int | None = None,
    ) -> bytes:
        if self._closed:
            raise Unavailable("this client is closed", retry_after_ms=0)
        body = encode_call(self._service, method, request)
        if len(body) > REQUEST_BYTES_MAX:
            raise BadRequest(
                "request",
                f"is of {len(body)} bytes, above {REQUEST_BYTES_MAX}: send less at once",
            )
        until = time.monotonic() + deadline_ms / 1000 + self._grace_s
        if not self._room.acquire(timeout=max(0.0, until - time.monotonic())):
            raise Throttled(f"{self._connections_max} calls of this client are in flight", 100)
        try:
            places = self._in_turn(next(self._turn) if turn is None else turn)
            return self._exchange(method, body, until, places, repeatable=repeatable)
        finally:
            self._room.release()

    def close(self) -> None:
        """Close all connections that are not in use; those that are, when their calls end."""
        self._closed = True
        for place in self._places:
            place.close()

    def _exchange(
        self,
        method: str,
        body: bytes,
        until: float,
        places: list["_Place"],
        *,
        repeatable: bool,
    ) -> bytes:
        failed: list[str] = []
        repeats = 1 if repeatable else 0
        while places:
            place = places.pop(0)
            try:
                return place.exchange(body, until, fresh=bool(failed))
            except TimeoutError:
                raise DeadlineExceeded(
                    f"{method}: {place.address} has not answered in time"
                    + ("" if repeatable else "; the write may or may not have been done")
                ) from None
            except _Broken as broken:
                place.avoid()
                failed.append(f"{place.address}: {broken}")
                if not broken.sent:
                    continue
                if not repeats:
                    break
                repeats -= 1
                places.append(place)
        unsure = "" if repeatable else " (a write that was sent may have been done)"
        raise Unavailable(f"{method}: no answer from {'; '.join(failed)}{unsure}")

    def _in_turn(self, turn: int) -> list["_Place"]:
        """All addresses, beginning with another for each turn; avoided ones last."""
        places = self._places
        start = turn % len(places)
        turned = places[start:] + places[:start]
        now = time.monotonic()
        return sorted(turned, key=lambda place: place.avoided_until > now)


class _Place:
    """One address and the idle connections to it."""

    def __init__(self, address: str, tls: ssl.SSLContext | None) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise BadRequest("addresses", f"{address!r} is not host:port")
        self.address = address
        self.avoided_until = 0.0
        self._host, self._port = host.strip("[]"), int(port)
        self._tls = tls
        self._idle: deque[TimedSocket] = deque()
        self._closed = False

    def avoid(self) -> None:
        """Others first for a while. Idle connections are kept: a server that takes no new ones
        still serves them, and those that it closed are known by that."""
        self.avoided_until = time.monotonic() + _AVOIDED_S

    def close(self) -> None:
        self._closed = True
        self._drop_idle()

    def exchange(self, body: bytes, until: float, *, fresh: bool) -> bytes:
        """Send a call and receive its answer. Raises TimeoutError and _Broken."""
        sock = None if fresh else self._from_idle()
        sock = sock or self._connect(until)
        try:
            reply = _exchange(sock, body, until)
        except BaseException:
            sock.close()
            raise
        self._idle.append(sock)
        if self._closed:
            self._drop_idle()
        return reply

    def _from_idle(self) -> TimedSocket | None:
        while True:
            try:
                sock = self._idle.pop()
            except IndexError:
                return None
            if sock.is_open():
                return sock
            sock.close()

    def _connect(self, until: float) -> TimedSocket:
        left_s = min(CONNECT_S_MAX, until - time.monotonic())
        if left_s <= 0:
            raise TimeoutError
        try:
            sock = socket.create_connection((self._host, self._port), left_s)
        except OSError as error:
            raise _Broken(str(error.strerror or error), sent=False) from None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_hostname=self._host)
        except OSError as error:
            sock.close()
            raise _Broken(f"TLS: {error}", sent=False) from None
        return TimedSocket(sock)

    def _drop_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()


def _exchange(sock: TimedSocket, body: bytes, until: float) -> bytes:
    try:
        sock.send(len(body).to_bytes(4) + body, _left(until))
        got = bytearray()
        size = 4
        known = False
        while len(got) < size or not known:
            chunk = sock.receive(_CHUNK, _left(until))
            if not chunk:
                raise _Broken("the connection was closed", sent=True)
            got += chunk
            if not known and len(got) >= 4:
                size, known = 4 + int.from_bytes(got[:4]), True
                if size > REPLY_BYTES_MAX:
                    raise _Broken(f"an answer of {size} bytes is none of ours", sent=True)
    except TimeoutError:
        raise
    except OSError as error:
        raise _Broken(str(error.strerror or error), sent=True) from None
    if len(got) != size:
        raise _Broken("more came than the answer", sent=True)
    return bytes(memoryview(got)[4:])


def _left(until: float) -> float:
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def encode_call(service: Any, method: str, request: Any) -> bytes:
    """A call as a message without its frame. Raises BadRequest for a value that does not fit."""
    transport = TCyMemoryBuffer()
    protocol = TCyBinaryProtocol(transport, max_depth=DEPTH_MAX)
    protocol.write_message_begin(method, TMessageType.CALL, 0)
    args = getattr(service, f"{method}_args")(request=request)
    try:
        protocol.write_struct(args)
    except TDecodeException as error:
        raise BadRequest(error.field, f"{error.value!r:.80} does not fit its type") from None
    except (UnicodeEncodeError, RecursionError) as error:
        raise BadRequest("request", f"cannot be written: {error}") from None
    written: bytes = transport.getvalue()
    return written


def decode_answer(service: Any, method: str, reply: bytes) -> Any:
    """The result in a reply. Raises the error in it, and Unavailable for what is no reply.

    Lengths are believed: this reads what our own servers say.
    """
    protocol = TCyBinaryProtocol(TCyMemoryBuffer(reply), max_depth=DEPTH_MAX)
    try:
        name, kind, _ = protocol.read_message_begin()
        if kind == TMessageType.EXCEPTION:
            failed = TApplicationException()
            protocol.read_struct(failed)
            raise _failed(method, failed)
        if name != method:
            raise Unavailable(f"{method}: the server answered {name!r} instead")
        result = getattr(service, f"{method}_result")()
        protocol.read_struct(result)
    except (ProtocolError, ValueError, TypeError, RecursionError) as error:
        raise Unavailable(f"{method}: the answer cannot be read: {error}") from None
    if result.success is not None:
        return result.success
    for number, spec in result.thrift_spec.items():
        thrown = getattr(result, spec[1])
        if number and thrown is not None:
            raise from_wire(thrown)
    raise Unavailable(f"{method}: the answer holds neither a result nor an error")


def _failed(method: str, failed: TApplicationException) -> DashcellError:
    if failed.type == TApplicationException.UNKNOWN_METHOD:
        return BadRequest("method", f"{method} is unknown to this server; it may be an older one")
    return DashcellError(f"{method} failed on the server: {failed.message}")
