"""Kafka's configuration, command lines and child: one KRaft node."""

import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ops.stack import java as jvm
from ops.stack import probes
from ops.stack.child import ChildSpec
from ops.stack.configuration import java_properties, write_file
from ops.stack.errors import ChildFailed
from ops.stack.jars import class_path
from ops.stack.ports import LOOPBACK

NAME = "kafka"
MAIN = "kafka.Kafka"
FORMAT_MAIN = "kafka.tools.StorageTool"
FORMAT_TIMEOUT_S = 60.0
CLUSTER_ID = "ZGFzaGNlbGwtY2x1c3RlQQ"
"""A cluster's id is 16 bytes in base64; it only has to be the same at every start."""


@dataclass(frozen=True)
class KafkaSettings:
    """What the Kafka node is started with; ``host`` is where it listens and how others find it."""

    port: int
    controller_port: int
    heap_mb: int = 512
    retention_hours: int = 168
    host: str = LOOPBACK


def configuration(folder: Path, settings: KafkaSettings) -> str:
    """The text of server.properties for one machine.

    Internal topics have one replica and few partitions, because there is one broker and they are
    made on the way to the first consumer. Topics are only ever made on purpose.
    """
    return java_properties(
        {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{settings.host}:{settings.controller_port}",
            "listeners": (
                f"PLAINTEXT://{settings.host}:{settings.port},"
                f"CONTROLLER://{settings.host}:{settings.controller_port}"
            ),
            "advertised.listeners": f"PLAINTEXT://{settings.host}:{settings.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(folder / "data"),
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "4",
            # A killed broker is let in again only when its old session has run out (else 9 s).
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "2000",
            "log.retention.hours": str(settings.retention_hours),
            "log.message.timestamp.type": "LogAppendTime",
            "log.segment.bytes": str(128 << 20),
            "log.index.size.max.bytes": str(2 << 20),
            # The default, 128 MiB, is taken from the heap at once.
            "log.cleaner.dedupe.buffer.size": str(8 << 20),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "num.recovery.threads.per.data.dir": "2",
            "max.connections": "1024",
        }
    )


def format_storage(folder: Path, settings: KafkaSettings, java: jvm.Java, jars: Path) -> None:
    """Write the configuration and, the first time, format the data folder.

    Raises ChildFailed with the tool's last words, and DiskFull.
    """
    file = folder / "server.properties"
    write_file(file, configuration(folder, settings))
    if (folder / "data" / "meta.properties").exists():
        return
    argv = jvm.command(
        java,
        heap_mb=128,
        flags=("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *jvm.SIMPLE_LOGGER),
        class_path=class_path(jars),
        main=FORMAT_MAIN,
        arguments=("format", "-t", CLUSTER_ID, "-c", str(file)),
    )
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FORMAT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ChildFailed(
            f"formatting Kafka's storage took more than {FORMAT_TIMEOUT_S:.0f} s"
        ) from error
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
        raise ChildFailed(f"Kafka's storage in {folder} could not be formatted:\n{last}")


def child(
    folder: Path,
    settings: KafkaSettings,
    java: jvm.Java,
    jars: Path,
    *,
    archives: Path | None = None,
) -> ChildSpec:
    """Kafka in ``folder``."""
    argv = jvm.command(
        java,
        heap_mb=settings.heap_mb,
        flags=("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50", *jvm.SIMPLE_LOGGER),
        class_path=class_path(jars),
        main=MAIN,
        arguments=(str(folder / "server.properties"),),
        archive=jvm.archive(archives, NAME),
    )
    return ChildSpec(
        name=NAME,
        archive=NAME,
        argv=argv,
        folder=folder,
        log=folder / "kafka.log",
        ready=partial(probes.kafka, settings.host, settings.port),
        prepare=partial(format_storage, folder, settings, java, jars),
        ports={"broker": settings.port, "controller": settings.controller_port},
        ready_timeout_s=60.0,
        stop_timeout_s=20.0,
    )
