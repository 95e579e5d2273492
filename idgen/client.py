"""Where ids come from, as a port, and the client of the service IdGen that satisfies it.

`Snowflake` is the library form of the port: a process with a lease of its own needs no server.

Ids are not fetched ahead of their use. A call takes a tenth of a millisecond on one machine, an
append to the log takes two; and an id kept for later would be older than the post that it answers.
"""

import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from thriftpy2.protocol.cybin import ProtocolError
from thriftpy2.thrift import TApplicationException, TClient
from thriftpy2.transport import TSocket, TSSLSocket, TTransportException

from idgen.errors import BadRequest, DashcellError, DeadlineExceeded, Throttled, Unavailable
from idgen.idl import framed_pair, load
from idgen.snowflake import SnowflakeStatus

CONNECTIONS_MAX = 16
IDLE_S_MAX = 2.0
"""A connection idle for longer may have been closed by the server: a new one is opened."""

_BROKEN = (TTransportException, OSError, ProtocolError, EOFError)


class Ids(Protocol):
    """Gives ids of events."""

    def next_ids(self, n: int) -> list[int]:
        """`n` new ids (1 to 10,000), increasing. Raises BadRequest(n) and Unavailable."""
        ...


class _Connection(NamedTuple):
    address: str
    socket: Any
    client: Any
    idle_since: float


class IdGenClient:
    """Ids from any of several servers `host:port`; safe to use from many threads.

    A call that fails is repeated at the next address until `timeout_ms` have passed: at worst some
    ids are never used. The address that answered last is asked first. Close it in the end.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        timeout_ms: int = 1_000,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not addresses:
            raise BadRequest("addresses", "name at least one host:port")
        self._addresses = [_checked(address) for address in addresses]
        self._timeout_ms = timeout_ms
        self._tls = tls
        self._idl = load("idgen")
        self._lock = threading.Lock()
        self._idle: deque[_Connection] = deque()
        self._first = 0
        self._closed = False

    def next_ids(self, n: int) -> list[int]:
        """See `Ids.next_ids`. Raises also DeadlineExceeded."""
        found: list[int] = self._call("next_ids", lambda context: self._many(n, context))
        return found

    def next_id(self, after: int = 0) -> int:
        """One id above `after`. Raises BadRequest(after), Unavailable and DeadlineExceeded."""
        found: int = self._call("next_id", lambda context: self._one(after, context))
        return found

    def status(self) -> SnowflakeStatus:
        """How the server is that answers first; give the client one address to ask a certain one.

        Raises Unavailable and DeadlineExceeded.
        """
        found = self._call("status", lambda context: self._idl.IdGenStatusRequest(context=context))
        told = {name: getattr(found, name) for name in SnowflakeStatus._fields}
        # Servers of v0.1.0 do not tell their clocks.
        return SnowflakeStatus(**told)._replace(
            clock_ms=found.clock_ms or 0, clock_peers=found.clock_peers or 0
        )

    def _many(self, n: int, context: Any) -> Any:
        return self._idl.NextIdsRequest(n=n, context=context)

    def _one(self, after: int, context: Any) -> Any:
        return self._idl.NextIdRequest(after=after, context=context)

    def close(self) -> None:
        """Close the idle connections. Idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = list(self._idle), deque()
        for connection in idle:
            connection.socket.close()

    # -- calls -------------------------------------------------------------------------------

    def _call(self, verb: str, request: Any) -> Any:
        deadline = time.monotonic() + self._timeout_ms / 1000
        error: DashcellError = Unavailable("no idgen server was asked")
        tries = len(self._addresses) + 1
        for attempt in range(tries):
            left_ms = int((deadline - time.monotonic()) * 1000)
            if left_ms <= 0:
                raise DeadlineExceeded(f"{verb}: no ids in {self._timeout_ms} ms") from error
            # The last try goes to the address of the first: its pooled connection may have died.
            address = self._addresses[(self._first + attempt) % len(self._addresses)]
            try:
                # One server that hangs leaves time for the others.
                return self._ask(address, verb, request, max(1, left_ms // (tries - attempt)))
            except (Unavailable, Throttled) as away:
                error = away
        raise error

    def _ask(self, address: str, verb: str, request: Any, left_ms: int) -> Any:
        try:
            connection = self._take(address, left_ms)
            connection.socket.set_timeout(left_ms)
        except (*_BROKEN, ValueError) as error:
            raise Unavailable(f"idgen at {address} cannot be reached: {error}") from error
        try:
            context = self._idl.context.Context(deadline_ms=left_ms)
            answer = getattr(connection.client, verb)(request(context))
        except _BROKEN as error:
            connection.socket.close()
            raise Unavailable(f"idgen at {address} did not answer: {error}") from error
        except TApplicationException as error:
            connection.socket.close()
            raise Unavailable(f"idgen at {address} refused {verb}: {error}") from error
        except Exception as error:
            # An error of ours leaves the connection whole; any other leaves it unusable.
            known = _ours(self._idl, error)
            if known is None:
                connection.socket.close()
                raise
            self._give_back(connection)
            raise known from error
        self._give_back(connection)
        return answer

    def _take(self, address: str, timeout_ms: int) -> _Connection:
        with self._lock:
            if self._closed:
                raise Unavailable("the idgen client is closed")
            fresh_since = time.monotonic() - IDLE_S_MAX
            stale = [one for one in self._idle if one.idle_since < fresh_since]
            for one in stale:
                self._idle.remove(one)
            found = next((one for one in reversed(self._idle) if one.address == address), None)
            if found is not None:
                self._idle.remove(found)
        for one in stale:
            one.socket.close()
        return found or self._open(address, timeout_ms)

    def _open(self, address: str, timeout_ms: int) -> _Connection:
        host, _, port = address.rpartition(":")
        if self._tls is None:
            sock = TSocket(host, int(port), socket_timeout=timeout_ms)
        else:
            sock = TSSLSocket(host, int(port), socket_timeout=timeout_ms, ssl_context=self._tls)
        transports, protocols = framed_pair()
        transport = transports.get_transport(sock)
        transport.open()
        client = TClient(self._idl.IdGen, protocols.get_protocol(transport))
        return _Connection(address, sock, client, 0.0)

    def _give_back(self, connection: _Connection) -> None:
        with self._lock:
            self._first = self._addresses.index(connection.address)
            keep = not self._closed and len(self._idle) < CONNECTIONS_MAX
            if keep:
                self._idle.append(connection._replace(idle_since=time.monotonic()))
        if not keep:
            connection.socket.close()


def _checked(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
        raise BadRequest("addresses", f"{address!r} is not like host:port")
    return address


def _ours(idl: Any, error: Any) -> DashcellError | None:
    """The error that a declared exception of the service stands for."""
    match error:
        case idl.errors.BadRequest():
            return BadRequest(error.field, error.why)
        case idl.errors.Unavailable():
            return Unavailable(error.message, error.retry_after_ms)
        case idl.errors.Throttled():
            return Throttled(error.message, error.retry_after_ms)
        case idl.errors.DeadlineExceeded():
            return DeadlineExceeded(error.message)
        case _:
            return None
