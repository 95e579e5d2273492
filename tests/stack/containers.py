"""A whole platform in containers, from the images that the repository builds.

Every server and every service has a container and an address of its own, on one network of the
engine. The engine runs on this machine, so the tests reach the containers by their addresses, and
the router besides by a port of this machine, as a client would.
"""

import functools
import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.image import DockerImage
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from cell.dashboard import Dashboard
from cell.ingest import group_of
from ops.config import Config, jar_cache, load_config
from ops.dashboard_client import DashboardClient
from ops.found import FoundPlatform
from ops.images import context, server
from ops.readyz import not_ready_because
from ops.stack.ports import LOOPBACK, PortReservation
from ops.table_hash import table_hash
from ops.wiring.stack import StackSeams
from tests.contract.patience import until
from tests.higgs.platform import Fault

READY_S = 420
ADMIN_PORT, ROUTER_PORT = 8080, 7000
PARTITIONS = 16
CONFIG_FILE = "/etc/dashcell.toml"
SMALL = {
    "DASHCELL_STACK_KAFKA_MB": "384",
    "DASHCELL_STACK_HBASE_REGION_SERVER_MB": "512",
    "DASHCELL_STACK_HBASE_GATEWAY_MB": "256",
}
"""Two cells and all the rest share one test machine."""

_KILL = (
    "import json, os, signal, sys\n"
    "children = json.load(open('/data/run/children.json'))['children']\n"
    "(pid,) = [child['pid'] for child in children if child['name'] == sys.argv[1]]\n"
    "os.kill(pid, signal.SIGKILL)\n"
)
"""Run inside a container: kill -9 one child of the supervisor there."""


@contextmanager
def built_images(folder: Path) -> Iterator[dict[str, str]]:
    """The tag of each image of the repository; they are removed at the end, their layers too."""
    context.fill(folder, cache_of_jars(), lambda text: None)
    with ExitStack() as stack:
        tags = {}
        for target in context.TARGETS:
            tag = f"dashcell-test-{target}:{folder.name.lower()}"
            stack.enter_context(DockerImage(folder, tag=tag, target=target, rm=True))
            tags[target] = tag
        yield tags


def cache_of_jars() -> Path:
    """The user's cache of jars, as the product finds it."""
    return jar_cache(load_config())


class ContainerPlatform:
    """`tests.higgs.platform.Platform` in containers; use it as a context manager."""

    def __init__(self, images: dict[str, str], cells: Sequence[str] = ("a", "b")) -> None:
        self._images = images
        self._cells = tuple(cells)
        self._stack = ExitStack()
        self._containers: dict[str, DockerContainer] = {}
        self._network = ""
        self._router_port = 0
        # Ryuk, which would tidy up after a killed test, is an image of a registry.
        testcontainers_config.ryuk_disabled = True

    def __enter__(self) -> Self:
        """Start everything; returns when every part is ready."""
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def cells(self) -> tuple[str, ...]:
        """The names of the cells."""
        return self._cells

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All of them."""
        return tuple(Fault)

    @property
    def router(self) -> str:
        """The router's port on this machine."""
        return f"{LOOPBACK}:{self._router_port}"

    def client(self) -> Dashboard:
        """A client of the router."""
        return self._stack.enter_context(DashboardClient([self.router]))

    def found(self) -> FoundPlatform:
        """The platform as `cellctl --registry` finds it."""
        zookeeper = self._at("zookeeper", server.ZOOKEEPER_PORT)
        found = FoundPlatform(_config(), StackSeams(_config(), zookeeper), "stack", zookeeper)
        self._stack.callback(found.close)
        return found

    def inject(self, fault: Fault, cell: str) -> None:
        """Make a fault; returns when it is over and the part answers again."""
        ingest = f"ingest-{cell}"
        match fault:
            case Fault.KILL_INGEST:
                self._container(ingest).kill()
                self._container(ingest).start()
                self._wait_healthy(ingest)
            case Fault.KILL_GATEWAY:
                self._kill_child(cell, "thrift2")
            case Fault.KILL_REGION_SERVER:
                self._kill_child(cell, "regionserver")
            case Fault.FLUSH_CACHE:
                self._exec(f"redis-{cell}", "entry", "sh", "-c", _FLUSH)
            case Fault.RESTART_ROUTER:
                self._container("router").restart()
                self._wait_healthy("router")
            case Fault.STALL_INGEST:
                self._container(ingest).pause()
                until("the group lost its member", lambda: not self._members(cell), 60)
                self._container(ingest).unpause()
                self._wait_healthy(ingest)

    def caught_up(self) -> bool:
        """Whether every cell has applied what is the end of the log now."""
        cells = self._watcher.status().cells
        known = [cell for cell in cells if cell.positions]
        return len(known) == len(self._cells) and all(
            each.low >= each.end for cell in known for each in cell.positions
        )

    def rewind(self, cell: str) -> None:
        """Let the cell's group read the log again from its beginning."""
        container = self._container(f"ingest-{cell}")
        container.stop(timeout=30)
        until("the group is empty", lambda: not self._members(cell), 60)
        self._seams.checkpoints().rewind(group_of(cell), dict.fromkeys(range(PARTITIONS), 0))
        container.start()

    def replayed(self, cell: str) -> bool:
        """Whether the cell's group has read on to the end of the log."""
        committed = self._seams.checkpoints().committed(group_of(cell))
        spans = self._seams.firehose().spans()
        return all(committed.get(p, 0) >= span.end for p, span in enumerate(spans))

    def table_hash(self, cell: str) -> str:
        """A hash over all rows and versions of the cell's tables."""
        return table_hash(self._seams.cell(cell).tables)

    @functools.cached_property
    def _seams(self) -> StackSeams:
        seams = StackSeams(_config(), self._at("zookeeper", server.ZOOKEEPER_PORT))
        self._stack.callback(seams.close)
        return seams

    @functools.cached_property
    def _watcher(self) -> FoundPlatform:
        return self.found()

    def _start(self) -> None:
        network = self._stack.enter_context(Network())
        self._network = network.name
        self._server("zookeeper", network)
        self._server("kafka", network)
        for cell in self._cells:
            self._server(f"redis-{cell}", network, "--cell", cell)
            self._server(f"hbase-{cell}", network, "--cell", cell)
        for name in list(self._containers):
            self._wait_ready(name)
        self._create(network)
        self._service(network, "idgen")
        self._service(network, "router")
        self._service(network, "firehose")
        for cell in self._cells:
            self._service(network, "ingest", cell)
            self._service(network, "dashboard", cell)
        for name in self._containers:
            if not name.startswith(("zookeeper", "kafka", "redis", "hbase")):
                self._wait_healthy(name)

    def _server(self, name: str, network: Network, *arguments: str) -> None:
        image = DockerContainer(self._images[name.partition("-")[0]], network=network)
        for key, value in (SMALL | self._where_zookeeper_is()).items():
            image.with_env(key, value)
        if arguments:
            image.with_command(list(arguments))
        self._run(name, image)

    def _wait_ready(self, name: str) -> None:
        strategy = LogMessageWaitStrategy(re.compile(rf"(?m)^{server.READY}$"))
        try:
            strategy.with_startup_timeout(READY_S).wait_until_ready(self._containers[name])
        except (RuntimeError, TimeoutError) as error:
            raise AssertionError(f"{name}:\n{_text(self._containers[name])}") from error

    def _create(self, network: Network) -> None:
        """Make the platform, from a container: it has to be able to reach every server."""
        one_off = DockerContainer(
            self._images["dashcell"],
            network=network,
            entrypoint=["entry", "python", "-m", "ops.images.service", "create"],
        )
        one_off.with_env("DASHCELL_CONFIG", CONFIG_FILE)
        one_off.with_copy_into_container(self._configuration().encode(), CONFIG_FILE)
        self._run("create", one_off)
        code = one_off.wait()
        del self._containers["create"]
        assert code == 0, _text(one_off)

    def _service(self, network: Network, role: str, cell: str = "") -> None:
        container = DockerContainer(self._images["dashcell"], network=network)
        container.with_command(["serve", role, *(["--cell", cell] if cell else [])])
        for key, value in self._where_zookeeper_is().items():
            container.with_env(key, value)
        if role == "router":
            # A port of the engine's choice would be another one after a restart.
            ports = PortReservation()
            self._router_port = ports.take()
            ports.close()
            container.with_bind_ports(ROUTER_PORT, self._router_port)
        self._run(f"{role}-{cell}" if cell else role, container)

    def _run(self, name: str, container: DockerContainer) -> None:
        # A dozen containers asked every half minute is load enough to disturb what is tested.
        container.with_kwargs(**container._kwargs, healthcheck={"test": ["NONE"]})
        self._stack.callback(container.stop)
        self._containers[name] = container
        container.start()

    def _where_zookeeper_is(self) -> dict[str, str]:
        if "zookeeper" not in self._containers:
            return {}
        return {"DASHCELL_SERVERS_ZOOKEEPER": self._at("zookeeper", server.ZOOKEEPER_PORT)}

    def _configuration(self) -> str:
        """The platform as an operator would describe it in dashcell.toml."""
        lines = [
            "[platform]",
            f"cells = {json.dumps(self._cells)}",
            f"partitions = {PARTITIONS}",
            "[servers]",
            f'zookeeper = "{self._at("zookeeper", server.ZOOKEEPER_PORT)}"',
            f'kafka = "{self._at("kafka", server.KAFKA_PORT)}"',
        ]
        for cell in self._cells:
            lines += [
                f"[servers.cells.{cell}]",
                f'hbase_thrift1 = "{self._at(f"hbase-{cell}", server.THRIFT1_PORT)}"',
                f'hbase_thrift2 = "{self._at(f"hbase-{cell}", server.THRIFT2_PORT)}"',
                f'redis = "{self._at(f"redis-{cell}", server.REDIS_PORT)}"',
            ]
        return "\n".join([*lines, ""])

    def _at(self, name: str, port: int) -> str:
        """Where a container listens on the engine's network."""
        container = self._container(name)
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"]
        return f"{networks[self._network]['IPAddress']}:{port}"

    def _container(self, name: str) -> Any:
        """docker-py's own object, which has no types."""
        return self._containers[name].get_wrapped_container()

    def health(self, name: str) -> tuple[int, str]:
        """What the health check of the container's image ends with, and says."""
        container = self._container(name)
        _, *check = container.image.attrs["Config"]["Healthcheck"]["Test"]
        where = container.attrs["Config"]["Env"]
        arguments = container.attrs["Config"]["Cmd"] or []
        cell = list(arguments) if "--probe" in check else []
        code, output = container.exec_run([*check, *cell], environment=where)
        return code, output.decode(errors="replace")

    def names(self) -> list[str]:
        """All containers."""
        return list(self._containers)

    def _exec(self, name: str, *command: str) -> str:
        code, output = self._container(name).exec_run(list(command))
        assert code == 0, f"{name}: {' '.join(command)}: {output.decode()}"
        return str(output.decode())

    def _kill_child(self, cell: str, role: str) -> None:
        """Kill one process of a cell's HBase; its supervisor in the container starts it again."""
        name = f"hbase-{cell}"
        self._exec(name, "python", "-c", _KILL, f"{name}-{role}")
        probe = ["entry", "python", "-m", "ops.images.server", "hbase", "--cell", cell, "--probe"]
        container = self._container(name)
        until(f"{name} answers again", lambda: container.exec_run(probe)[0] == 0, READY_S)

    def _members(self, cell: str) -> int:
        return len(self._seams.checkpoints().members(group_of(cell)))

    def _wait_healthy(self, name: str) -> None:
        """Wait for readiness as a balancer asks for it; its log tells why it does not come."""

        def ready() -> bool:
            self._container(name).reload()
            status = self._container(name).status
            assert status != "exited", f"{name} ended:\n{_text(self._containers[name])}"
            try:
                return not not_ready_because(self._at(name, ADMIN_PORT))
            except (OSError, ValueError, socket.gaierror):
                return False

        until(f"{name} is ready", ready, READY_S)


_FLUSH = 'redis-cli -h "$DASHCELL_LISTEN_HOST" flushall'


def _config() -> Config:
    return load_config(env={}, overrides={"platform.profile": "stack"})


def _text(container: DockerContainer) -> str:
    """The end of what a container said."""
    out, err = container.get_logs()
    return "\n".join((out + err).decode(errors="replace").splitlines()[-25:])
