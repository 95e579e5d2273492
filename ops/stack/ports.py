"""Ports for the servers: chosen free, held until their server starts, and kept when it restarts."""

import random
import socket
from pathlib import Path

from ops.stack.errors import PortInUse, StackError

LOOPBACK = "127.0.0.1"
LOWEST = 15_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class PortReservation:
    """Distinct free ports on the loopback address, each held by a bound socket until released.

    They are taken from below the kernel's range for outgoing connections, so that no connection
    of anybody takes a server's port in the moment between its death and its restart.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._held: dict[int, socket.socket] = {}
        self._random = random.Random(seed)
        self._top = ephemeral_low()

    def take(self) -> int:
        """A free port, held until ``release``; raises StackError when there is none at all."""
        width = self._top - LOWEST
        start = self._random.randrange(width)
        for step in range(width):
            port = LOWEST + (start + step) % width
            if port in self._held:
                continue
            held = _bound(port, reuse=False)
            if held is not None:
                self._held[port] = held
                return port
        raise StackError(
            f"no port between {LOWEST} and {self._top} is free: stop some servers, or configure "
            "the addresses of servers that already run"
        )

    def release(self, port: int) -> None:
        """Let go of ``port``, because its server is about to bind it; unknown ports are ignored."""
        held = self._held.pop(port, None)
        if held is not None:
            held.close()

    def close(self) -> None:
        """Release every port that is still held."""
        for port in list(self._held):
            self.release(port)


def require_free(port: int, wanted_by: str, setting: str = "its port") -> None:
    """Raise PortInUse unless ``port`` of the loopback address can be listened on now.

    ``wanted_by`` is the server's name and ``setting`` what an operator would change.
    """
    held = _bound(port, reuse=True)
    if held is None:
        raise PortInUse(
            f"port {port}, wanted by {wanted_by}, is in use by another process: "
            f"stop that process or configure {setting} otherwise"
        )
    held.close()


def ephemeral_low() -> int:
    """The first port that the kernel gives to outgoing connections."""
    try:
        return max(int(EPHEMERAL.read_text().split()[0]), LOWEST + 1000)
    except (OSError, ValueError, IndexError):
        return 32_768


def _bound(port: int, *, reuse: bool) -> socket.socket | None:
    """A listening-capable socket on ``port``, or None where the port is taken.

    With ``reuse`` left-over connections of a dead server (TIME_WAIT) do not count as taken:
    the servers set SO_REUSEADDR themselves.
    """
    candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if reuse:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        candidate.bind((LOOPBACK, port))
        if reuse:
            candidate.listen(1)
    except OSError:
        candidate.close()
        return None
    return candidate
