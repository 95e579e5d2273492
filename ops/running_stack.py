"""`cellctl up` of the stack profile: real servers and every service as supervised children."""

import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import stamina

from idgen.errors import BadRequest, Unavailable
from ops import addresses
from ops.addresses import MadeAs, Whereabouts
from ops.config import Config, environment_of, jar_cache, java_home
from ops.creation import Progress, create_platform, tell_addresses, tell_servers
from ops.followed_cells import FollowedCells
from ops.found import FoundPlatform
from ops.platform_port import Platform
from ops.readyz import not_ready_because
from ops.stack import hbase, redis
from ops.stack.child import ChildSpec, NotReady
from ops.stack.errors import StackError
from ops.stack.hbase import HBaseHeaps
from ops.stack.ports import PortReservation, require_free
from ops.stack.servers import (
    Addresses,
    CellAddresses,
    CellOverrides,
    Memory,
    Overrides,
    Planner,
    find_programs,
)
from ops.stack.supervisor import Supervisor
from ops.stack.watched import Happening
from ops.wiring.stack import StackSeams
from router.bootstraps import changed
from router.cells import RUNNING, CellInfo, CellState, change_cell, groups_of, read_cell, read_cells
from router.registry import Registry

_NO_GROUPS: Mapping[str, str] = MappingProxyType({})
LOUD = ("died", "gave up", "warning")
READY_S = 300.0
CREATE_S = 60.0
"""So long a creation is tried again while servers are not there yet."""
WITHOUT_THRIFT = ("ingest", "mover", "relay")
"""Roles that nobody calls: they have an admin port alone."""


class RunningStack:
    """`ops.platform_port.Running` over one supervisor, which tests may ask to kill children."""

    def __init__(self, config: Config, progress: Progress) -> None:
        """Returns when everything is ready. Raises StackError, Conflict, Unavailable, and
        BadRequest where our own servers cannot be spoken to as the configuration says."""
        _check_access(config)
        self._config = config
        self._folder = Path(config.platform.data)
        self._progress = progress
        self._ended = threading.Event()
        self._loudly = progress
        self._cells = addresses.cells_of(config.platform)
        self.supervisor = Supervisor(self._folder, self._report)
        self._ports = PortReservation()
        self._router_port = 0
        self._followed: FollowedCells | None = None
        try:
            self._platform = self._start()
        except BaseException:
            self.stop()
            raise
        self._loudly = _on_stderr

    @property
    def platform(self) -> Platform:
        """How to talk to it."""
        return self._platform

    def wait(self) -> None:
        """Until it is told to stop; raises ChildFailed when a child was given up."""
        self.supervisor.run_until(self._ended)

    def ask_to_stop(self) -> None:
        """Have `wait` return; for signal handlers."""
        self._ended.set()

    def stop(self) -> None:
        """Stop services, then servers; idempotent."""
        if self._followed is not None:
            self._followed.close()
        addresses.forget(self._folder)
        self._ports.close()
        self.supervisor.stop()

    def _start(self) -> Platform:
        found = self._start_servers()
        zookeeper = found.zookeeper
        seams = StackSeams(self._config, zookeeper)
        try:
            self._progress("creating the platform")
            groups = self._config.platform.cell_groups
            infos = [_cell_info(name, cell, groups) for name, cell in found.cells.items()]
            theirs = self._config.servers.groups
            tell_servers(seams.registry, found.kafka, infos, theirs)
            names = self._created(seams)
            relayed = groups_of(read_cells(seams.registry))
        finally:
            seams.close()
        self._cells = tuple(name for name in self._cells if name in names)
        addresses.made_as(self._folder, MadeAs("stack", self._cells))
        addresses.tell(self._folder, Whereabouts("stack", zookeeper, os.getpid()))
        self._progress("starting the services")
        for spec in self._services(names, zookeeper, relayed):
            self.supervisor.start(spec)
        self.supervisor.wait_ready(timeout_s=READY_S)
        seams = StackSeams(self._config, zookeeper)
        followed = StackCells(self, seams.registry, zookeeper)
        self._followed = FollowedCells(seams.registry, followed.follow, _on_stderr)
        self._followed.start()
        return FoundPlatform(self._config, seams, "stack", zookeeper)

    def planner(self, cells: Sequence[str]) -> Planner:
        """One that can start the servers of these cells; `close` it."""
        config = self._config
        programs = find_programs(
            jar_cache(config),
            self._progress,
            java_home=java_home(config),
            kinds=config.servers.left_out(cells),
        )
        return Planner(self._folder, programs, _overrides(config), _memory(config))

    def with_servers(self, cell: str) -> None:
        """Remember that a cell's servers are started with the platform."""
        self._cells = (*self._cells, cell)
        addresses.made_as(self._folder, MadeAs("stack", self._cells))

    def without_servers(self, cell: str) -> None:
        """The opposite."""
        self._cells = tuple(name for name in self._cells if name != cell)
        addresses.made_as(self._folder, MadeAs("stack", self._cells))

    def _created(self, seams: StackSeams) -> list[str]:
        """Servers that have only just begun may be slow on a full machine, and every step of a
        creation can be repeated."""

        def again(error: Exception) -> bool:
            if isinstance(error, Unavailable):
                self._progress(f"not yet: {error}")
            return isinstance(error, Unavailable)

        section = self._config.platform
        for attempt in stamina.retry_context(
            on=again, attempts=None, timeout=CREATE_S, wait_initial=1.0, wait_max=5.0
        ):
            with attempt:
                return create_platform(
                    seams, self._cells, self._progress, section.log_base, section.cell_groups
                )
        raise AssertionError("a retry that neither returned nor raised")

    def _start_servers(self) -> Addresses:
        planner = self.planner(self._cells)
        try:
            servers = planner.stack(list(self._cells))
            self.supervisor.start_all(servers.children)
            self._progress(f"starting {len(servers.children)} servers")
            if servers.children:
                self.supervisor.wait_ready(timeout_s=READY_S)
        finally:
            planner.close()
        return servers.addresses

    def _services(
        self, cells: Iterable[str], zookeeper: str, groups: Iterable[str]
    ) -> list[ChildSpec]:
        listen = self._config.listen
        counts = {"idgen": 1, "router": listen.routers, "mover": 1, "firehose": 1}
        found = [
            self.service(role, "", zookeeper, number)
            for role, count in counts.items()
            for number in range(1, count + 1)
        ]
        found += [self.relay(group, zookeeper) for group in groups]
        return found + [spec for cell in cells for spec in self.services_of(cell, zookeeper)]

    def relay(self, group: str, zookeeper: str) -> ChildSpec:
        """The relay of a group of cells."""
        return self.service("relay", group, zookeeper)

    def services_of(self, cell: str, zookeeper: str) -> list[ChildSpec]:
        """The services of one cell."""
        config = self._config
        counts = {"ingest": config.ingest.workers, "dashboard": config.listen.dashboards}
        return [
            self.service(role, cell, zookeeper, number)
            for role, count in counts.items()
            for number in range(1, count + 1)
        ]

    def service(self, role: str, of: str, zookeeper: str, number: int = 1) -> ChildSpec:
        """A service on ports that stay its own over its restarts; `of`: its cell, or a relay's
        group; `number`: which of its kind."""
        name = f"{role}-{of}" if of else role
        name += f".{number}" if number > 1 else ""  # no cell's name has a dot
        ports = {"admin": self._ports.take()}
        environment = environment_of(self._config)
        environment["DASHCELL_SERVERS_ZOOKEEPER"] = zookeeper
        environment["DASHCELL_LISTEN_ADMIN"] = str(ports["admin"])
        if role not in WITHOUT_THRIFT:
            ports["thrift"] = self._thrift_port(role, name, number)
            environment[f"DASHCELL_LISTEN_{role.upper()}"] = str(ports["thrift"])
        argv = [sys.executable, "-m", "ops.cellctl.main", "serve", role]
        argv += ["--data", str(self._folder)]
        argv += ["--group" if role == "relay" else "--cell", of] if of else []
        return ChildSpec(
            name=name,
            argv=tuple(argv),
            folder=self._folder / "services" / name,
            log=self._folder / "services" / f"{name}.log",
            ready=partial(
                _answers if role in WITHOUT_THRIFT else _probe,
                f"{self._config.listen.host}:{ports['admin']}",
            ),
            env=environment,
            prepare=partial(self._let_go, tuple(ports.values())),
            ports=ports,
        )

    def _thrift_port(self, role: str, name: str, number: int) -> int:
        if role == "router" and number > 1:
            return self._router_port  # all of them listen on one
        configured: int = getattr(self._config.listen, role) if number == 1 else 0
        if configured:
            require_free(configured, name, f"listen.{role}")
        port = configured or self._ports.take()
        if role == "router":
            self._router_port = port
        return port

    def _let_go(self, ports: tuple[int, ...]) -> None:
        for port in ports:
            self._ports.release(port)

    def _report(self, happening: Happening) -> None:
        if happening.kind in LOUD or (happening.kind == "ready" and self._loudly is not _on_stderr):
            self._loudly(f"{happening.name}: {happening.kind} {happening.detail}".rstrip())


class StackCells:
    """What a platform that runs does with cells that are added and retired meanwhile."""

    def __init__(self, stack: RunningStack, registry: Registry, zookeeper: str) -> None:
        self._stack = stack
        self._registry = registry
        self._zookeeper = zookeeper
        self._started: dict[str, CellAddresses] = {}
        self._relayed: set[str] = set()

    def follow(self, infos: Sequence[CellInfo]) -> None:
        """Start servers for cells that have none, services for those that have to run, and stop
        those of retired ones."""
        for info in infos:
            if info.state is CellState.PROVISIONING and not info.redis:
                self._begin_servers(info)
            elif info.state in RUNNING:
                self._begin_services(info.name)
            elif info.state is CellState.RETIRED:
                self._end(info.name)
        self._follow_groups(groups_of(infos))

    def _follow_groups(self, groups: Iterable[str]) -> None:
        """A relay for each group that has cells, and for no other; whoever stops one means it."""
        supervisor = self._stack.supervisor
        relays = {relay_name(group): group for group in groups}
        for name in relays.keys() - self._relayed:
            if name not in supervisor.names():
                supervisor.start_all([self._stack.relay(relays[name], self._zookeeper)])
        for name in self._relayed - relays.keys():
            if name in supervisor.names():
                supervisor.stop_child(name)
        self._relayed = set(relays)

    def _begin_servers(self, info: CellInfo) -> None:
        name = info.name
        if info.bootstrap is not None and info.bootstrap.trouble:
            return
        if name not in self._started:  # they are, where the registry was away before it was told
            try:
                self._started[name] = self._start_servers(name)
            except StackError as error:
                self._in_trouble(name, f"its servers cannot be started: {error}")
                return
            self._stack.with_servers(name)
        tell_addresses(self._registry, [_cell_info(name, self._started[name])])

    def _start_servers(self, cell: str) -> CellAddresses:
        supervisor = self._stack.supervisor
        planner = self._stack.planner((cell,))
        try:
            children, found = planner.plan_cell(cell, self._zookeeper)
            supervisor.start_all(children)
            supervisor.wait_ready([child.name for child in children], READY_S)
        finally:
            planner.close()
        return found

    def _begin_services(self, cell: str) -> None:
        """All of them, once: whoever stops one of them later means it. Asked for again and again,
        and each service that is made takes ports."""
        supervisor = self._stack.supervisor
        if any(_is_service_of(name, cell) for name in supervisor.names()):
            return
        supervisor.start_all(self._stack.services_of(cell, self._zookeeper))

    def _end(self, cell: str) -> None:
        """Stop all of a cell, what depends on others first."""
        supervisor = self._stack.supervisor
        of_cell = [name for name in supervisor.names() if _is_of(name, cell)]
        for name in reversed(of_cell):
            supervisor.stop_child(name)
        if of_cell:
            self._stack.without_servers(cell)

    def _in_trouble(self, name: str, why: str) -> None:
        self._end(name)
        found = read_cell(self._registry, name)
        remedy = f"`cellctl retire-cell {name} --execute`, and add another cell when it is mended"
        trouble = f"{why}; {remedy}"
        change_cell(self._registry, changed(found.info, trouble=trouble), found.version)


def _is_of(child: str, cell: str) -> bool:
    """Whether a child is a server or a service of a cell."""
    servers = (redis.name(cell), *(hbase.name(cell, role) for role in hbase.ROLES))
    return _is_service_of(child, cell) or child in servers


def _is_service_of(child: str, cell: str) -> bool:
    return child.partition(".")[0] in (f"ingest-{cell}", f"dashboard-{cell}")


def relay_name(group: str) -> str:
    """The child that is the relay of a group of cells."""
    return f"relay-{group}"


def _on_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _probe(admin: str) -> None:
    why = not_ready_because(admin)
    if why:
        raise NotReady(why)


def _answers(admin: str) -> None:
    """Whether it runs: what it waits for, a cell whose tables were lost for example, is for an
    operator to mend, who needs a platform that is up. `cellctl status` tells it."""
    not_ready_because(admin)


def _check_access(config: Config) -> None:
    """Servers that we start listen without users and TLS; ZooKeeper alone takes any user."""
    servers = config.servers
    own_cells = [name for name in addresses.cells_of(config.platform) if name not in servers.cells]
    given = servers.cells.items()
    caches = own_cells or [name for name, cell in given if not cell.redis]
    tables = own_cells or [name for name, cell in given if not cell.hbase_thrift1]
    ours = "that `cellctl up` starts has neither users nor TLS; name one that runs"
    if (config.kafka.user or config.kafka.tls) and not servers.kafka:
        raise BadRequest("kafka", f"the Kafka {ours}: servers.kafka")
    redis = config.redis
    if (redis.user or redis.password or redis.tls) and caches:
        raise BadRequest("redis", f"the Redis {ours}: servers.cells.{caches[0]}.redis")
    if config.zookeeper.tls and not servers.zookeeper:
        raise BadRequest("zookeeper.tls", f"the ZooKeeper {ours}: servers.zookeeper")
    if config.zookeeper.tls and tables:
        raise BadRequest(
            "zookeeper.tls",
            "an HBase that `cellctl up` starts speaks to ZooKeeper without TLS; name one that "
            f"runs: servers.cells.{tables[0]}.hbase_thrift1 and hbase_thrift2",
        )


def _overrides(config: Config) -> Overrides:
    servers = config.servers
    cells = {
        name: CellOverrides(
            cell.hbase_thrift1 or None, cell.hbase_thrift2 or None, cell.redis or None
        )
        for name, cell in servers.cells.items()
    }
    return Overrides(
        servers.zookeeper or None, servers.kafka or None, cells, dict(config.listen.stack)
    )


def _memory(config: Config) -> Memory:
    stack = config.stack
    heaps = HBaseHeaps(stack.hbase_master_mb, stack.hbase_region_server_mb, stack.hbase_gateway_mb)
    return Memory(stack.zookeeper_mb, stack.kafka_mb, heaps, stack.redis_mb)


def _cell_info(name: str, found: CellAddresses, groups: Mapping[str, str] = _NO_GROUPS) -> CellInfo:
    """A cell as it is told to the registry; `groups` are those of the cells of a new platform."""
    return CellInfo(
        name,
        hbase_thrift1=(found.hbase_thrift1,),
        hbase_thrift2=(found.hbase_thrift2,),
        redis=found.redis,
        group=groups.get(name, ""),
    )
