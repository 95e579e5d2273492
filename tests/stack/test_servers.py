"""The real servers: each answers its own client."""

import happybase
from confluent_kafka.admin import AdminClient
from kazoo.client import KazooClient
from redis import Redis

from ops.stack.servers import CellAddresses


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
