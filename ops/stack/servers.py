"""The set of servers that a platform runs on: which of them are ours, and where each is found."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ops.stack import hbase, kafka, redis, zookeeper
from ops.stack.child import ChildSpec
from ops.stack.disk import require_free_space
from ops.stack.hbase import HBaseHeaps
from ops.stack.jars import JarSets, Progress, ensure_jars
from ops.stack.java import Java, archive_folder, find_java
from ops.stack.ports import LOOPBACK, PortReservation, require_free
from ops.stack.redis_binary import find_redis

ON_JAVA = frozenset({"zookeeper", "kafka", "hbase"})
KINDS = ON_JAVA | {"redis"}

_Program = TypeVar("_Program")


@dataclass(frozen=True)
class CellAddresses:
    """Where one cell's servers are, each as "host:port"."""

    hbase_thrift1: str
    hbase_thrift2: str
    redis: str
    znode_parent: str


@dataclass(frozen=True)
class Addresses:
    """Where all servers are, each as "host:port"."""

    zookeeper: str
    kafka: str
    cells: dict[str, CellAddresses]


@dataclass(frozen=True)
class Programs:
    """What the servers are run with; found before anything is started.

    None where no server that is ours needs it. ``archives`` is a folder of class archives for a
    quicker start, which need not exist.
    """

    java: Java | None
    jars: JarSets | None
    redis: str | None
    archives: Path | None = None


@dataclass(frozen=True)
class CellOverrides:
    """Addresses of servers of one cell that run elsewhere; None has us start them.

    The two gateways go together: they are one HBase.
    """

    hbase_thrift1: str | None = None
    hbase_thrift2: str | None = None
    redis: str | None = None


@dataclass(frozen=True)
class Overrides:
    """Addresses of servers that run elsewhere, and ports that are not to be chosen.

    ``ports`` maps ``CHILD`` or ``CHILD/PURPOSE`` (as in ``zookeeper``, ``kafka/controller``,
    ``hbase-a-thrift2``) to a port; what it does not name is chosen free.
    """

    zookeeper: str | None = None
    kafka: str | None = None
    cells: dict[str, CellOverrides] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """Heap bounds and cache size in MiB."""

    zookeeper_mb: int = 128
    kafka_mb: int = 512
    hbase: HBaseHeaps = field(default_factory=HBaseHeaps)
    redis_mb: int = 128


@dataclass(frozen=True)
class StackServers:
    """Children to start, in an order in which needs come first, and where everything will be."""

    children: list[ChildSpec]
    addresses: Addresses


class Planner:
    """Turns wishes into children; keeps the ports it has chosen until their servers start."""

    def __init__(
        self,
        folder: Path,
        programs: Programs,
        overrides: Overrides | None = None,
        memory: Memory | None = None,
    ) -> None:
        """``folder`` is the platform's; every server gets a folder of its own below it.

        Raises DiskFull when less than 1 GiB is free there.
        """
        require_free_space(folder)
        self._folder = folder.absolute() / "servers"
        self._programs = programs
        self._overrides = overrides or Overrides()
        self._memory = memory or Memory()
        self._ports = PortReservation()

    def stack(self, cells: list[str]) -> StackServers:
        """All servers of a platform with these cells.

        Raises PortInUse for a configured port that is taken.
        """
        zookeeper_children, zookeeper_address = self.plan_zookeeper()
        kafka_children, kafka_address = self.plan_kafka()
        children = [*zookeeper_children, *kafka_children]
        found: dict[str, CellAddresses] = {}
        for cell in cells:
            more, found[cell] = self.plan_cell(cell, zookeeper_address)
            children += more
        return StackServers(children, Addresses(zookeeper_address, kafka_address, found))

    def plan_zookeeper(self) -> tuple[list[ChildSpec], str]:
        """ZooKeeper's child, if it is ours, and its address."""
        if self._overrides.zookeeper is not None:
            return [], self._overrides.zookeeper
        settings = zookeeper.ZooKeeperSettings(
            self._port(zookeeper.NAME), self._memory.zookeeper_mb
        )
        spec = zookeeper.child(
            self._folder / "zookeeper",
            settings,
            _found(self._programs.java),
            _found(self._programs.jars).zookeeper,
            archives=self._programs.archives,
        )
        return [self._holding(spec)], _local(settings.port)

    def plan_kafka(self) -> tuple[list[ChildSpec], str]:
        """Kafka's child, if it is ours, and its address."""
        if self._overrides.kafka is not None:
            return [], self._overrides.kafka
        settings = kafka.KafkaSettings(
            self._port(kafka.NAME),
            self._port(kafka.NAME, "controller"),
            self._memory.kafka_mb,
        )
        spec = kafka.child(
            self._folder / "kafka",
            settings,
            _found(self._programs.java),
            _found(self._programs.jars).kafka,
            archives=self._programs.archives,
        )
        return [self._holding(spec)], _local(settings.port)

    def plan_cell(self, cell: str, zookeeper_address: str) -> tuple[list[ChildSpec], CellAddresses]:
        """A cell's children that are ours, and its addresses.

        Also for a cell that is added to a running platform.
        """
        overrides = self._overrides.cells.get(cell, CellOverrides())
        caches: list[ChildSpec] = []
        cache = overrides.redis
        if cache is None:
            caches, cache = self.plan_redis(cell)
        children, addresses = self.plan_hbase(cell, zookeeper_address, cache)
        return [*children, *caches], addresses

    def plan_hbase(
        self, cell: str, zookeeper_address: str, cache: str
    ) -> tuple[list[ChildSpec], CellAddresses]:
        """A cell's HBase children, if they are ours, and the cell's addresses with this cache."""
        overrides = self._overrides.cells.get(cell, CellOverrides())
        thrift1, thrift2 = overrides.hbase_thrift1, overrides.hbase_thrift2
        if thrift1 is not None and thrift2 is not None:
            return [], CellAddresses(thrift1, thrift2, cache, hbase.znode_parent(cell))
        settings = self._hbase_settings(cell, zookeeper_address)
        parent = hbase.znode_parent(cell, settings.life)
        children = hbase.children(
            self._folder / f"hbase-{cell}",
            settings,
            _found(self._programs.java),
            _found(self._programs.jars).hbase,
            archives=self._programs.archives,
            needs=() if self._overrides.zookeeper else (zookeeper.NAME,),
        )
        addresses = CellAddresses(
            _local(settings.thrift1_port), _local(settings.thrift2_port), cache, parent
        )
        return [self._holding(spec) for spec in children], addresses

    def plan_redis(self, cell: str) -> tuple[list[ChildSpec], str]:
        """A cell's Redis alone, and its address."""
        port = self._port(redis.name(cell))
        settings = redis.RedisSettings(cell, port, self._memory.redis_mb)
        program = _found(self._programs.redis)
        spec = redis.child(self._folder / f"redis-{cell}", settings, program)
        return [self._holding(spec)], _local(port)

    def close(self) -> None:
        """Let go of ports that were chosen for servers that were never started."""
        self._ports.close()

    def _hbase_settings(self, cell: str, zookeeper_address: str) -> hbase.HBaseSettings:
        master, region_server, thrift1, thrift2 = (
            self._port(hbase.name(cell, role)) for role in hbase.ROLES
        )
        return hbase.HBaseSettings(
            cell,
            zookeeper_address,
            master,
            region_server,
            thrift1,
            thrift2,
            self._memory.hbase,
            life=hbase.life_of(self._folder / f"hbase-{cell}"),
        )

    def _port(self, child: str, purpose: str | None = None) -> int:
        setting = child if purpose is None else f"{child}/{purpose}"
        configured = self._overrides.ports.get(setting)
        if configured is None:
            return self._ports.take()
        require_free(configured, child, f"the port of {setting}")
        return configured

    def _holding(self, spec: ChildSpec) -> ChildSpec:
        """The child, letting go of its reserved ports at the last moment before it starts."""

        def prepare() -> None:
            if spec.prepare is not None:
                spec.prepare()
            for port in spec.ports.values():
                self._ports.release(port)

        return replace(spec, prepare=prepare)


def find_programs(
    cache: Path,
    progress: Progress,
    *,
    java_home: str | None = None,
    kinds: Collection[str] = KINDS,
) -> Programs:
    """Java, the jars and a Redis, as far as servers of these kinds need them.

    Fetches jars that ``cache`` does not have. Raises JavaMissing, JavaUnsuitable, RedisMissing,
    MavenMissing, JarsUnavailable or DiskFull.
    """
    redis_program = find_redis() if "redis" in kinds else None
    if not ON_JAVA.intersection(kinds):
        return Programs(None, None, redis_program)
    java = find_java(java_home)
    jars = ensure_jars(cache, progress)
    archives = archive_folder(cache, java, (jars.hbase, jars.kafka, jars.zookeeper))
    return Programs(java, jars, redis_program, archives)


def _found(program: _Program | None) -> _Program:
    assert program is not None, "find_programs was told of every kind that is started"
    return program


def _local(port: int) -> str:
    return f"{LOOPBACK}:{port}"
