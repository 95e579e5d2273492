"""One connection to a Thrift port: frames in, frames out, within bounds of bytes and time."""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from idgen.timed_socket import TimedSocket
from ops.template.frames import CallHeader, WireFault, check_call
from ops.template.gate import ByteBudget

_CHUNK: Final = 64 * 1024
_FREE_BYTES: Final = 64 * 1024
"""Frames up to this size are received without asking the budget: with a thousand connections
they take 64 MiB at most, and large frames of others cannot keep them waiting."""

Answer = Callable[[CallHeader, bytes], bytes]


@dataclass(frozen=True)
class WireLimits:
    """What one connection may take. `frame_s`: from a frame's first byte to its last; `idle_s`:
    between frames; `answer_s`: for the client to take an answer."""

    frame_bytes: int = 1024 * 1024
    frame_s: float = 10.0
    idle_s: float = 600.0
    answer_s: float = 10.0
    handshake_s: float = 5.0


class Idle(Exception):
    """Nothing came for so long that the connection is closed; no fault of anybody."""


class Connection:
    """Reads calls from a socket and writes their answers, in order, until either side ends it."""

    def __init__(self, sock: socket.socket, limits: WireLimits, budget: ByteBudget) -> None:
        self._sock = TimedSocket(sock)
        self._limits = limits
        self._budget = budget
        self._held = 0
        self._ahead = bytearray()
        """Received and not yet served: less than one chunk beyond the frame being served."""

    def serve(self, answer: Answer, going_on: Callable[[], bool]) -> None:
        """Serve calls while `going_on()`, until the client closes between two frames.

        Raises WireFault for what is no call, Idle after a long silence, OSError for a connection
        that broke.
        """
        try:
            while going_on():
                frame = self._read_frame()
                if frame is None:
                    return
                reply = answer(check_call(frame), frame)
                del frame
                self._give_back()
                self._write(reply)
        finally:
            self._give_back()

    def _give_back(self) -> None:
        if self._held:
            self._budget.give_back(self._held)
            self._held = 0

    def _read_frame(self) -> bytes | None:
        """The next frame's content; None when the client is done."""
        if not self._ahead:
            try:
                self._ahead += self._sock.receive(_CHUNK, self._limits.idle_s)
            except TimeoutError:
                raise Idle from None
            if not self._ahead:
                return None
        deadline = time.monotonic() + self._limits.frame_s
        if len(self._ahead) < 4:
            self._fill(4, deadline)
        size = int.from_bytes(self._ahead[:4])
        if size > self._limits.frame_bytes or size == 0:
            raise _bad_length(bytes(self._ahead[:4]), size, self._limits.frame_bytes)
        if len(self._ahead) < size + 4:
            self._receive(size + 4, deadline)
        frame = bytes(memoryview(self._ahead)[4 : size + 4])
        del self._ahead[: size + 4]
        return frame

    def _receive(self, size: int, deadline: float) -> None:
        if size > _FREE_BYTES:
            if not self._budget.take(size, self._limits.frame_s):
                raise WireFault("no_memory", "too many large calls at once")
            self._held = size
            deadline = time.monotonic() + self._limits.frame_s
        self._fill(size, deadline)

    def _fill(self, size: int, deadline: float) -> None:
        """Receive until `size` bytes are there: memory grows with what comes, not with what was
        announced."""
        while len(self._ahead) < size:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise _half_open(self._limits.frame_s)
            try:
                wanted = min(_CHUNK, max(size - len(self._ahead), 4096))
                got = self._sock.receive(wanted, left_s)
            except TimeoutError:
                raise _half_open(self._limits.frame_s) from None
            if not got:
                raise WireFault("truncated", "the connection ended within a frame")
            self._ahead += got

    def _write(self, reply: bytes) -> None:
        data = len(reply).to_bytes(4) + reply
        try:
            self._sock.send(data, self._limits.answer_s)
        except TimeoutError:
            raise WireFault("slow_reader", "the client does not take its answer") from None


def handshake(sock: socket.socket, tls: ssl.SSLContext | None, limits: WireLimits) -> socket.socket:
    """The socket to speak over: with TLS once both sides have shown what is asked of them.

    Raises WireFault("tls") for a client that cannot or does not in time.
    """
    if tls is None:
        return sock
    sock.settimeout(limits.handshake_s)
    try:
        return tls.wrap_socket(sock, server_side=True)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise WireFault("tls", f"no TLS connection came about: {error}") from None


def _half_open(frame_s: float) -> WireFault:
    return WireFault("half_open", f"a frame was begun and not finished within {frame_s:g} s")


def _bad_length(first: bytes, size: int, most: int) -> WireFault:
    """Why the first four bytes are no length of ours; other protocols are known by them."""
    if first[:2] == b"\x80\x01":
        return WireFault("wrong_protocol", "Thrift without frames; use the framed transport")
    if first[:2] == b"\x16\x03":
        return WireFault("wrong_protocol", "TLS on a port without TLS")
    if first[:1] == b"\x82":
        return WireFault("wrong_protocol", "Thrift's compact protocol; use the binary protocol")
    if first.isalpha() or first in (b"GET ", b"PUT "):
        return WireFault("wrong_protocol", f"text that begins with {first!r}")
    if size == 0:
        return WireFault("malformed", "an empty frame")
    return WireFault("oversized", f"a frame of {size} bytes; at most {most} are allowed")
