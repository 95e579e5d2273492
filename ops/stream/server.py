"""The stream server as a host starts it."""

import asyncio
import resource
import socket
import ssl
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import uvicorn

from firehose.access import Gate
from firehose.checkpoint import Checkpoints
from firehose.log import Log
from idgen.clock import Clock
from idgen.errors import Unavailable
from ops.metrics import (
    STREAM_BYTES,
    STREAM_EVENTS,
    STREAM_SLOW_READERS,
    STREAM_WINDOW_BYTES,
    STREAM_WINDOW_EVENTS,
    STREAMS,
    Sample,
)
from ops.stream.application import Streams, application
from ops.stream.connection import StreamConnection
from ops.stream.group_pages import Groups
from ops.stream.limits import StreamLimits
from ops.stream.outlet import Counts
from ops.stream.reader import Source
from ops.stream.tail import Tail
from ops.stream.turns import Turns
from ops.stream.window import Window

_START_S: Final = 10.0
_CUT_S: Final = 5.0
_CALL_THREADS: Final = 8
_BACKLOG: Final = 1_024
_OTHER_FILES: Final = 512


class StreamServer:
    """The firehose over HTTP, in a thread of its own; a `Listener` of ops.template.host."""

    def __init__(
        self,
        log: Log,
        checkpoints: Checkpoints,
        gate: Gate,
        clock: Clock,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        limits: StreamLimits | None = None,
    ) -> None:
        self._limits = limits or StreamLimits()
        self._log = log
        self._checkpoints = checkpoints
        self._gate = gate
        self._clock = clock
        self._address = (host, port)
        self._tls = tls
        self._counts = Counts()
        self._window = Window(self._limits.window_events, self._limits.window_bytes)
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: Streams | None = None
        self._up = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens, once it is started."""
        return self._address[1]

    def start(self) -> "StreamServer":
        """Listen and serve. Raises Unavailable when the address cannot be listened on."""
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {host}:{port}: {error.strerror}; stop who has it, or configure "
                "another as listen.stream"
            ) from None
        # Taken over by each connection: the kernel's own would grow to megabytes for a slow one.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.socket_bytes)
        self._address = (host, self._socket.getsockname()[1])
        _allow_files(self._limits.connections)
        self._thread.start()
        if not self._up.wait(_START_S):
            raise Unavailable(f"the stream port {self.port} was not up within {_START_S:g} s")
        return self

    def drain(self, timeout_s: float) -> bool:
        """End all streams, with a frame that says so, and stop; whether all ended in time."""
        if self._loop is None or not self._thread.is_alive():
            return True
        self._loop.call_soon_threadsafe(self._drain)
        done = self._ended.wait(timeout_s)
        self.close()
        return done

    def close(self) -> None:
        """Stop at once."""
        if self._loop is not None and self._thread.is_alive():
            assert self._server is not None, "started"
            self._server.force_exit = True
            self._server.should_exit = True
            self._thread.join(_START_S)

    def samples(self) -> Iterable[Sample]:
        """What it has done, as a `Source` of metrics."""
        counts, window = self._counts, self._window
        return [
            Sample(STREAMS, (), counts.streams),
            Sample(STREAM_EVENTS, (), counts.events),
            Sample(STREAM_BYTES, (), counts.bytes),
            Sample(STREAM_SLOW_READERS, (), counts.slow),
            Sample(STREAM_WINDOW_EVENTS, (), len(window)),
            Sample(STREAM_WINDOW_BYTES, (), window.size),
        ]

    def _drain(self) -> None:
        assert self._streams is not None, "started"
        assert self._server is not None, "started"
        self._streams.drain()
        self._server.should_exit = True

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._ended.set()

    async def _serve(self) -> None:
        assert self._socket is not None, "started"
        self._loop = asyncio.get_running_loop()
        limits = self._limits
        tail = Tail(self._log, self._window, self._loop)
        readers = ThreadPoolExecutor(limits.replays, "stream reader")
        calls = ThreadPoolExecutor(_CALL_THREADS, "stream call")
        turns = Turns(limits.replays)
        source = Source(self._log, self._window, tail, turns, readers, calls, limits)
        groups = Groups(source, self._checkpoints, self._clock)
        self._streams = Streams(source, groups, self._gate, self._clock, self._counts)
        self._streams.address = f"{self._address[0]}:{self.port}"
        self._server = _Server(self._uvicorn(self._streams), self._up)
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            await self._cut_off()
            thread = tail.close()
            if thread is not None:
                await asyncio.to_thread(thread.join, _START_S)
            readers.shutdown(wait=False, cancel_futures=True)
            calls.shutdown(wait=False, cancel_futures=True)

    async def _cut_off(self) -> None:
        """End what is still open before what it reads by is: of a server that drained nothing."""
        assert self._server is not None, "started"
        state = self._server.server_state
        for connection in list(state.connections):
            assert isinstance(connection, StreamConnection), "uvicorn was told so"
            connection.abort()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=_CUT_S)

    def _uvicorn(self, streams: Streams) -> "_Config":
        return _Config(
            application(streams, self._gate),
            self._tls,
            http=partial(StreamConnection, self._limits),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            h11_max_incomplete_event_size=self._limits.head_bytes,
            timeout_keep_alive=int(self._limits.head_s),
            timeout_graceful_shutdown=None,
            backlog=_BACKLOG,
        )


def _allow_files(connections: int) -> None:
    """Let this process have so many connections open, as far as it may say so itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


class _Config(uvicorn.Config):
    """Uvicorn's settings with a TLS context of our own making."""

    def __init__(self, app: Any, tls: ssl.SSLContext | None, **settings: Any) -> None:
        super().__init__(app, **settings)
        self._tls = tls

    def load(self) -> None:
        super().load()
        self.ssl = self._tls


class _Server(uvicorn.Server):
    """Says when it is up."""

    def __init__(self, config: uvicorn.Config, up: threading.Event) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up.set()
