"""The way out to one client: frames, heartbeats, and what becomes of those who do not take them."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import Send

from firehose.access import Client, Gate, Role
from idgen.clock import Clock
from idgen.errors import PermissionDenied, Unauthenticated, Unavailable
from ops.stream.connection import StreamConnection
from ops.stream.frames import Framing, Line
from ops.stream.limits import StreamLimits

At = Callable[[], Mapping[int, int]]


class Ended(Exception):
    """A stream is to end, with this as its last frame. `retry`: coming again is of use."""

    def __init__(self, reason: str, message: str, *, retry: bool, floor: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry
        self.floor = floor


class Gone(Exception):
    """The client is gone, or was cut off: there is nobody to be told."""


@dataclass(slots=True)
class Counts:
    """What a server has done so far; read by its metrics."""

    streams: int = 0
    events: int = 0
    bytes: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked: `token` is asked about again."""

    client: Client
    token: str


class Outlet:
    """Writes one stream's frames; for the event loop's thread.

    `wake` is set whenever something happened that the stream has to look at. Everything that waits
    raises Ended and Gone.
    """

    def __init__(
        self,
        connection: StreamConnection,
        send: Send,
        framing: Framing,
        caller: Caller,
        gate: Gate,
        clock: Clock,
        limits: StreamLimits,
        counts: Counts,
    ) -> None:
        self.wake = asyncio.Event()
        self.draining = False
        self.framing = framing
        self._connection = connection
        self._send = send
        self._caller = caller
        self._gate = gate
        self._clock = clock
        self._limits = limits
        self._counts = counts
        self._beat_at = time.monotonic() + limits.heartbeat_s
        self._caught_up_at = time.monotonic()
        self._blocked_s = 0.0
        connection.wake = self.wake.set

    async def start(self, told: Mapping[str, Any], cursor: str) -> None:
        """Answer the request, with the first frame."""
        headers = [
            (b"content-type", self.framing.media_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            (b"connection", b"close"),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.write(self.framing.frame("start", told, cursor))

    async def events(self, lines: Sequence[Line], at: dict[int, int]) -> None:
        """Send events, and move `at` behind them."""
        self.check()  # before `at` says that they were sent
        await self.write(self.framing.events(lines, at))
        self._counts.events += len(lines)

    async def write(self, data: bytes) -> None:
        """Send; returns at once. `flushed` is to be waited for before the next."""
        self.check()
        self._counts.bytes += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def flushed(self, leave: Callable[[], bool] = bool, within_s: float = math.inf) -> bool:
        """Wait until the client's side has taken what was written, or until `leave`; False: it has
        not within `within_s`. Who takes nothing for very long is cut off."""
        began = time.monotonic()
        try:
            while not self._connection.writable and not leave():
                waited = time.monotonic() - began
                if waited >= self._limits.stuck_s:
                    self._cut()
                if waited >= within_s:
                    return False
                await self.sleep(min(self._limits.stuck_s, within_s) - waited)
                self.check()
            return True
        finally:
            self._blocked_s += time.monotonic() - began

    def caught_up(self) -> None:
        """The client has all that there is."""
        self._caught_up_at, self._blocked_s = time.monotonic(), 0.0

    @property
    def slow(self) -> bool:
        """Whether it was the client that kept the stream from catching up, and not this server."""
        blocked = self._blocked_s
        return not self._connection.writable or (
            blocked > 0.5 * (time.monotonic() - self._caught_up_at)
        )

    async def rest(self, at: At, until: float = math.inf) -> None:
        """Wait for anything to happen, or `until`, with heartbeats that say `at`."""
        await self.sleep(min(until, self._beat_at) - time.monotonic())
        await self.beat(at)

    async def beat(self, at: At) -> None:
        """A heartbeat, if it is time for one: the client is still let in, and has all before
        `at`."""
        self.check()
        if time.monotonic() < self._beat_at or not self._connection.writable:
            return
        self._beat_at = time.monotonic() + self._limits.heartbeat_s
        try:
            self._gate.admit(self._caller.token, Role.READ)
        except (Unauthenticated, PermissionDenied) as error:
            raise Ended("revoked", str(error), retry=False) from None
        except Unavailable:
            pass  # who was let in stays until it is known that they must not
        told = {"now_ms": self._clock.now_ms()}
        await self.write(self.framing.frame("heartbeat", told, self.framing.cursor(at())))

    async def sleep(self, seconds: float) -> None:
        """Wait until woken, and not for longer."""
        if not self.wake.is_set() and seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self.wake.wait()
            except TimeoutError:
                return
        self.wake.clear()

    def check(self) -> None:
        """Raises Gone where the client is, and Ended where the server stops."""
        if self._connection.lost:
            raise Gone
        if self.draining:
            raise Ended("draining", "this server stops; another one goes on", retry=True)

    async def end(self, ended: Ended, at: Mapping[int, int]) -> None:
        """The last frame, for as long as the client may take to take it."""
        self.draining = False
        if ended.reason == "slow_reader":
            self._counts.slow += 1
        more = {"floor": ended.floor} if ended.floor else {}
        told = {"reason": ended.reason, "message": str(ended), "retry": ended.retry, **more}
        data = self.framing.frame("end", told, self.framing.cursor(at))
        if not await self.let_out():
            self._connection.abort()
            return
        self._counts.bytes += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        if not await self.let_out():
            self._connection.abort()

    async def let_out(self) -> bool:
        """Whether the client's side has taken, after a grace, all that was written."""
        until = time.monotonic() + self._limits.grace_s
        while not self._connection.writable:
            left = until - time.monotonic()
            if left <= 0:
                return False
            await self.sleep(left)
        return not self._connection.lost

    def _cut(self) -> None:
        self._counts.slow += 1
        self._connection.abort()
        raise Gone
