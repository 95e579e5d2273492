"""A Thrift server on plain sockets: a thread per connection, all of it bounded.

Speaks the framed transport and the strict binary protocol, on top of TLS if it is given a
context. Calls that come one after the other on a connection are answered in that order.
"""

import contextlib
import logging
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Final, Self

from idgen.errors import Unavailable
from ops.metrics import Metrics
from ops.template.connection import Connection, Idle, WireLimits, handshake
from ops.template.frames import WireFault
from ops.template.gate import ByteBudget, Gate
from ops.template.service import Calls, ThriftService

_log = logging.getLogger("dashcell.server")

_BACKLOG: Final = 1024
_LOGGED_FAULTS_PER_S: Final = 20
"""Faults logged per second; the rest is only counted, so that an attack does not fill a disk."""


@dataclass(frozen=True)
class ServerLimits:
    """What a server takes at once; see the settings of the same names."""

    connections: int = 1024
    in_flight: int = 256
    deadline_default_ms: int = 1000
    large_frame_bytes: int = 64 * 1024 * 1024
    """For all calls above 64 KiB, from before they are received until they are answered."""
    wire: WireLimits = field(default_factory=WireLimits)


class ThriftServer:
    """Hosts one service on one port.

    Usable as a context manager, which starts and stops it. `drain` lets calls in flight finish,
    `stop` does not wait for them; both may be called from any thread, and more than once.
    """

    def __init__(
        self,
        service: ThriftService,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        metrics: Metrics | None = None,
        limits: ServerLimits | None = None,
        tls: ssl.SSLContext | None = None,
        shared_port: bool = False,
    ) -> None:
        """`shared_port`: other servers that say so may listen on the same port, and the kernel
        shares out the connections."""
        self.metrics = metrics or Metrics()
        self._limits = limits or ServerLimits()
        self._gate = Gate(self._limits.in_flight)
        self._budget = ByteBudget(self._limits.large_frame_bytes)
        self._calls = Calls(service, self._gate, self.metrics, self._limits.deadline_default_ms)
        self._tls = tls
        self._shared_port = shared_port
        self._address = (host, port)
        self._listener: socket.socket | None = None
        self._acceptor = threading.Thread(target=self._accept, name="accept", daemon=True)
        self._open: dict[socket.socket, threading.Thread] = {}
        self._changed = threading.Condition()
        self._draining = False
        self._faults_logged = _Rate(_LOGGED_FAULTS_PER_S)

    @property
    def port(self) -> int:
        """The port that is listened on; of a server that was not started the one asked for."""
        return self._address[1]

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    def start(self) -> Self:
        """Listen and serve. Raises Unavailable when the address cannot be listened on."""
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server(
                (host, port), family=family, backlog=_BACKLOG, reuse_port=self._shared_port
            )
        except OSError as error:
            why = str(error.strerror or error).partition(" (")[0]
            raise Unavailable(
                f"cannot listen on {host}:{port}: {why}; stop who has it, or configure another "
                "under [listen] (`cellctl doctor` finds which)"
            ) from None
        self._listener = listener
        self._address = (host, listener.getsockname()[1])
        self._acceptor.start()
        return self

    def drain(self, timeout_s: float = 10.0) -> bool:
        """Take no more connections and calls, let those in flight finish, close; whether all
        finished in time. What did not is closed as it is."""
        self._stop_listening()
        deadline = time.monotonic() + timeout_s
        with self._changed:
            waiting = list(self._open)
        for sock in waiting:
            # What is in the socket's buffer can still be read, so a call that was sent is served.
            _shut(sock, socket.SHUT_RD)
        with self._changed:
            done = self._changed.wait_for(
                lambda: not self._open, max(0.0, deadline - time.monotonic())
            )
        self.stop()
        return done

    def stop(self) -> None:
        """Close everything now."""
        self._stop_listening()
        with self._changed:
            remaining = dict(self._open)
        for sock in remaining:
            _shut(sock, socket.SHUT_RDWR)
        for thread in remaining.values():
            thread.join(1.0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _stop_listening(self) -> None:
        self._draining = True
        listener = self._listener
        if listener is None:
            return
        self._listener = None
        # Closing alone does not wake a thread that waits in accept.
        _shut(listener, socket.SHUT_RDWR)
        listener.close()
        if self._acceptor is not threading.current_thread():
            self._acceptor.join(5.0)

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None and not self._draining:
            try:
                sock, _ = listener.accept()
            except OSError as error:
                if self._draining:
                    return
                # Out of file descriptors, most likely: others must close first.
                _log.warning("cannot take a connection: %s", error)
                with self._changed:
                    self._changed.wait(0.1)
                continue
            self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        with self._changed:
            full = len(self._open) >= self._limits.connections
            if not full:
                thread = threading.Thread(
                    target=self._serve,
                    args=(sock,),
                    name=f"connection-{sock.fileno()}",
                    daemon=True,
                )
                self._open[sock] = thread
        if full:
            sock.close()
            why = f"{self._limits.connections} connections are open"
            self._fault(WireFault("too_many_connections", why))
            return
        self.metrics.connections.inc()
        self.metrics.connections_opened.inc()
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads
            self._fault(WireFault("too_many_connections", str(error)))
            self._forget(sock)

    def _serve(self, sock: socket.socket) -> None:
        """A connection's life; everything that ends one ends here."""
        speaking = sock
        try:
            _configure(sock)
            speaking = handshake(sock, self._tls, self._limits.wire)
            if speaking is not sock:
                self._exchange(sock, speaking)
            connection = Connection(speaking, self._limits.wire, self._budget)
            connection.serve(self._calls.answer, self._going_on)
        except WireFault as fault:
            self._fault(fault)
        except Idle:
            self.metrics.idle_closed.inc()
        except OSError as error:
            if not self._draining:
                self._fault(WireFault("reset", str(error)))
        finally:
            self._forget(speaking)

    def _going_on(self) -> bool:
        return not self._draining

    def _exchange(self, plain: socket.socket, wrapped: socket.socket) -> None:
        """From now on the wrapped socket is the one to close (the plain one is empty)."""
        with self._changed:
            self._open[wrapped] = self._open.pop(plain)
        if self._draining:
            _shut(wrapped, socket.SHUT_RD)

    def _forget(self, sock: socket.socket) -> None:
        # Tell the other side at once, also when bytes of its are still unread: without this a
        # client that is sending would see a reset before it reads the last answer.
        _shut(sock, socket.SHUT_RDWR)
        sock.close()
        with self._changed:
            self._open.pop(sock, None)
            self._changed.notify_all()
        self.metrics.connections.dec()

    def _fault(self, fault: WireFault) -> None:
        self.metrics.wire_fault(fault.kind)
        if self._faults_logged.allows():
            _log.warning("connection closed: %s: %s", fault.kind, fault, extra={"kind": fault.kind})


class _Rate:
    """So many a second, then no more until the next."""

    def __init__(self, most_per_s: int) -> None:
        self._most = most_per_s
        self._second = 0
        self._used = 0
        self._lock = threading.Lock()

    def allows(self) -> bool:
        now = int(time.monotonic())
        with self._lock:
            if now != self._second:
                self._second, self._used = now, 0
            self._used += 1
            return self._used <= self._most


def _configure(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


def _shut(sock: socket.socket, how: int) -> None:
    """Shut a socket down below TLS, whose own shutdown would break an answer being written."""
    with contextlib.suppress(OSError):  # it may be closed already
        socket.socket.shutdown(sock, how)
