"""`python -m ops.images.server NAME`: a server in the foreground of its container.

NAME is zookeeper, kafka, redis, or hbase, which is a whole cell's: master, region server and both
gateways. The server is told exactly what `cellctl up` tells its own (`ops.stack`), but for the
address it listens on (`listen.host`) and for fixed ports, a container having all ports to itself.
With `--probe` it asks once whether the server of this container is ready.
"""

import argparse
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import FrameType

from idgen.errors import BadRequest
from ops.config import jar_cache, java_home, load_config
from ops.config_settings import Config
from ops.stack import hbase, kafka, redis, zookeeper
from ops.stack.child import ChildSpec, NotReady
from ops.stack.disk import require_free_space
from ops.stack.errors import StackError
from ops.stack.jars import HBASE, KAFKA, ZOOKEEPER, ensure_set
from ops.stack.java import Java, find_java
from ops.stack.redis_binary import find_redis
from ops.stack.supervisor import Supervisor
from ops.stack.watched import Happening

NAMES = ("zookeeper", "kafka", "hbase", "redis")
ZOOKEEPER_PORT = 2181
KAFKA_PORT, KAFKA_CONTROLLER_PORT = 9092, 9093
MASTER_PORT, REGION_SERVER_PORT, THRIFT1_PORT, THRIFT2_PORT = 16000, 16020, 9090, 9091
REDIS_PORT = 6379
READY = "ready"
"""The one word on stdout, once everything in the container answers."""

READY_TIMEOUT_S = 400.0
"""For each child: an engine starts many containers at once, and a slow start is no failure."""


def children(name: str, cell: str, folder: Path, config: Config) -> list[ChildSpec]:
    """What runs in the container of the server ``name``; ``cell`` is for hbase and redis.

    Raises StackError for a missing program or jars, BadRequest(servers.zookeeper) for an HBase
    without a ZooKeeper.
    """
    host, memory = config.listen.host, config.stack
    if name == "redis":
        cache = redis.RedisSettings(cell, REDIS_PORT, memory.redis_mb, host)
        return [redis.child(folder, cache, find_redis())]
    if name == "zookeeper":
        keeper = zookeeper.ZooKeeperSettings(ZOOKEEPER_PORT, memory.zookeeper_mb, host)
        return [zookeeper.child(folder, keeper, _java(config), _jars("zookeeper", config))]
    if name == "kafka":
        broker = kafka.KafkaSettings(
            KAFKA_PORT, KAFKA_CONTROLLER_PORT, memory.kafka_mb, _retention_hours(config), host
        )
        return [kafka.child(folder, broker, _java(config), _jars("kafka", config))]
    if not config.servers.zookeeper:
        raise BadRequest("servers.zookeeper", "an HBase cell needs ZooKeeper's address")
    heaps = hbase.HBaseHeaps(
        memory.hbase_master_mb, memory.hbase_region_server_mb, memory.hbase_gateway_mb
    )
    ports = (MASTER_PORT, REGION_SERVER_PORT, THRIFT1_PORT, THRIFT2_PORT)
    settings = hbase.HBaseSettings(cell, config.servers.zookeeper, *ports, heaps, host=host)
    return hbase.children(folder, settings, _java(config), _jars("hbase", config))


def run(name: str, cell: str, folder: Path, config: Config) -> None:
    """Run until SIGTERM or SIGINT; says "ready" on stdout, and everything else on stderr.

    Raises StackError when a child was given up: the container ends, and its engine's restart
    policy decides what follows.
    """
    require_free_space(folder)
    ended = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    specs = children(name, cell, folder, config)
    with Supervisor(folder, _tell) as supervisor:
        supervisor.start_all(replace(spec, ready_timeout_s=READY_TIMEOUT_S) for spec in specs)
        supervisor.wait_ready(timeout_s=READY_TIMEOUT_S)
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        supervisor.run_until(ended)


def probe(name: str, cell: str, folder: Path, config: Config) -> None:
    """Return when all that runs here answers; raises NotReady or OSError with the reason."""
    for spec in children(name, cell, folder, config):
        spec.ready()


def main(arguments: list[str]) -> int:
    """Run or probe; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops.images.server")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--cell", default="a", help="the cell's name, for hbase and redis")
    parser.add_argument("--probe", action="store_true", help="only ask whether it is ready")
    chosen = parser.parse_args(arguments)
    act = probe if chosen.probe else run
    try:
        config = load_config()
        act(chosen.name, chosen.cell, Path(config.platform.data).absolute(), config)
    except (BadRequest, StackError, NotReady, OSError) as error:
        _say(f"{chosen.name}: {error}")
        return 1
    return 0


def _java(config: Config) -> Java:
    return find_java(java_home(config))


def _jars(name: str, config: Config) -> Path:
    sets = {jars.server: jars for jars in (HBASE, KAFKA, ZOOKEEPER)}
    return ensure_set(sets[name], jar_cache(config), _say)


def _retention_hours(config: Config) -> int:
    return max(1, config.firehose.retention_ms // 3_600_000)


def _tell(happening: Happening) -> None:
    _say(f"{happening.name}: {happening.kind} {happening.detail}".rstrip())


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
