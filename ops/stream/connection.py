"""A connection to the stream server: uvicorn's, with the bounds that uvicorn does not have."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from ops.stream.limits import StreamLimits
from ops.stream.problems import MEDIA_TYPE, problem_bytes

CONNECTION = "connection"
"""Under this name a request's state has its `StreamConnection`."""
_HEAD_END = re.compile(rb"\n\r?\n")
"""As h11 has it."""
_LINE = {
    400: b"400 Bad Request",
    431: b"431 Request Header Fields Too Large",
    503: b"503 Service Unavailable",
}


class StreamConnection(H11Protocol):
    """One connection; told to its stream when it can be written to again, and when it is lost.

    Nothing is kept in it: `writable` is whether all that was written has gone to the kernel (with
    TLS, to the layer below).
    """

    def __init__(
        self,
        limits: StreamLimits,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, CONNECTION: self}, _loop)
        self._limits = limits
        self._head_timer: asyncio.TimerHandle | None = None
        self.lost = False
        self.wake: Callable[[], None] = _nothing

    @property
    def writable(self) -> bool:
        """Whether what was written is on its way."""
        return self.lost or not self.flow.write_paused

    def abort(self) -> None:
        """Forget what was written, and close."""
        self.transport.abort()

    # -- called by asyncio and uvicorn -----------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One connection more, if there is room."""
        super().connection_made(transport)
        # Of 1 and not 0: at 0 TLS of asyncio (3.11) pauses an empty buffer, for good.
        transport.set_write_buffer_limits(high=1, low=0)
        if len(self.connections) > self._limits.connections:
            self._refuse(503, "throttled", "this server has as many connections as it takes")
            return
        self._expect_head()

    def handle_events(self) -> None:
        """Bytes have come."""
        if self.conn.their_state is h11.IDLE and self._head_too_large():
            self._refuse_head()
            return
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def on_response_complete(self) -> None:
        """An answer is written; another request may come."""
        super().on_response_complete()
        self.wake = _nothing
        if not self.transport.is_closing() and self.cycle.response_complete:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.lost = True
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)
        self.wake()

    def resume_writing(self) -> None:
        """What was written has gone."""
        super().resume_writing()
        self.wake()

    def send_400_response(self, _msg: str) -> None:
        """What came is no request."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.abort()
        elif len(self.conn.trailing_data[0]) > self._limits.head_bytes:
            self._refuse_head()
        else:
            self._refuse(400, "bad_request", "this is no HTTP/1.1")

    def _head_too_large(self) -> bool:
        """h11 bounds heads that come in pieces only: of one that came at once there may be more."""
        data, most = self.conn.trailing_data[0], self._limits.head_bytes
        return len(data) > most and _HEAD_END.search(data, 0, most) is None

    def _refuse_head(self) -> None:
        why = f"the head of a request has at most {self._limits.head_bytes} bytes"
        self._refuse(431, "bad_request", why)

    def _expect_head(self) -> None:
        """A request has to come whole in time: also one that comes byte by byte."""
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_s, self.transport.abort)

    def _refuse(self, status: int, reason: str, detail: str) -> None:
        body = problem_bytes(status, reason, detail)
        head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        self.transport.write(head % (_LINE[status], MEDIA_TYPE.encode(), len(body)) + body)
        self.transport.close()


def _nothing() -> None:
    return
