"""A connected socket, each of whose receives and sends is bounded in time.

Without TLS the kernel keeps the time (SO_RCVTIMEO and SO_SNDTIMEO, see socket(7)). Python's own
time-outs cost a poll() before each call, and changing them gives up the interpreter's lock, for
which eight busy threads of a server then wait: a router relayed a fifth fewer pages with them.
"""

import socket
import ssl
import struct
import time
from typing import Final

_TIMEVAL: Final = struct.Struct("@ll")
_MICROSECONDS: Final = 1_000_000
_ESTABLISHED: Final = 1
"""TCP_ESTABLISHED in the first byte of struct tcp_info (tcp(7), tcp_states.h)."""


class TimedSocket:
    """Wraps a socket that is connected, and has shaken hands where it speaks TLS; used by one
    thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._within: dict[int, float] = {}
        if not self._tls:
            sock.settimeout(None)

    def receive(self, size: int, within_s: float) -> bytes:
        """Up to `size` bytes that have come; empty when the other side is done. Raises TimeoutError
        when nothing comes within `within_s`, OSError for a connection that broke."""
        self._limit(socket.SO_RCVTIMEO, within_s)
        try:
            return self._sock.recv(size)
        except BlockingIOError:
            raise TimeoutError from None

    def receive_into(self, into: memoryview, within_s: float) -> int:
        """`receive` into memory that is there; how much has come."""
        self._limit(socket.SO_RCVTIMEO, within_s)
        try:
            return self._sock.recv_into(into)
        except BlockingIOError:
            raise TimeoutError from None

    def send(self, data: bytes, within_s: float) -> None:
        """Send all of it. Raises TimeoutError when it is not all taken within `within_s` (twice
        that where it is taken in drops), OSError for a connection that broke."""
        self._limit(socket.SO_SNDTIMEO, within_s)
        if self._tls:
            self._sock.sendall(data)
            return
        deadline = time.monotonic() + within_s
        left = memoryview(data)
        try:
            while left := left[self._sock.send(left) :]:
                if time.monotonic() >= deadline:
                    raise TimeoutError
        except BlockingIOError:
            raise TimeoutError from None

    def is_open(self) -> bool:
        """Whether the other side has not closed it, while no call is under way on it."""
        state = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return state[0] == _ESTABLISHED

    def shut(self) -> None:
        """Break what another thread has under way on it. Raises OSError if it is not connected."""
        self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def _limit(self, option: int, within_s: float) -> None:
        if self._tls:
            self._sock.settimeout(within_s)
        elif self._within.get(option) != within_s:
            micros = max(1, int(within_s * _MICROSECONDS))
            timeval = _TIMEVAL.pack(*divmod(micros, _MICROSECONDS))
            self._sock.setsockopt(socket.SOL_SOCKET, option, timeval)
            self._within[option] = within_s
