"""The wiring of the stack profile: Kafka, HBase, ZooKeeper and Redis."""

import logging
import ssl
import threading
import time

import msgspec
from kazoo.client import KazooClient
from kazoo.exceptions import WriterNotClosedException
from kazoo.security import make_digest_acl

from cell.changes import RETENTION_MS
from cell.post_cache import PostCache
from cell.post_cache_redis import RedisPostCache, RedisSettings
from cell.stores import CellStores
from cell.tables import Tables
from cell.tables_hbase import HBaseGateway, HBaseTables
from firehose.checkpoint import Checkpoints
from firehose.checkpoint_kafka import KafkaCheckpoints
from firehose.checkpoint_relayed import RelayedCheckpoints
from firehose.dead_letters import DeadLetters
from firehose.log import RECORD_BYTES_MAX, Log
from firehose.log_kafka import KafkaLog
from firehose.log_relayed import RelayedLog
from firehose.relayed import RELAYED_BYTES_MAX
from idgen.clock import Clock, SystemClock
from idgen.errors import BadRequest, NotFound, Unauthenticated, Unavailable
from idgen.worker_lease import WorkerLeases
from idgen.worker_lease_zookeeper import ZooKeeperWorkerLeases
from ops.config import Config
from ops.template.tls import client_context
from ops.wiring import tls
from ops.wiring.seams import (
    FIREHOSE,
    SERVERS,
    Kept,
    Servers,
    agreed,
    change_log_name,
    command_log_name,
    dead_letter_log_name,
    group_log_name,
)
from router.cells import CellInfo, read_cell
from router.registry import Registry
from router.registry_zookeeper import ZooKeeperRegistry

TABLE_PREFIX = "dashcell_"
KEPT = -1
"""For ever: commands and dead letters are the cell's own history."""
CONNECT_S = 15.0
LOOK_S = 1.0
"""After so long without a session it is looked why there is none."""

_log = logging.getLogger(__name__)


class StackSeams:
    """Real servers, found from one ZooKeeper address: the registry knows the rest."""

    def __init__(
        self,
        config: Config,
        zookeeper: str,
        clock: Clock | None = None,
        *,
        connect_s: float = CONNECT_S,
    ) -> None:
        """Raises Unavailable when no ZooKeeper answers there within `connect_s`, Unauthenticated
        when TLS with it fails by a certificate, BadRequest(zookeeper) for what is no address, and
        BadRequest for a certificate's file that is no use."""
        self.clock = clock or SystemClock()
        self._config = config
        self._kept = Kept()
        self._client = _zookeeper_client(config, zookeeper, connect_s)
        self._root = config.zookeeper.root

    @property
    def registry(self) -> Registry:
        """The registry in ZooKeeper."""
        return self._kept.once("registry", lambda: ZooKeeperRegistry(self._client, self._root))

    @property
    def leases(self) -> WorkerLeases:
        """Worker leases in ZooKeeper."""
        root = f"{self._root}/worker-leases"
        return self._kept.once(
            "leases", lambda: ZooKeeperWorkerLeases(self._client, root, self.clock)
        )

    def firehose(self) -> Log:
        """The firehose, a Kafka topic."""
        partitions, _ = agreed(self.registry, self._config)
        return self._kept.once(
            "firehose",
            lambda: self._topic(FIREHOSE, partitions, self._config.firehose.retention_ms),
        )

    def checkpoints(self, cell: str = "") -> Checkpoints:
        """Its groups, Kafka's own; those of cells behind a relay are groups of its topic."""
        group = read_cell(self.registry, cell).info.group if cell else ""
        topic = group_log_name(group) if group else FIREHOSE
        partitions, _ = agreed(self.registry, self._config)
        found = self._kept.once(
            f"groups of {topic}",
            lambda: KafkaCheckpoints(
                kafka_settings(self._config, self._kafka(group)), topic, partitions
            ),
        )
        if not group:
            return found
        return RelayedCheckpoints(found, self.group_log(group), self._relayed(group))

    def group_log(self, group: str) -> Log:
        """The log of a group of cells, a topic of its own: kept as long as the firehose."""
        partitions, _ = agreed(self.registry, self._config)
        name, retention_ms = group_log_name(group), self._config.firehose.retention_ms
        return self._kept.once(
            name, lambda: self._topic(name, partitions, retention_ms, group=group)
        )

    def _relayed(self, group: str) -> RelayedLog:
        topic, root = self.group_log(group), self.firehose().identity
        return self._kept.once(f"behind {group}", lambda: RelayedLog(topic, root))

    def cell(self, name: str) -> CellStores:
        """A cell on the HBase and the Redis that the registry names. Raises Unavailable before it
        names any."""
        info = read_cell(self.registry, name).info
        if not (info.hbase_thrift1 and info.redis):
            raise Unavailable(
                f"cell {name} has no servers yet: `cellctl up` starts them, where it runs"
            )
        commands, dead = command_log_name(name), dead_letter_log_name(name)
        changes = change_log_name(name)
        return CellStores(
            name=name,
            tables=self._kept.once(f"tables {name}", lambda: self._tables(info)),
            cache=self._kept.once(f"cache {name}", lambda: self._cache(info)),
            firehose=self._relayed(info.group) if info.group else self.firehose(),
            commands=self._kept.once(commands, lambda: self._topic(commands, 1)),
            changes=self._kept.once(changes, lambda: self._topic(changes, 1, RETENTION_MS)),
            dead_letters=DeadLetters(self._kept.once(dead, lambda: self._topic(dead, 1))),
            log_base=agreed(self.registry, self._config)[1],
            relayed_from=self.firehose() if info.group else None,
        )

    def close(self) -> None:
        """Close all connections; the ZooKeeper session ends at once."""
        self._kept.close()
        self._client.stop()
        self._client.close()

    def _kafka(self, group: str = "") -> str:
        try:
            value = self.registry.get(SERVERS).value
        except NotFound:
            raise NotFound(
                f"no platform was created in this registry: {SERVERS} is missing under {self._root}"
            ) from None
        servers = msgspec.json.decode(value, type=Servers)
        return servers.groups.get(group, servers.kafka)

    def _topic(
        self, topic: str, partitions: int, retention_ms: int = KEPT, *, group: str = ""
    ) -> KafkaLog:
        """A topic; `group`: of which only a relay appends to it, larger values and no gaps."""
        return KafkaLog(
            kafka_settings(self._config, self._kafka(group)),
            topic,
            partitions,
            replication=self._config.servers.kafka_replication,
            retention_ms=retention_ms,
            bytes_max=RELAYED_BYTES_MAX if group else RECORD_BYTES_MAX,
            gapless=bool(group),
        )

    def _tables(self, info: CellInfo) -> Tables:
        gateways = [
            HBaseGateway(one, two)
            for one, two in zip(info.hbase_thrift1, info.hbase_thrift2, strict=True)
        ]
        return HBaseTables(gateways, TABLE_PREFIX)

    def _cache(self, info: CellInfo) -> PostCache:
        access, cache = self._config.redis, self._config.cache
        if access.tls:
            client_context(access, "redis")
        settings = RedisSettings(
            url=f"rediss://{info.redis}" if access.tls else info.redis,
            username=access.user or None,
            password=access.password.reveal() or None,
            ca_file=access.ca or None,
            cert_file=access.cert or None,
            key_file=access.key or None,
            verify=access.verify,
        )
        return RedisPostCache(
            settings, cache.expiry_s * 1000, self.clock, timeout_ms=cache.timeout_ms
        )


def kafka_settings(config: Config, bootstrap: str) -> dict[str, str]:
    """Librdkafka's settings: where Kafka is and how to be let in.

    Raises BadRequest for a certificate's file that is no use.
    """
    access = config.kafka
    settings = {"bootstrap.servers": bootstrap}
    security = ("SASL_" if access.user else "") + ("SSL" if access.tls else "PLAINTEXT")
    settings["security.protocol"] = security
    if access.user:
        settings["sasl.mechanism"] = access.mechanism
        settings["sasl.username"] = access.user
        settings["sasl.password"] = access.password.reveal()
    if access.tls:
        client_context(access, "kafka")
        files = {
            "ssl.ca.location": access.ca,
            "ssl.certificate.location": access.cert,
            "ssl.key.location": access.key,
        }
        settings.update({name: path for name, path in files.items() if path})
        if not access.verify:
            settings["enable.ssl.certificate.verification"] = "false"
    return settings


def _zookeeper_client(config: Config, addresses: str, connect_s: float) -> KazooClient:
    access = config.zookeeper
    options: dict[str, object] = {}
    context = None
    if access.user:
        password = access.password.reveal()
        options["auth_data"] = [("digest", f"{access.user}:{password}")]
        # A node does not inherit who may use it: without this what we make is open to everybody.
        # Of the user alone: "whoever made it" would be anybody with our certificate too.
        options["default_acl"] = [make_digest_acl(access.user, password, all=True)]
    if access.tls:
        context = client_context(access, "zookeeper")
        options.update(
            use_ssl=True,
            ca=access.ca or None,
            certfile=access.cert or None,
            keyfile=access.key or None,
            verify_certs=access.verify,
            check_hostname=access.verify,
        )
    try:
        client = KazooClient(hosts=addresses, timeout=access.session_ms / 1000, **options)
    except ValueError as error:
        why = f"{addresses!r} is no host:port, nor several separated by commas: {error}"
        raise BadRequest("zookeeper", why) from error
    try:
        _start(client, addresses, context, connect_s)
    except BaseException:
        # Its own stop waits ten seconds for a server that took the connection and is silent.
        threading.Thread(target=_give_up, args=(client,), daemon=True).start()
        raise
    return client


def _start(
    client: KazooClient, addresses: str, context: ssl.SSLContext | None, connect_s: float
) -> None:
    """Wait for the session, but not for servers that all refuse TLS with us: kazoo would go on.

    `context` None: without TLS.
    """
    connected = client.start_async()
    deadline = time.monotonic() + connect_s
    while not connected.wait(min(LOOK_S, max(0.0, deadline - time.monotonic()))):
        if context is not None:
            refusals = [tls.refusal(host, port, context, LOOK_S) for host, port in client.hosts]
            if all(refusals) and not connected.is_set():
                raise Unauthenticated(f"ZooKeeper at {addresses}: {refusals[0]} of [zookeeper]")
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"no ZooKeeper answered at {addresses} for {connect_s:.0f} s: check host and port "
                "(and zookeeper.tls), that it runs, and that this machine can reach it; `cellctl "
                "doctor` looks at a platform on this machine"
            )


def _give_up(client: KazooClient) -> None:
    try:
        client.stop()
        client.close()
    except WriterNotClosedException as error:
        _log.warning("a connection to ZooKeeper is left to the end of this process: %s", error)
