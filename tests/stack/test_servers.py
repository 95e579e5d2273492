"""The real servers: each answers its own client, and keeps what it acknowledged over kill -9."""

import signal

import happybase
import stamina
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kazoo.client import KazooClient
from redis import Redis
from thriftpy2.thrift import TException

from ops.stack import probes
from ops.stack.servers import CellAddresses
from tests.conftest import Servers


def host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def test_zookeeper_keeps_a_value(zookeeper_address: str) -> None:
    client = KazooClient(hosts=zookeeper_address)
    client.start(timeout=10)
    try:
        client.create("/test-servers", b"\x00value", ephemeral=True)
        assert client.get("/test-servers")[0] == b"\x00value"
    finally:
        client.stop()
        client.close()


def test_redis_is_bounded_and_keeps_nothing_on_disk(redis_address: str) -> None:
    host, port = host_port(redis_address)
    with Redis(host=host, port=port, socket_timeout=5) as client:
        client.set("k", b"\x00v")
        assert client.get("k") == b"\x00v"
        assert int(client.config_get("maxmemory")["maxmemory"]) > 0
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "allkeys-lru"
        assert client.config_get("save")["save"] == ""


def test_kafka_answers_with_its_one_broker(kafka_address: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_address})
    assert len(admin.list_topics(timeout=10).brokers) == 1


def test_a_ready_hbase_cell_makes_a_table_and_keeps_a_row(hbase_cell: CellAddresses) -> None:
    host, port = host_port(hbase_cell.hbase_thrift1)
    connection = happybase.Connection(host, port, timeout=30_000)
    try:
        connection.create_table("test_servers", {"d": {"max_versions": 1}})
        table = connection.table("test_servers")
        table.put(b"\x00row", {b"d:": b"\xffvalue"}, timestamp=7)
        assert table.row(b"\x00row", include_timestamp=True) == {b"d:": (b"\xffvalue", 7)}
    finally:
        connection.close()


def test_a_killed_gateway_comes_back_at_its_address(
    servers: Servers, hbase_cell: CellAddresses
) -> None:
    before = servers.supervisor.pid("hbase-a-thrift2")
    servers.supervisor.kill("hbase-a-thrift2", signal.SIGKILL)
    servers.supervisor.wait_ready(["hbase-a-thrift2"], timeout_s=60)
    assert servers.supervisor.pid("hbase-a-thrift2") != before
    probes.hbase_thrift2(*host_port(hbase_cell.hbase_thrift2))


def test_rows_survive_kill_9_of_the_region_server(
    servers: Servers, hbase_cell: CellAddresses
) -> None:
    host, port = host_port(hbase_cell.hbase_thrift1)
    connection = happybase.Connection(host, port, timeout=60_000)
    try:
        connection.create_table("test_survive", {"d": {"max_versions": 1}})
        table = connection.table("test_survive")
        rows = {b"row-%03d" % number: {b"d:": b"%d" % number} for number in range(500)}
        with table.batch(timestamp=1) as batch:
            for key, value in rows.items():
                batch.put(key, value)
        servers.supervisor.kill("hbase-a-regionserver", signal.SIGKILL)
        servers.supervisor.wait_ready(["hbase-a-regionserver"], timeout_s=60)
    finally:
        connection.close()
    assert _rows_once_served(host, port) == rows


def _rows_once_served(host: str, port: int) -> dict[bytes, dict[bytes, bytes]]:
    """All rows, as soon as the region is open again; the gateway waits for it, within limits."""
    for attempt in stamina.retry_context(on=(TException, OSError), attempts=20, timeout=60):
        with attempt:
            connection = happybase.Connection(host, port, timeout=30_000)
            try:
                return dict(connection.table("test_survive").scan())
            finally:
                connection.close()
    raise AssertionError("the region was never served again")


def test_kafka_keeps_what_it_acknowledged_over_kill_9(servers: Servers, kafka_address: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_address})
    admin.create_topics([NewTopic("test-survive", 1, 1)])["test-survive"].result(10)
    producer = Producer({"bootstrap.servers": kafka_address, "acks": "all"})
    for number in range(100):
        producer.produce("test-survive", b"%d" % number)
    assert producer.flush(20) == 0
    servers.supervisor.kill("kafka", signal.SIGKILL)
    servers.supervisor.wait_ready(["kafka"], timeout_s=60)
    consumer = Consumer(
        {"bootstrap.servers": kafka_address, "group.id": "t", "enable.auto.commit": False}
    )
    try:
        consumer.assign([TopicPartition("test-survive", 0, 0)])
        found = [message.value() for message in consumer.consume(100, timeout=30)]
        assert found == [b"%d" % number for number in range(100)]
    finally:
        consumer.close()


def test_zookeeper_keeps_its_nodes_over_kill_9(servers: Servers, zookeeper_address: str) -> None:
    client = KazooClient(hosts=zookeeper_address)
    client.start(timeout=10)
    try:
        client.create("/test-survive", b"kept")
        servers.supervisor.kill("zookeeper", signal.SIGKILL)
        servers.supervisor.wait_ready(["zookeeper"], timeout_s=30)
        assert client.retry(client.get, "/test-survive")[0] == b"kept"
    finally:
        client.stop()
        client.close()
