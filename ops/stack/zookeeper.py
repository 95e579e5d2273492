"""ZooKeeper's configuration, command line and child."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ops.stack import java as jvm
from ops.stack import probes
from ops.stack.child import ChildSpec
from ops.stack.configuration import write_file
from ops.stack.jars import class_path
from ops.stack.ports import LOOPBACK

NAME = "zookeeper"
MAIN = "org.apache.zookeeper.server.ZooKeeperServerMain"


@dataclass(frozen=True)
class ZooKeeperSettings:
    """What one ZooKeeper is started with; ``host`` is the one address that it listens on."""

    port: int
    heap_mb: int = 128
    host: str = LOOPBACK


def configuration(folder: Path, settings: ZooKeeperSettings) -> str:
    """The text of zoo.cfg.

    Sessions may be as short as 2 s so that tests of lost sessions need not wait; log and
    snapshots are purged, or a long-lived platform would fill its disk with them.
    """
    return "\n".join(
        (
            f"dataDir={folder / 'data'}",
            f"clientPort={settings.port}",
            f"clientPortAddress={settings.host}",
            "tickTime=1000",
            "minSessionTimeout=2000",
            "maxSessionTimeout=60000",
            "maxClientCnxns=0",
            "admin.enableServer=false",
            "4lw.commands.whitelist=srvr,ruok,mntr",
            "autopurge.snapRetainCount=3",
            "autopurge.purgeInterval=1",
            "snapshot.trust.empty=true",
            "",
        )
    )


def child(
    folder: Path,
    settings: ZooKeeperSettings,
    java: jvm.Java,
    jars: Path,
    *,
    archives: Path | None = None,
) -> ChildSpec:
    """ZooKeeper in ``folder``."""
    file = folder / "zoo.cfg"
    argv = jvm.command(
        java,
        heap_mb=settings.heap_mb,
        flags=(
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            *jvm.SIMPLE_LOGGER,
            # Its transaction log is preallocated in 64 MiB steps by default.
            "-Dzookeeper.preAllocSize=4096",
        ),
        class_path=class_path(jars),
        main=MAIN,
        arguments=(str(file),),
        archive=jvm.archive(archives, NAME),
    )
    return ChildSpec(
        name=NAME,
        archive=NAME,
        argv=argv,
        folder=folder,
        log=folder / "zookeeper.log",
        ready=partial(probes.zookeeper, settings.host, settings.port),
        prepare=lambda: write_file(file, configuration(folder, settings)),
        ports={"client": settings.port},
        ready_timeout_s=40.0,
        stop_timeout_s=5.0,
    )
