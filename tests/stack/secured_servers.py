"""A Kafka, a ZooKeeper and a Valkey that let in nobody without user, password and certificate.

Each is the product's own child with a few lines added to its configuration: besides the plain port,
which readiness is asked on, it has one with TLS that demands a client's certificate. The Valkey of
PyPI is built without TLS, so there the TLS ends in a relay in front of it, run by this process.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from cell.ingest import group_of
from ops.config import Config, load_config
from ops.stack import probes, redis
from ops.stack.child import ChildSpec
from ops.stack.ports import LOOPBACK, PortReservation
from ops.stack.servers import Memory, Planner, Programs
from ops.stack.supervisor import Supervisor
from tests.unit.certificates import make_certificates

USER = "dash"
PASSWORD = "hu:sh, it's \u00a7ecret"
"""With what its ways through files, variables and protocols could stumble over."""

TOPIC_GRANTS = (
    AclOperation.CREATE,
    AclOperation.DESCRIBE,
    AclOperation.DESCRIBE_CONFIGS,
    AclOperation.READ,
    AclOperation.WRITE,
    AclOperation.DELETE,
)
GROUP_GRANTS = (AclOperation.DESCRIBE, AclOperation.READ, AclOperation.DELETE)
"""All that the log and the checkpoints need of Kafka; docs/operating.md names them."""

ROOT = "/secured/dashcell"
CELL = "a"


@dataclass(frozen=True)
class Secured:
    """Where the servers are ("host:port" of their TLS ports), and two authorities' files: `ours`
    has made all certificates that the servers show and accept."""

    kafka: str
    zookeeper: str
    zookeeper_plain: str
    redis: str
    ours: Path
    another: Path

    def config(self, **changed: str) -> Config:
        """A configuration that is let in by all three, read from variables as a service does.

        Keyword `kafka_password="x"` sets DASHCELL_KAFKA_PASSWORD instead; empty leaves it out.
        """
        variables = {"zookeeper_root": ROOT, "cache_timeout_ms": "3000"}
        for section in ("kafka", "zookeeper", "redis"):
            variables |= {
                f"{section}_user": USER,
                f"{section}_password": PASSWORD,
                f"{section}_tls": "true",
                f"{section}_ca": str(self.ours / "ca.pem"),
                f"{section}_cert": str(self.ours / "client.pem"),
                f"{section}_key": str(self.ours / "client.key"),
            }
        variables |= changed
        return load_config(
            env={f"DASHCELL_{name.upper()}": value for name, value in variables.items() if value}
        )


@contextmanager
def secured_servers(folder: Path, programs: Programs) -> Iterator[Secured]:
    """Start all three, side by side, and stop them."""
    ours, another = folder / "ours", folder / "another"
    for authority in (ours, another):
        authority.mkdir()
        make_certificates(authority)
    pair = ours / "server-with-key.pem"
    pair.write_text((ours / "server.key").read_text() + (ours / "server.pem").read_text())
    with ExitStack() as stack:
        ports = PortReservation()
        stack.callback(ports.close)
        kafka_port, zookeeper_port = ports.take(), ports.take()
        memory = Memory(zookeeper_mb=96, kafka_mb=256, redis_mb=16)
        planner = Planner(folder, programs, memory=memory)
        stack.callback(planner.close)
        (kafka,), kafka_plain = planner.plan_kafka()
        (zookeeper,), zookeeper_plain = planner.plan_zookeeper()
        (cache,), cache_plain = planner.plan_redis(CELL)
        supervisor = stack.enter_context(Supervisor(folder))
        added = _kafka_lines(kafka_plain, kafka.ports["controller"], kafka_port, pair, ours)
        lines = _zookeeper_lines(zookeeper_port, pair, ours)
        listening = partial(probes.listening, LOOPBACK, cache.ports["client"])
        supervisor.start_all(
            [
                _with(kafka, "server.properties", added, partial(ports.release, kafka_port)),
                _with(zookeeper, "zoo.cfg", lines, partial(ports.release, zookeeper_port)),
                # PING is not for strangers any more.
                replace(_with(cache, "redis.conf", _redis_lines()), ready=listening),
            ]
        )
        relayed = stack.enter_context(tls_relay(cache_plain, ours))
        supervisor.wait_ready([zookeeper.name, redis.name(CELL)])
        _own_the_root(zookeeper_plain)
        supervisor.wait_ready([kafka.name])
        _add_users(kafka_plain)
        yield Secured(
            kafka=f"{LOOPBACK}:{kafka_port}",
            zookeeper=f"{LOOPBACK}:{zookeeper_port}",
            zookeeper_plain=zookeeper_plain,
            redis=relayed,
            ours=ours,
            another=another,
        )


def _with(
    spec: ChildSpec, file: str, lines: tuple[str, ...], at_last: Callable[[], None] = lambda: None
) -> ChildSpec:
    """The child with lines added to its configuration; of a repeated key the last one counts."""

    def prepare() -> None:
        if spec.prepare is not None:
            spec.prepare()
        with (spec.folder / file).open("a", encoding="utf-8") as opened:
            opened.write("\n".join(("", *lines, "")))
        at_last()

    return replace(spec, prepare=prepare)


def _kafka_lines(plain: str, controller: int, port: int, pair: Path, ours: Path) -> tuple[str, ...]:
    listeners = f"PLAINTEXT://{plain},SASL_SSL://{LOOPBACK}:{port}"
    login = "org.apache.kafka.common.security"
    own = "listener.name.sasl_ssl"
    escaped = PASSWORD.encode("unicode_escape").decode().replace("\\xa7", "\\u00a7")
    plain_login = f'{login}.plain.PlainLoginModule required user_{USER}="{escaped}";'
    return (
        f"listeners={listeners},CONTROLLER://{LOOPBACK}:{controller}",
        f"advertised.listeners={listeners}",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
        "inter.broker.listener.name=PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        f"{own}.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;",
        f"{own}.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;",
        f"{own}.plain.sasl.jaas.config={plain_login}",
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={pair}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={ours / 'ca.pem'}",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Whoever comes by the plain listeners: readiness, the controller, and these tests.
        "super.users=User:ANONYMOUS",
        # Kafka passes over it for SASL_SSL where it is not said of the listener itself.
        f"{own}.ssl.client.auth=required",
    )


def _add_users(plain: str) -> None:
    """What kafka-configs and kafka-acls do; PLAIN has its users in the configuration."""
    admin = AdminClient({"bootstrap.servers": plain})
    for kind in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        wanted = UserScramCredentialUpsertion(
            USER, ScramCredentialInfo(kind, 4096), PASSWORD.encode()
        )
        # One at a time: a request may name a user only once.
        for future in admin.alter_user_scram_credentials([wanted]).values():
            future.result(10)
    granted = (
        (ResourceType.TOPIC, "dashcell-", TOPIC_GRANTS),
        (ResourceType.GROUP, group_of(""), GROUP_GRANTS),
        # Of readers without a checkpoint, who name a group all the same.
        (ResourceType.GROUP, "dashcell-", (AclOperation.DESCRIBE,)),
    )
    grants = [
        AclBinding(
            kind,
            prefix,
            ResourcePatternType.PREFIXED,
            f"User:{USER}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for kind, prefix, operations in granted
        for operation in operations
    ]
    for future in admin.create_acls(grants).values():
        future.result(10)


def _zookeeper_lines(port: int, pair: Path, ours: Path) -> tuple[str, ...]:
    return (
        f"secureClientPort={port}",
        f"secureClientPortAddress={LOOPBACK}",
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        f"ssl.keyStore.location={pair}",
        f"ssl.trustStore.location={ours / 'ca.pem'}",
        "ssl.clientAuth=need",
    )


def _own_the_root(plain: str) -> None:
    """Make a node that is the user's, as an operator does with zkCli: our root goes below it."""
    client = KazooClient(hosts=plain)
    client.start(timeout=15)
    try:
        acl = [make_digest_acl(USER, PASSWORD, all=True)]
        client.create(ROOT.rpartition("/")[0], acl=acl)
    finally:
        client.stop()
        client.close()


def _redis_lines() -> tuple[str, ...]:
    return (
        "user default off",
        # All that the post cache needs.
        f'user {USER} on ">{PASSWORD}" ~post:* +mget +set +scan +unlink',
    )


@contextmanager
def tls_relay(plain: str, ours: Path) -> Iterator[str]:
    """Where TLS with a client's certificate is taken off and the bytes go on to `plain`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours / "server.pem", ours / "server.key")
    context.load_verify_locations(ours / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    host, _, port = plain.rpartition(":")

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        except OSError:
            return  # one side is gone, and `finally` tells the other
        finally:
            target.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(relay, LOOPBACK, 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
