"""`cellctl up` of the embedded profile: the platform in this process, and its ports."""

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from ops import addresses
from ops.addresses import MadeAs, Whereabouts
from ops.config import Config
from ops.creation import Progress
from ops.dashboard_service import dashboard_service
from ops.embedded import Embedded, EmbeddedCell
from ops.firehose_service import firehose_parts
from ops.found import FoundPlatform
from ops.idgen_service import idgen_service
from ops.metrics import Sample, Source
from ops.platform_port import Platform
from ops.roles import dashboard_sources, info_of, ingest_source
from ops.stack.state import FolderLock, clear_state, write_state
from ops.template.host import Endpoints, Listener, ServiceHost, ServiceParts, server_limits
from ops.template.memory import hold_much
from ops.template.server import ThriftServer
from ops.template.service import ThriftService
from ops.template.tls import server_context
from ops.wiring.embedded import EmbeddedSeams
from ops.wiring.seams import holder_name
from router.services import deregister_all, register

BEGIN_S = 10.0
"""Longer nobody waits for a cell: its readiness tells what keeps it."""


class RunningEmbedded:
    """`ops.platform_port.Running`: a router, an endpoint per cell, ids and the firehose, each on
    a port."""

    def __init__(self, config: Config, progress: Progress) -> None:
        """Raises FolderInUse when a platform runs in this folder already."""
        hold_much()
        self._config = config
        self._folder = Path(config.platform.data)
        cells = addresses.cells_of(config.platform)
        self._lock = FolderLock(self._folder)
        self._ended = threading.Event()
        self._stopping = threading.Lock()
        self._stopped = False
        self._servers: list[Listener] = []
        self._sources: list[Source] = []
        self._closing = ExitStack()
        self._host: ServiceHost | None = None
        self._embedded = Embedded(
            self._folder, cells, config=config, progress=progress, begun=self._serve_cell
        )
        try:
            self._start(progress)
        except BaseException:
            self.stop()
            raise
        self._platform = FoundPlatform(config, EmbeddedSeams(config), "embedded", "")

    @property
    def platform(self) -> Platform:
        """How to talk to it: by its ports, like everybody else."""
        return self._platform

    def wait(self) -> None:
        """Until it is told to stop, by a signal, `cellctl down`, or POST /admin/drain."""
        assert self._host is not None, "started by __init__"
        self._host.wait()

    def ask_to_stop(self) -> None:
        """Have `wait` return; for signal handlers."""
        if self._host is not None:
            self._host.ask_to_stop()

    def stop(self) -> None:
        """Stop all of it; idempotent."""
        with self._stopping:
            if self._stopped:
                return
            self._stopped = True
        for server in self._servers:
            server.drain(self._config.limits.drain_s)
        if self._host is not None:
            self._host.drain()
        self._closing.close()
        self._embedded.stop()
        addresses.forget(self._folder)
        clear_state(self._folder)
        self._lock.release()

    def _start(self, progress: Progress) -> None:
        # From here on `cellctl down` finds this process, also while it starts.
        write_state(self._folder, ())
        # The folder is ours alone: what is registered was left by a process that was killed.
        deregister_all(self._embedded.seams.registry)
        progress("starting the cells")
        self._embedded.start()
        listen = self._config.listen
        ids = self._serve(idgen_service(self._embedded.snowflake), listen.idgen)
        self._register("idgen", Endpoints(f"{listen.host}:{ids.port}", ""))
        self._serve_firehose()
        parts = ServiceParts(
            service=dashboard_service(self._embedded.dashboard),
            port=listen.router,
            readiness={"cells": self._trouble, "relays": self._relays_trouble},
            sources=[self._samples, *self._sources],
            listening=lambda endpoints: self._register("router", endpoints),
        )
        self._host = ServiceHost("router", parts, self._config)
        self._host.start()
        progress("waiting for the cells")
        for cell in list(self._embedded.cells.values()):
            cell.wait_begun(BEGIN_S)
        self._tell_made()
        addresses.tell(self._folder, Whereabouts("embedded", "", os.getpid()))

    def _serve_firehose(self) -> None:
        parts = firehose_parts(self._config, self._embedded.seams, self._embedded.snowflake)
        self._closing.callback(parts.close)
        self._sources += parts.sources
        assert parts.service is not None, "the role has a Thrift port"
        host = self._config.listen.host
        thrift = self._serve(parts.service, parts.port)
        for listener in parts.beside.values():
            listener.start()
            self._servers.append(listener)
        beside = {name: f"{host}:{each.port}" for name, each in parts.beside.items()}
        self._register("firehose", Endpoints(f"{host}:{thrift.port}", "", beside))

    def _serve_cell(self, name: str, cell: EmbeddedCell) -> None:
        """Give a cell that starts a port, and make it known."""
        listen = self._config.listen
        server = self._serve(dashboard_service(cell.handler), listen.dashboard)
        address = f"{listen.host}:{server.port}"
        self._embedded.clients.listening(name, address)
        self._register("dashboard", Endpoints(address, ""), name)
        if self._host is not None:
            self._tell_made()

    def _tell_made(self) -> None:
        addresses.made_as(self._folder, MadeAs("embedded", tuple(self._embedded.cells)))

    def _trouble(self) -> str:
        """Why cells are not ready; empty when all are."""
        cells = list(self._embedded.cells.values())
        return "; ".join(why for cell in cells if (why := cell.trouble()))

    def _relays_trouble(self) -> str:
        """Why relays of groups are not ready; empty when all are."""
        relays = list(self._embedded.relays.values())
        return "; ".join(why for relay in relays if (why := relay.worker.trouble))

    def _samples(self) -> Iterable[Sample]:
        """The metrics of the cells that run now."""
        for cell in list(self._embedded.cells.values()):
            for source in dashboard_sources(cell.stores, cell.handler, cell.letters):
                yield from source()
            yield from ingest_source(cell.stores, cell.applying)()
        for relay in list(self._embedded.relays.values()):
            yield from relay.worker.samples()

    def _serve(self, service: ThriftService, port: int) -> ThriftServer:
        server = ThriftServer(
            service,
            self._config.listen.host,
            port,
            limits=server_limits(self._config),
            tls=server_context(self._config.listen_tls),
        ).start()
        self._servers.append(server)
        return server

    def _register(self, role: str, at: Endpoints, cell: str = "") -> Callable[[], None]:
        info = info_of(role, holder_name(), at, cell)
        return register(self._embedded.seams.registry, info)
