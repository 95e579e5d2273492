"""happybase over sockets of our own, for what is not hot: listing tables, and sweeping.

happybase's own sockets have a time-out per read and believe every length that they are told (a
hostile one costs gigabytes). These have a deadline for the whole use and a bound for what is read.
happybase has no TLS and no authentication: the gateways belong on loopback or behind a tunnel.
"""

import socket
from collections.abc import Callable, Iterable
from typing import TypeVar

import happybase
from Hbase_thrift import Hbase  # type: ignore[import-not-found]  # made by happybase
from Hbase_thrift import IOError as HBaseError
from thriftpy2.protocol.binary import TBinaryProtocol
from thriftpy2.thrift import TApplicationException, TClient, TDecodeException, TException
from thriftpy2.transport.buffered import TBufferedTransport

from cell.hbase_bytes import FAMILY
from cell.hbase_connection import (
    REPLY_BYTES_MAX,
    GatewayLost,
    Refused,
    dial,
    readable,
    remaining_s,
    split_address,
)

_COLUMN = FAMILY + b":"

T = TypeVar("T")


class _Socket:
    """What thriftpy2 calls a transport: a socket with a deadline and a budget of bytes."""

    def __init__(self, address: str, deadline: float) -> None:
        self._sock = dial(address, deadline)
        self.begin(deadline)

    def begin(self, deadline: float) -> None:
        self.deadline = deadline
        self._budget = REPLY_BYTES_MAX

    def is_open(self) -> bool:
        return self._sock.fileno() >= 0

    def open(self) -> None:
        """It is open from the beginning."""

    def close(self) -> None:
        self._sock.close()

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self._budget:
            raise GatewayLost(f"an answer of {size} bytes")
        self._sock.settimeout(remaining_s(self.deadline))
        got = self._sock.recv(min(size, 1 << 18))
        if not got:
            raise GatewayLost("closed in the middle of an answer")
        self._budget -= len(got)
        return got

    def write(self, data: bytes) -> None:
        self._sock.settimeout(remaining_s(self.deadline))
        self._sock.sendall(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def stale(self) -> bool:
        return readable(self._sock)

    def shut(self) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)


class Thrift1Connection(happybase.Connection):  # type: ignore[misc]
    """A happybase connection to one Thrift 1 gateway, for one thread at a time."""

    def __init__(self, address: str, deadline: float) -> None:
        self.address = address
        self._socket = _Socket(address, deadline)
        host, port = split_address(address)
        super().__init__(host, port)

    def _refresh_thrift_client(self) -> None:
        self.transport = TBufferedTransport(self._socket)
        # Python's protocol and not Cython's: it asks for bytes before it keeps them.
        self.client = TClient(Hbase, TBinaryProtocol(self.transport, decode_response=False))

    def tables_named(self, deadline: float) -> set[bytes]:
        """The full names of all tables. Raises Refused, GatewayLost."""
        return set(self._bounded(self.tables, deadline))

    def delete_up_to(
        self, table: bytes, keys: Iterable[bytes], version: int, deadline: float
    ) -> None:
        """Delete the versions <= `version` of rows. Raises Refused, GatewayLost."""

        def send() -> None:
            batch = self.table(table, use_prefix=False).batch(timestamp=version)
            for key in keys:
                batch.delete(key, [_COLUMN])
            batch.send()

        self._bounded(send, deadline)

    def _bounded(self, use: Callable[[], T], deadline: float) -> T:
        self._socket.begin(deadline)
        try:
            return use()
        except HBaseError as error:
            raise Refused(_first_line(error.message), can_retry=True) from error
        except TApplicationException as error:
            # Not str(error): an undecoded message makes that a TypeError.
            why = _first_line(error.message or "no reason is given")
            told = f"{self.address} has no such call ({why}): is it a Thrift 1 gateway?"
            raise Refused(told, can_retry=True) from error
        except (OSError, TException, TDecodeException, ValueError, TypeError) as error:
            # What a decoder raises depends on where the bytes were wrong.
            raise GatewayLost(f"{self.address}: {error}") from error

    def stale(self) -> bool:
        """Whether the gateway closed it while it was idle."""
        try:
            return self._socket.stale()
        except (OSError, ValueError):
            return True

    def shut(self) -> None:
        """Break a call that another thread has under way."""
        try:
            self._socket.shut()
        except OSError:
            return  # not connected any more, which is what was wanted


def _first_line(message: object) -> str:
    text = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    return text.partition("\n")[0][:500]
