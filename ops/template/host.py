"""Hosting one service: its Thrift port or its worker, its admin port, its end."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, Protocol

from idgen.errors import Unavailable
from ops import logs
from ops.config import Config, shown
from ops.metrics import READY, Metrics, Sample, Source
from ops.template.admin import AdminParts, AdminServer
from ops.template.connection import WireLimits
from ops.template.memory import hold_much
from ops.template.readiness import Check, Readiness
from ops.template.server import ServerLimits, ThriftServer
from ops.template.service import ThriftService
from ops.template.tls import server_context

_log = logging.getLogger("dashcell.host")

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1


class Worker(Protocol):
    """What a role without a Thrift port does all the time (ingest, relay, mover)."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish what is begun and return."""
        ...


class Listener(Protocol):
    """Another port of a service, beside its Thrift port."""

    @property
    def port(self) -> int:
        """Where it listens, once it is started."""
        ...

    def start(self) -> object:
        """Listen. Raises Unavailable for an address that is taken."""
        ...

    def drain(self, timeout_s: float) -> bool:
        """Take nobody new, finish what is in flight, stop; whether all was finished in time."""
        ...


@dataclass(frozen=True)
class Endpoints:
    """Where a hosted service answers, each as host:port; thrift is "" without a Thrift port;
    `beside` are its other listeners' by name."""

    thrift: str
    admin: str
    beside: Mapping[str, str] = field(default_factory=dict)


def _no_flags() -> Mapping[str, Any]:
    return {}


def _nothing() -> None:
    return


def _tell_nobody(_: Endpoints) -> Callable[[], None]:
    return _nothing


@dataclass(frozen=True)
class ServiceParts:
    """What makes up a service: a Thrift service, or a worker, or both.

    `beside` are more listeners by name, which start after the Thrift port and drain with it.
    `shared_port`: others of its kind on this machine listen on the same port. `readiness` are its
    checks by name; `sources` its metrics beside those of calls; `flags` its flags as they are now.
    `listening` is told where it answers, once it does; what it returns takes that back when the
    service begins to drain, so that nobody new is sent here meanwhile. `close` is called last,
    whatever happened: it lets go of clients and leases.
    """

    service: ThriftService | None = None
    port: int = 0
    shared_port: bool = False
    beside: Mapping[str, Listener] = field(default_factory=dict)
    worker: Worker | None = None
    readiness: Mapping[str, Check] = field(default_factory=dict)
    sources: Sequence[Source] = ()
    flags: Callable[[], Mapping[str, Any]] = _no_flags
    listening: Callable[[Endpoints], Callable[[], None]] = _tell_nobody
    close: Callable[[], None] = _nothing


class ServiceHost:
    """One service, hosted in this process; `run_service` hosts one in a process of its own."""

    def __init__(
        self, role: str, parts: ServiceParts, config: Config, metrics: Metrics | None = None
    ) -> None:
        """Raises BadRequest for TLS files that cannot be used."""
        self.metrics = metrics or Metrics()
        self.readiness = Readiness()
        self.failed = False
        self._role = role
        self._parts = parts
        self._drain_s = float(config.limits.drain_s)
        self._asked_to_stop = threading.Event()
        self._worker_stop = threading.Event()
        self._worker_thread: threading.Thread | None = None
        self._leave = _nothing
        tls = server_context(config.listen_tls)
        host = config.listen.host
        self._server: ThriftServer | None = None
        if parts.service is not None:
            self._server = ThriftServer(
                parts.service,
                host,
                parts.port,
                metrics=self.metrics,
                limits=server_limits(config),
                tls=tls,
                shared_port=parts.shared_port,
            )
        self._host = host
        admin = AdminParts(
            role, self.readiness, self.metrics, lambda: shown(config), parts.flags, self.ask_to_stop
        )
        self._admin = AdminServer(admin, host, config.listen.admin, tls)

    @property
    def endpoints(self) -> Endpoints:
        """Where it answers, once it is started."""
        thrift = f"{self._host}:{self._server.port}" if self._server else ""
        beside = {name: f"{self._host}:{each.port}" for name, each in self._parts.beside.items()}
        return Endpoints(thrift, f"{self._host}:{self._admin.port}", beside)

    def start(self) -> None:
        """Listen and work. Raises Unavailable for an address that is taken; nothing is left
        running then."""
        for name, check in self._parts.readiness.items():
            self.readiness.register(name, check)
        for source in (self._ready_samples, *self._parts.sources):
            self.metrics.add_source(source)
        try:
            self._admin.start()
            if self._server:
                self._server.start()
            for listener in self._parts.beside.values():
                listener.start()
            if self._parts.worker:
                self._start_worker(self._parts.worker)
            self._leave = self._parts.listening(self.endpoints)
        except BaseException:
            self.drain(0.0)
            raise
        _log.info(
            "started",
            extra={"thrift": self.endpoints.thrift, "admin": self.endpoints.admin},
        )

    def ask_to_stop(self) -> None:
        """Have `wait` return; from a signal, from POST /admin/drain, or from the worker's end."""
        self._asked_to_stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is asked to stop; False when the time is over before."""
        return self._asked_to_stop.wait(timeout_s)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Be unready, leave the registry, finish what is in flight, stop; whether all finished in
        time (default: the setting limits.drain_s)."""
        timeout_s = self._drain_s if timeout_s is None else timeout_s
        self.readiness.drain()
        self._leave_registry()
        self._worker_stop.set()
        listeners: list[Listener] = [*self._parts.beside.values()]
        listeners += [self._server] if self._server else []
        drained = [listener.drain(timeout_s) for listener in listeners]  # all, whatever the first
        done = all(drained)
        if self._worker_thread:
            self._worker_thread.join(timeout_s)
            done = done and not self._worker_thread.is_alive()
        self._parts.close()
        self._admin.stop()
        if not done:
            _log.warning("stopped with work unfinished after %g s", timeout_s)
        return done

    def _leave_registry(self) -> None:
        leave, self._leave = self._leave, _nothing
        try:
            leave()
        except Unavailable as error:
            _log.warning("still listed until the session ends: %s", error)

    def _start_worker(self, worker: Worker) -> None:
        def work() -> None:
            try:
                worker.run(self._worker_stop)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it ends the service
                _log.exception("the worker failed")
                self._worker_ended(f"the worker failed: {error or type(error).__name__}")
                return
            if not self._worker_stop.is_set():
                _log.error("the worker ended without being told to")
                self._worker_ended("the worker ended without being told to")

        self._worker_thread = threading.Thread(target=work, name="worker", daemon=True)
        self._worker_thread.start()

    def _worker_ended(self, why: str) -> None:
        self.failed = True
        self.readiness.register("worker", lambda: why)
        self._asked_to_stop.set()

    def _ready_samples(self) -> Iterable[Sample]:
        return [
            Sample(READY, (name,), 0.0 if why else 1.0)
            for name, why in self.readiness.report().items()
        ]


def run_service(
    role: str, parts: ServiceParts, config: Config, *, cell: str = "", group: str = ""
) -> int:
    """Host a service in this process until SIGTERM, SIGINT, POST /admin/drain, or its worker's
    end; the process's exit code: 0 when it was asked to stop, 1 when its worker failed.

    A second signal ends the process at once. Has to be called in the main thread. Raises
    Unavailable for an address that is taken. Logs go to stderr; nothing is printed.
    """
    named = {"role": role, "cell": cell, "group": group}
    always = {key: name for key, name in named.items() if name}
    logs.configure(config.log.level, always=always)
    logs.log_strays()
    hold_much()
    host = ServiceHost(role, parts, config, Metrics(process=True))
    _stop_by_signal(host)
    host.start()
    host.wait()
    _log.info("stopping")
    host.drain()
    _log.info("stopped")
    return EXIT_FAILED if host.failed else EXIT_DONE


def server_limits(config: Config) -> ServerLimits:
    """What a server takes, by the settings."""
    limits = config.limits
    return ServerLimits(
        connections=limits.connections,
        in_flight=limits.in_flight,
        deadline_default_ms=limits.deadline_default_ms,
        wire=WireLimits(frame_bytes=limits.frame_bytes, idle_s=limits.idle_s),
    )


def _stop_by_signal(host: ServiceHost) -> None:
    """Have the first signal ask the host to stop and the second end the process.

    A thread does it, told over a socket by the C part of Python's handler: Python's own part only
    runs when the main thread comes back from whatever it waits for, and must not take its locks.
    """
    told, tell = socket.socketpair()
    tell.settimeout(0.0)

    def watch() -> None:
        told.recv(1)
        host.ask_to_stop()
        number = told.recv(1)[0]
        # Whatever is unfinished is repeated by its next owner, as after a power cut.
        os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _noted)
    signal.set_wakeup_fd(tell.detach(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="signals", daemon=True).start()


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Nothing: the watching thread was told already."""
