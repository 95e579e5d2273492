"""Fixtures that start real servers, once per test session and only those that a test asks for."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.stack.errors import (
    JarsUnavailable,
    JavaMissing,
    JavaUnsuitable,
    MavenMissing,
    RedisMissing,
)
from ops.stack.servers import CellAddresses, Planner, Programs, find_programs
from ops.stack.supervisor import Supervisor
from ops.stack.watched import Happening
from ops.template.memory import hold_much

CELL = "a"
LONG = ("sim", "stack")
REAL_INPUT = Path(__file__).parent / "stack" / "test_higgs.py"
MISSING = (JarsUnavailable, JavaMissing, JavaUnsuitable, MavenMissing, RedisMissing)


def pytest_configure() -> None:
    """Garbage as in every process of the product; models of whole platforms are held here too.

    The servers' JVMs live for minutes here: their optimising compiler never earns back what it
    takes, a seventh of the servers' CPU seconds in tests/stack/test_higgs.py.
    """
    hold_much()
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for a real server is marked so, and whole worlds are slow: `make test` runs
    what is neither first. The real input comes last, when both cores are free for it."""
    items.sort(key=lambda item: item.path == REAL_INPUT)
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)
        if item.path.parent.name in LONG:
            item.add_marker(pytest.mark.slow)


class Servers:
    """Real servers of this test session, each started when it is first asked for.

    ``supervisor`` is for tests that kill: children are named ``zookeeper``, ``kafka``,
    ``hbase-a-master``, ``hbase-a-regionserver``, ``hbase-a-thrift1``, ``hbase-a-thrift2`` and
    ``redis-a``. Whoever kills one waits until it is ready again.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.cache = cache
        self._folder = folder
        self._lock = threading.RLock()
        self._planner: Planner | None = None
        self._addresses: dict[str, str] = {}
        self._cells: dict[str, CellAddresses] = {}
        self.happenings: list[Happening] = []
        self.supervisor = Supervisor(folder, self.happenings.append)

    def zookeeper(self) -> str:
        """ZooKeeper's "host:port"."""
        with self._lock:
            if "zookeeper" not in self._addresses:
                children, address = self._plan().plan_zookeeper()
                self.supervisor.start_all(children)
                self._addresses["zookeeper"] = address
            self.supervisor.wait_ready(["zookeeper"])
            return self._addresses["zookeeper"]

    def kafka(self) -> str:
        """Kafka's bootstrap "host:port"."""
        with self._lock:
            if "kafka" not in self._addresses:
                children, address = self._plan().plan_kafka()
                self.supervisor.start_all(children)
                self._addresses["kafka"] = address
            self.supervisor.wait_ready(["kafka"])
            return self._addresses["kafka"]

    def redis(self, cell: str = CELL) -> str:
        """The "host:port" of a cell's Redis."""
        name = f"redis-{cell}"
        with self._lock:
            if name not in self._addresses:
                children, address = self._plan().plan_redis(cell)
                self.supervisor.start_all(children)
                self._addresses[name] = address
            self.supervisor.wait_ready([name])
            return self._addresses[name]

    def hbase(self, cell: str = CELL) -> CellAddresses:
        """A cell's addresses, its HBase and Redis being ready."""
        with self._lock:
            if cell not in self._cells:
                cache = self.redis(cell)
                address = self.zookeeper()
                children, found = self._plan().plan_hbase(cell, address, cache)
                self.supervisor.start_all(children)
                self._cells[cell] = found
            self.supervisor.wait_ready(
                [name for name in self.supervisor.names() if name.startswith(f"hbase-{cell}-")]
            )
            return self._cells[cell]

    def stop(self) -> None:
        """Stop all that was started."""
        self.supervisor.stop()
        if self._planner is not None:
            self._planner.close()

    def _plan(self) -> Planner:
        if self._planner is None:
            self._planner = Planner(self._folder, self.programs())
        return self._planner

    def programs(self) -> Programs:
        """Java, jars and Redis; skips the test where one is missing, and fails under CI."""
        try:
            return find_programs(
                self.cache, lambda text: None, java_home=os.environ.get("JAVA_HOME")
            )
        except MISSING as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"REAL SERVERS MISSING, NOT TESTED: {error}")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The session's real servers; asking for this alone starts none."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    running = Servers(tmp_path_factory.mktemp("servers"), Path(home) / "dashcell")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def zookeeper_address(servers: Servers) -> str:
    """A ready ZooKeeper's "host:port"."""
    return servers.zookeeper()


@pytest.fixture(scope="session")
def kafka_address(servers: Servers) -> str:
    """A ready Kafka's bootstrap "host:port"."""
    return servers.kafka()


@pytest.fixture(scope="session")
def redis_address(servers: Servers) -> str:
    """A ready Redis's "host:port"."""
    return servers.redis()


@pytest.fixture(scope="session")
def hbase_cell(servers: Servers) -> CellAddresses:
    """Addresses of cell "a": ``hbase_thrift1``, ``hbase_thrift2``, ``redis``, all ready."""
    return servers.hbase()
