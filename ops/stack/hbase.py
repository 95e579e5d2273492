"""One cell's HBase: configuration, command lines and its four children.

Distributed mode on one machine: a master, a region server and both Thrift gateways, with one
ZooKeeper shared by all cells and a znode parent per cell. Files and write-ahead log are local
(``file://``): they survive kill -9 of any process, not a power cut.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ops.stack import java as jvm
from ops.stack import probes
from ops.stack.child import ChildSpec
from ops.stack.configuration import hadoop_xml, write_file
from ops.stack.jars import class_path
from ops.stack.ports import LOOPBACK

MASTER = "org.apache.hadoop.hbase.master.HMaster"
REGION_SERVER = "org.apache.hadoop.hbase.regionserver.HRegionServer"
THRIFT1 = "org.apache.hadoop.hbase.thrift.ThriftServer"
THRIFT2 = "org.apache.hadoop.hbase.thrift2.ThriftServer"

OPENED = (
    "java.lang",
    "java.nio",
    "java.net",
    "java.util",
    "java.util.concurrent",
    "sun.nio.ch",
    "jdk.internal.ref",
    "jdk.internal.misc",
)
"""Packages of java.base that HBase reaches into (HBase reference guide, Java 17)."""

CONFIGURATION_FOLDER = "conf"
ROLES = ("master", "regionserver", "thrift1", "thrift2")


@dataclass(frozen=True)
class HBaseHeaps:
    """Heap bounds in MiB."""

    master_mb: int = 256
    region_server_mb: int = 1024
    gateway_mb: int = 512


@dataclass(frozen=True)
class HBaseSettings:
    """What one cell's HBase is started with; ``host`` is where all four listen, ``life`` which
    one of the cell it is (`life_of`)."""

    cell: str
    zookeeper: str
    master_port: int
    region_server_port: int
    thrift1_port: int
    thrift2_port: int
    heaps: HBaseHeaps = field(default_factory=HBaseHeaps)
    gateway_threads_max: int = 128
    host: str = LOOPBACK
    life: int = 1

    def port(self, role: str) -> int:
        """The port of one of ROLES."""
        ports = (self.master_port, self.region_server_port, self.thrift1_port, self.thrift2_port)
        return dict(zip(ROLES, ports, strict=True))[role]


def name(cell: str, role: str) -> str:
    """The name of a cell's child; ``role`` is one of ROLES."""
    return f"hbase-{cell}-{role}"


def znode_parent(cell: str, life: int = 1) -> str:
    """Where in ZooKeeper a cell's HBase keeps its state."""
    return f"/hbase-{cell}" if life == 1 else f"/hbase-{cell}.{life}"


def life_of(folder: Path) -> int:
    """Which HBase of this cell it is that has its data in `folder`: a new one where there are none.

    What one whose folder was lost has left in ZooKeeper would have the next one's master wait for
    ever for servers that were the other's.
    """
    counted = folder.with_name(f"{folder.name}.life")
    made = (folder / "data").exists()
    lives = int(counted.read_text()) if counted.exists() else int(made)
    if not made:
        lives += 1
        counted.parent.mkdir(parents=True, exist_ok=True)
        counted.write_text(f"{lives}\n")
    return lives


def site(folder: Path, settings: HBaseSettings) -> dict[str, str]:
    """The properties of hbase-site.xml, shared by the cell's four processes."""
    return {
        "hbase.cluster.distributed": "true",
        "hbase.rootdir": (folder / "data").absolute().as_uri(),
        "hbase.tmp.dir": str(folder / "tmp"),
        "hbase.zookeeper.quorum": settings.zookeeper,
        "zookeeper.znode.parent": znode_parent(settings.cell, settings.life),
        "zookeeper.session.timeout": "6000",
        "hbase.master.hostname": settings.host,
        "hbase.regionserver.hostname": settings.host,
        "hbase.master.ipc.address": settings.host,
        "hbase.regionserver.ipc.address": settings.host,
        "hbase.master.port": str(settings.master_port),
        "hbase.regionserver.port": str(settings.region_server_port),
        "hbase.master.info.port": "-1",
        "hbase.regionserver.info.port": "-1",
        **_STORAGE,
        **_SMALL_MACHINE,
        **_TIME_LIMITS,
        **_gateways(settings),
    }


_STORAGE = {
    # A local file system has no hsync that HBase would recognise; it would refuse to start.
    "hbase.unsafe.stream.capability.enforce": "false",
    "hbase.wal.provider": "filesystem",
    # Major compactions only on purpose: they would fall on the two cores at any hour.
    "hbase.hregion.majorcompaction": "0",
    "hbase.hregion.memstore.flush.size": str(64 << 20),
    "hbase.hregion.memstore.block.multiplier": "4",
    "hbase.hstore.compactionThreshold": "4",
    # Many small files slow reads a little; blocked writers would stop the ingest.
    "hbase.hstore.blockingStoreFiles": "40",
    "hbase.regionserver.maxlogs": "32",
    "hbase.snapshot.enabled": "false",
}

_SMALL_MACHINE = {
    "hbase.regionserver.handler.count": "24",
    "hbase.regionserver.metahandler.count": "8",
    "hbase.master.handler.count": "8",
    "hbase.regionserver.thread.compaction.small": "1",
    "hbase.regionserver.thread.compaction.large": "1",
    "hbase.regionserver.executor.openregion.threads": "4",
    "hbase.netty.worker.count": "4",
    # One region server is all there is: the master need not wait for more to report.
    "hbase.master.wait.on.regionservers.mintostart": "1",
    "hbase.master.wait.on.regionservers.maxtostart": "1",
    "hbase.master.wait.on.regionservers.interval": "100",
    "hbase.regionserver.msginterval": "1000",
    "hbase.ipc.server.callqueue.handler.factor": "0.1",
}

_TIME_LIMITS = {
    # A gateway answers an error before its own caller has given up, and long enough for a killed
    # region server to be replaced (9.4 s measured).
    "hbase.rpc.timeout": "10000",
    "hbase.client.operation.timeout": "20000",
    "hbase.client.meta.operation.timeout": "20000",
    "hbase.client.scanner.timeout.period": "60000",
    "hbase.client.pause": "50",
    "hbase.client.retries.number": "30",
    "hbase.ipc.client.connection.minIdleTimeBeforeClose": "120000",
}


def _gateways(settings: HBaseSettings) -> dict[str, str]:
    return {
        "hbase.thrift.minWorkerThreads": "16",
        "hbase.thrift.maxWorkerThreads": str(settings.gateway_threads_max),
        "hbase.thrift.maxQueuedRequests": "64",
        "hbase.thrift.server.socket.read.timeout": "60000",
        "hbase.regionserver.thrift.framed.max_frame_size_in_mb": "16",
        "hbase.thrift.info.port": "-1",
    }


LOGGING = """\
# Warnings to the child's own output, which the supervisor keeps.
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n
# Said at every start, about a library that is not needed.
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
log4j.logger.org.apache.hadoop.metrics2=ERROR
"""


def write_configuration(folder: Path, settings: HBaseSettings) -> None:
    """Write the cell's conf folder; raises DiskFull."""
    write_file(folder / CONFIGURATION_FOLDER / "hbase-site.xml", hadoop_xml(site(folder, settings)))
    write_file(folder / CONFIGURATION_FOLDER / "log4j.properties", LOGGING)


def children(
    folder: Path,
    settings: HBaseSettings,
    java: jvm.Java,
    jars: Path,
    *,
    needs: tuple[str, ...] = (),
    archives: Path | None = None,
) -> list[ChildSpec]:
    """The four children of a cell's HBase in ``folder``; ``needs`` is ZooKeeper's name if ours.

    They start together and find each other through ZooKeeper. The Thrift 2 gateway's readiness
    is the cell's: its question is answered by the initialised master only.
    """
    heaps, listening = settings.heaps, probes.listening
    gateway = ("-b", settings.host, "--infoport", "-1", "-p")
    rows = (
        _Row("master", MASTER, heaps.master_mb, _QUICK_START, listening),
        _Row(
            "regionserver", REGION_SERVER, heaps.region_server_mb, _SHORT_PAUSES, probes.listening
        ),
        _Row("thrift1", THRIFT1, heaps.gateway_mb, _THROUGHPUT, probes.hbase_thrift1, gateway),
        _Row("thrift2", THRIFT2, heaps.gateway_mb, _THROUGHPUT, probes.hbase_thrift2, gateway),
    )
    return [
        _child(row, folder, settings, jvm_of=(java, jars, archives), needs=needs) for row in rows
    ]


_QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_SHORT_PAUSES = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50")
_THROUGHPUT = ("-XX:+UseParallelGC",)


@dataclass(frozen=True)
class _Row:
    """What differs from one of the four processes to the next.

    ``port_option`` are arguments that end in the option that takes the port.
    """

    role: str
    main: str
    heap_mb: int
    flags: tuple[str, ...]
    probe: Callable[[str, int], None]
    port_option: tuple[str, ...] = ()


def _child(
    row: _Row,
    folder: Path,
    settings: HBaseSettings,
    *,
    jvm_of: tuple[jvm.Java, Path, Path | None],
    needs: tuple[str, ...],
) -> ChildSpec:
    java, jars, archives = jvm_of
    port = settings.port(row.role)
    opens = tuple(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED)
    argv = jvm.command(
        java,
        heap_mb=row.heap_mb,
        flags=(
            *row.flags,
            *opens,
            "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
            "-Dorg.apache.hbase.thirdparty.io.netty.tryReflectionSetAccessible=true",
        ),
        # Behind the jars, or their class archive would not fit; no jar has files of these names.
        class_path=f"{class_path(jars)}:{folder / CONFIGURATION_FOLDER}",
        main=row.main,
        arguments=(*row.port_option, *((str(port),) if row.port_option else ()), "start"),
        archive=jvm.archive(archives, f"hbase-{row.role}"),
    )
    return ChildSpec(
        name=name(settings.cell, row.role),
        archive=f"hbase-{row.role}",
        argv=argv,
        folder=folder,
        log=folder / f"{row.role}.log",
        ready=partial(row.probe, settings.host, port),
        needs=needs,
        prepare=partial(write_configuration, folder, settings),
        ports={row.role: port},
        ready_timeout_s=90.0,
        stop_timeout_s=20.0,
    )
