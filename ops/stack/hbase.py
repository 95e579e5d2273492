"""One cell's HBase: configuration, command lines and its four children.

Distributed mode on one machine: a master, a region server and both Thrift gateways, with one
ZooKeeper shared by all cells and a znode parent per cell. Files and write-ahead log are local
(``file://``): they survive kill -9 of any process, not a power cut.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ops.stack import java as jvm
from ops.stack import probes
from ops.stack.child import ChildSpec, Probe
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

ROLES = ("master", "regionserver", "thrift1", "thrift2")


@dataclass(frozen=True)
class HBaseHeaps:
    """Heap bounds in MiB."""

    master_mb: int = 256
    region_server_mb: int = 1024
    gateway_mb: int = 512


@dataclass(frozen=True)
class HBaseSettings:
    """What one cell's HBase is started with."""

    cell: str
    zookeeper: str
    master_port: int
    region_server_port: int
    thrift1_port: int
    thrift2_port: int
    heaps: HBaseHeaps = HBaseHeaps()
    gateway_threads_max: int = 128


def name(cell: str, role: str) -> str:
    """The name of a cell's child; ``role`` is one of ROLES."""
    return f"hbase-{cell}-{role}"


def znode_parent(cell: str) -> str:
    """Where in ZooKeeper a cell's HBase keeps its state."""
    return f"/hbase-{cell}"


def site(folder: Path, settings: HBaseSettings) -> dict[str, str]:
    """The properties of hbase-site.xml, shared by the cell's four processes."""
    return {
        "hbase.cluster.distributed": "true",
        "hbase.rootdir": (folder / "data").absolute().as_uri(),
        "hbase.tmp.dir": str(folder / "tmp"),
        "hbase.zookeeper.quorum": settings.zookeeper,
        "zookeeper.znode.parent": znode_parent(settings.cell),
        "zookeeper.session.timeout": "6000",
        "hbase.master.hostname": LOOPBACK,
        "hbase.regionserver.hostname": LOOPBACK,
        "hbase.master.ipc.address": LOOPBACK,
        "hbase.regionserver.ipc.address": LOOPBACK,
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


def logging() -> str:
    """The text of log4j.properties: warnings to the child's own output."""
    return "\n".join(
        (
            "log4j.rootLogger=WARN, out",
            "log4j.appender.out=org.apache.log4j.ConsoleAppender",
            "log4j.appender.out.layout=org.apache.log4j.PatternLayout",
            "log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n",
            # Said at every start, about a library that is not needed.
            "log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR",
            "log4j.logger.org.apache.hadoop.metrics2=ERROR",
            "",
        )
    )


def write_configuration(folder: Path, settings: HBaseSettings) -> None:
    """Write the cell's conf folder; raises DiskFull."""
    write_file(folder / "conf" / "hbase-site.xml", hadoop_xml(site(folder, settings)))
    write_file(folder / "conf" / "log4j.properties", logging())


def children(
    folder: Path,
    settings: HBaseSettings,
    java: jvm.Java,
    jars: Path,
    needs: tuple[str, ...] = (),
) -> list[ChildSpec]:
    """The four children of a cell's HBase in ``folder``; ``needs`` is ZooKeeper's name if ours.

    They start together and find each other through ZooKeeper. The Thrift 2 gateway's readiness
    is the cell's: its question is answered by the initialised master only.
    """
    heaps = settings.heaps
    gateway = partial(_gateway, folder, settings, java, jars, needs)
    return [
        _child(
            folder,
            settings,
            "master",
            settings.master_port,
            needs,
            argv=_command(
                java, jars, folder, heaps.master_mb, MASTER, ("start",), flags=_QUICK_START
            ),
            ready=partial(probes.listening, LOOPBACK, settings.master_port),
        ),
        _child(
            folder,
            settings,
            "regionserver",
            settings.region_server_port,
            needs,
            argv=_command(
                java,
                jars,
                folder,
                heaps.region_server_mb,
                REGION_SERVER,
                ("start",),
                flags=("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50"),
            ),
            ready=partial(probes.listening, LOOPBACK, settings.region_server_port),
        ),
        gateway("thrift1", THRIFT1, settings.thrift1_port, probes.hbase_thrift1),
        gateway("thrift2", THRIFT2, settings.thrift2_port, probes.hbase_thrift2),
    ]


_QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def _gateway(
    folder: Path,
    settings: HBaseSettings,
    java: jvm.Java,
    jars: Path,
    needs: tuple[str, ...],
    role: str,
    main: str,
    port: int,
    probe: Callable[[str, int], None],
) -> ChildSpec:
    arguments = ("-b", LOOPBACK, "-p", str(port), "--infoport", "-1", "start")
    return _child(
        folder,
        settings,
        role,
        port,
        needs,
        argv=_command(
            java,
            jars,
            folder,
            settings.heaps.gateway_mb,
            main,
            arguments,
            flags=("-XX:+UseParallelGC",),
        ),
        ready=partial(probe, LOOPBACK, port),
    )


def _child(
    folder: Path,
    settings: HBaseSettings,
    role: str,
    port: int,
    needs: tuple[str, ...],
    *,
    argv: tuple[str, ...],
    ready: Probe,
) -> ChildSpec:
    return ChildSpec(
        name=name(settings.cell, role),
        argv=argv,
        folder=folder,
        log=folder / f"{role}.log",
        ready=ready,
        needs=needs,
        prepare=partial(write_configuration, folder, settings),
        ports={role: port},
        ready_timeout_s=90.0,
        stop_timeout_s=20.0,
    )


def _command(
    java: jvm.Java,
    jars: Path,
    folder: Path,
    heap_mb: int,
    main: str,
    arguments: tuple[str, ...],
    *,
    flags: tuple[str, ...],
) -> tuple[str, ...]:
    opens = tuple(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED)
    return jvm.command(
        java,
        heap_mb=heap_mb,
        flags=(
            *flags,
            *opens,
            "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
            "-Dorg.apache.hbase.thirdparty.io.netty.tryReflectionSetAccessible=true",
        ),
        class_path=f"{folder / 'conf'}:{class_path(jars)}",
        main=main,
        arguments=arguments,
    )
