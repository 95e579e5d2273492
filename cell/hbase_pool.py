"""A bounded pool of connections to the gateways of one HBase.

What it is for (and why happybase's own pool does not do): a gateway closes what is idle for 60 s,
gateways die and come back, there may be several of them, and a process may fork.
"""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from cell.hbase_connection import GatewayLost, Refused, TooMuch
from idgen.errors import Unavailable

IDLE_MS_MAX = 30_000
"""Half of the gateway's own limit: what was idle for longer is not trusted."""

AVOID_MS = 1_000
"""For how long a gateway that failed is asked last."""


class Pooled(Protocol):
    """What a connection must offer to be pooled."""

    def stale(self) -> bool:
        """Whether it broke while it was idle."""
        ...

    def shut(self) -> None:
        """Break what another thread does with it."""
        ...

    def close(self) -> None:
        """Let go of the socket."""
        ...


ConnectionT = TypeVar("ConnectionT", bound=Pooled)


def _gateway_failed(error: BaseException) -> bool:
    return isinstance(error, GatewayLost) and not isinstance(error, TooMuch)


class _Gateway(Generic[ConnectionT]):
    def __init__(self, address: str) -> None:
        self.address = address
        self.idle: deque[tuple[float, ConnectionT]] = deque()
        self.lent = 0
        self.avoid_until = 0.0


class Pool(Generic[ConnectionT]):
    """At most `size` connections lent at once, spread over the gateways; each to one thread.

    `connect(address, deadline)` makes one or raises GatewayLost. Deadlines are time.monotonic.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        connect: Callable[[str, float], ConnectionT],
        size: int,
        idle_ms_max: int = IDLE_MS_MAX,
    ) -> None:
        self._gateways: list[_Gateway[ConnectionT]] = [_Gateway(a) for a in addresses]
        self._connect = connect
        self._size = size
        self._idle_s_max = idle_ms_max / 1000
        self._closed = False
        self._forget()
        self_reference = weakref.ref(self)

        def after_fork() -> None:
            pool = self_reference()
            if pool is not None:
                pool._abandon()  # noqa: SLF001 - this is the pool's own code

        os.register_at_fork(after_in_child=after_fork)

    def _forget(self) -> None:
        self._changed = threading.Condition()
        self._live: set[ConnectionT] = set()
        self._lent = 0
        self._turn = 0
        for gateway in self._gateways:
            gateway.idle.clear()
            gateway.lent = 0

    def _abandon(self) -> None:
        """In a forked child: the sockets are the parent's. Closing our copies does not end them."""
        live = self._live
        self._forget()
        for connection in live:
            connection.close()

    @contextmanager
    def lend(self, deadline: float, *, fresh: bool = False) -> Iterator[ConnectionT]:
        """A connection for the duration of a `with`; `fresh`: one that has not been idle.

        It comes back only after success or `Refused`. Raises GatewayLost, not sent, when no
        gateway can be connected to or all connections are in use until `deadline`; Unavailable
        when the pool is closed.
        """
        self._enter(deadline)
        try:
            gateway, connection = self._find(deadline, fresh=fresh)
            try:
                yield connection
            except Refused:
                self._give_back(gateway, connection)
                raise
            except BaseException as error:
                self._discard(gateway, connection, avoid=_gateway_failed(error))
                raise
            else:
                self._give_back(gateway, connection)
        finally:
            with self._changed:
                self._lent -= 1
                self._changed.notify()

    def _enter(self, deadline: float) -> None:
        with self._changed:
            wait_s = max(0.0, deadline - time.monotonic())
            free = self._changed.wait_for(lambda: self._closed or self._lent < self._size, wait_s)
            if self._closed:
                raise Unavailable("the client of these tables is closed")
            if not free:
                raise GatewayLost(f"all {self._size} connections are in use", sent=False)
            self._lent += 1

    def _find(self, deadline: float, *, fresh: bool) -> tuple[_Gateway[ConnectionT], ConnectionT]:
        failures: list[str] = []
        for gateway in self._order():
            connection = None if fresh else self._take_idle(gateway)
            if connection is None:
                try:
                    connection = self._connect(gateway.address, deadline)
                except GatewayLost as error:
                    failures.append(str(error))
                    gateway.avoid_until = time.monotonic() + AVOID_MS / 1000
                    continue
            with self._changed:
                gateway.lent += 1
                self._live.add(connection)
                closed = self._closed
            if closed:
                self._discard(gateway, connection, avoid=False)
                raise Unavailable("the client of these tables is closed")
            return gateway, connection
        raise GatewayLost("; ".join(failures), sent=False)

    def _order(self) -> list[_Gateway[ConnectionT]]:
        """Gateways that work before those that just failed; then the one with least to do."""
        now = time.monotonic()
        with self._changed:
            self._turn += 1
            turn = self._turn % len(self._gateways)
            turned = self._gateways[turn:] + self._gateways[:turn]
            return sorted(turned, key=lambda g: (g.avoid_until > now, g.lent))

    def _take_idle(self, gateway: _Gateway[ConnectionT]) -> ConnectionT | None:
        while True:
            with self._changed:
                if not gateway.idle:
                    return None
                since, connection = gateway.idle.pop()
            if time.monotonic() - since < self._idle_s_max and not connection.stale():
                return connection
            with self._changed:
                self._live.discard(connection)
            connection.close()

    def _give_back(self, gateway: _Gateway[ConnectionT], connection: ConnectionT) -> None:
        with self._changed:
            gateway.lent -= 1
            gateway.avoid_until = 0.0
            if not self._closed:
                gateway.idle.append((time.monotonic(), connection))
                return
            self._live.discard(connection)
        connection.close()

    def _discard(
        self, gateway: _Gateway[ConnectionT], connection: ConnectionT, *, avoid: bool
    ) -> None:
        with self._changed:
            gateway.lent -= 1
            self._live.discard(connection)
            if avoid:
                gateway.avoid_until = time.monotonic() + AVOID_MS / 1000
        connection.close()

    def close(self) -> None:
        """Close what is idle, break what is lent, and refuse to lend from now on."""
        with self._changed:
            self._closed = True
            idle = [connection for gateway in self._gateways for _, connection in gateway.idle]
            for gateway in self._gateways:
                gateway.idle.clear()
            lent = self._live.difference(idle)
            self._live.clear()
            self._changed.notify_all()
        for connection in idle:
            connection.close()
        for connection in lent:
            connection.shut()
