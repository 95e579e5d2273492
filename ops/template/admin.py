"""The admin HTTP port of every service: health, metrics, and what an operator asks first."""

import socket
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from idgen.errors import Unavailable
from ops.metrics import Metrics
from ops.template.readiness import Readiness

_START_S: Final = 10.0
_STOP_S: Final = 5.0
_REQUESTS_MAX: Final = 64
_KEEP_ALIVE_S: Final = 5

_PATHS: Final = "/livez /readyz /metrics /admin/config /admin/threads /admin/flags\n"


@dataclass(frozen=True)
class AdminParts:
    """What the admin port tells about its service; `drain` begins a clean stop and returns."""

    role: str
    readiness: Readiness
    metrics: Metrics
    config: Callable[[], Mapping[str, Any]]
    flags: Callable[[], Mapping[str, Any]]
    drain: Callable[[], None]


class AdminServer:
    """Serves HTTP in a thread of its own until it is stopped."""

    def __init__(
        self, parts: AdminParts, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None
        config = _Config(
            _application(parts),
            tls,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=_REQUESTS_MAX,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(_STOP_S),
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="admin", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._address[1]

    def start(self) -> None:
        """Listen and serve. Raises Unavailable when the address cannot be listened on."""
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            why = str(error.strerror or error).partition(" (")[0]
            raise Unavailable(
                f"cannot listen on {host}:{port}: {why}; stop who has it, or configure another "
                "under [listen] (`cellctl doctor` finds which)"
            ) from None
        self._address = (host, self._socket.getsockname()[1])
        self._thread.start()
        if not self._server.up.wait(_START_S):
            raise Unavailable(f"the admin port {self.port} was not up within {_START_S:g} s")

    def stop(self) -> None:
        """Stop serving; requests that are being answered get a few seconds."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(2 * _STOP_S)

    def _run(self) -> None:
        assert self._socket is not None
        self._server.run(sockets=[self._socket])


class _Config(uvicorn.Config):
    """Uvicorn's settings with a TLS context of our own making."""

    def __init__(self, app: Starlette, tls: ssl.SSLContext | None, **settings: Any) -> None:
        super().__init__(app, **settings)
        self._tls = tls

    def load(self) -> None:
        super().load()
        self.ssl = self._tls


class _Server(uvicorn.Server):
    """Says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _application(parts: AdminParts) -> Starlette:
    def livez(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    def readyz(_: Request) -> Response:
        checks = parts.readiness.report()
        red = {name: why for name, why in checks.items() if why}
        answer = {
            "role": parts.role,
            "ready": not red,
            "checks": {name: why or "ok" for name, why in checks.items()},
        }
        return _json(answer, 503 if red else 200)

    def metrics(_: Request) -> Response:
        return Response(parts.metrics.text(), media_type="text/plain; version=0.0.4")

    def config(_: Request) -> Response:
        return _json(parts.config())

    def flags(_: Request) -> Response:
        return _json(parts.flags())

    def drain(request: Request) -> Response:
        if "origin" in request.headers:
            # A browser sends this when any page on the web posts to this machine.
            return PlainTextResponse("not from a browser\n", 403)
        parts.drain()
        return _json({"role": parts.role, "draining": True}, 202)

    return Starlette(
        routes=[
            Route("/", lambda _: PlainTextResponse(f"{parts.role}: {_PATHS}")),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/admin/config", config),
            Route("/admin/threads", lambda _: PlainTextResponse(threads())),
            Route("/admin/flags", flags),
            Route("/admin/drain", drain, methods=["POST"]),
        ]
    )


def threads() -> str:
    """Where each thread of this process is, like a traceback."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = (
        f"{names.get(ident, 'unnamed')} ({ident})\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 - the documented way
    )
    return "\n".join(stacks)


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2) + b"\n"
    return Response(text, status, media_type="application/json")
