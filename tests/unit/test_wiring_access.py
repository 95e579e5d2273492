"""User, password and TLS settings reach the clients of Kafka, ZooKeeper and Redis."""

import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kazoo.security import make_digest_acl

from cell.post_cache_redis import RedisPostCache
from idgen.clock import SystemClock
from idgen.errors import BadRequest, Unavailable
from ops.config import environment_of
from ops.config_settings import (
    CellServers,
    Config,
    Kafka,
    ListenTls,
    Platform,
    Redis,
    Secret,
    Servers,
    ZooKeeper,
)
from ops.running_stack import RunningStack
from ops.wiring import stack
from ops.wiring.stack import kafka_settings
from router.cells import CellInfo
from tests.unit.certificates import make_certificates


def test_kafka_is_plain_without_settings() -> None:
    assert kafka_settings(Config(), "k:9092") == {
        "bootstrap.servers": "k:9092",
        "security.protocol": "PLAINTEXT",
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """`ca`, `cert` and `key` of a section; only files that are of use are let through."""
    folder = make_certificates(tmp_path_factory.mktemp("certificates"))
    names = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    return {key: f"{folder}/{name}" for key, name in names.items()}


def test_kafka_gets_user_password_and_tls(files: dict[str, str]) -> None:
    access = Kafka(
        user="dash",
        password=Secret("hush"),
        mechanism="SCRAM-SHA-256",
        tls=True,
        verify=False,
        **files,
    )
    assert kafka_settings(Config(kafka=access), "k1:9093,k2:9093") == {
        "bootstrap.servers": "k1:9093,k2:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "dash",
        "sasl.password": "hush",
        "ssl.ca.location": files["ca"],
        "ssl.certificate.location": files["cert"],
        "ssl.key.location": files["key"],
        "enable.ssl.certificate.verification": "false",
    }


class _Client:
    """Stands in for KazooClient; it never connects, as without a server."""

    made: ClassVar[dict[str, Any]] = {}

    def __init__(self, **options: Any) -> None:
        type(self).made = options

    connected = False
    hosts: ClassVar = [("127.0.0.1", 1)]

    def start_async(self) -> threading.Event:
        return threading.Event()

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_zookeeper_gets_user_password_and_tls(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    monkeypatch.setattr(stack, "KazooClient", _Client)
    access = ZooKeeper(user="dash", password=Secret("hush"), tls=True, **files)
    with pytest.raises(Unavailable, match="no ZooKeeper answered at z:2281"):
        stack.StackSeams(Config(zookeeper=access), "z:2281", connect_s=0)
    assert _Client.made == {
        "hosts": "z:2281",
        "timeout": 10.0,
        "auth_data": [("digest", "dash:hush")],
        "default_acl": [make_digest_acl("dash", "hush", all=True)],
        "use_ssl": True,
        "ca": files["ca"],
        "certfile": files["cert"],
        "keyfile": files["key"],
        "verify_certs": True,
        "check_hostname": True,
    }


def test_without_a_user_zookeepers_nodes_are_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "KazooClient", _Client)
    with pytest.raises(Unavailable):
        stack.StackSeams(Config(), "z:2181", connect_s=0)
    assert _Client.made == {"hosts": "z:2181", "timeout": 10.0}


def _redis_settings(monkeypatch: pytest.MonkeyPatch, access: Redis) -> Any:
    made: list[Any] = []
    monkeypatch.setattr(
        RedisPostCache, "__init__", lambda _self, settings, *_a, **_k: made.append(settings)
    )
    seams = object.__new__(stack.StackSeams)
    seams._config = Config(redis=access)
    seams.clock = SystemClock()
    seams._cache(CellInfo("a", redis="r:6380"))
    (settings,) = made
    return settings


def test_redis_gets_user_password_and_tls(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    access = Redis(user="dash", password=Secret("hush"), tls=True, **files)
    settings = _redis_settings(monkeypatch, access)
    assert settings.url == "rediss://r:6380"
    assert (settings.username, settings.password) == ("dash", "hush")
    assert settings.ca_file == files["ca"]
    assert (settings.cert_file, settings.key_file) == (files["cert"], files["key"])
    assert settings.verify
    assert "hush" not in repr(settings)


def test_redis_may_show_any_certificate_where_none_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = _redis_settings(monkeypatch, Redis(tls=True, verify=False))
    given = settings.client(100).connection_pool.connection_kwargs
    assert (given["ssl_cert_reqs"], given["ssl_check_hostname"]) == ("none", False)


@pytest.mark.parametrize("key", ["ca", "cert", "key"])
def test_a_file_that_is_not_there_is_named(files: dict[str, str], key: str) -> None:
    missing = files | {key: files[key] + ".gone"}
    with pytest.raises(BadRequest, match=r"\.gone") as raised:
        kafka_settings(Config(kafka=Kafka(tls=True, **missing)), "k:9093")
    assert raised.value.field == ("kafka.ca" if key == "ca" else "kafka.cert")


def test_services_find_files_though_they_run_in_other_folders() -> None:
    config = Config(kafka=Kafka(ca="ca.pem"), listen_tls=ListenTls(cert="c.pem", key="/k.pem"))
    found = environment_of(config, {})
    assert found["DASHCELL_KAFKA_CA"] == str(Path.cwd() / "ca.pem")
    assert found["DASHCELL_LISTEN_TLS_CERT"] == str(Path.cwd() / "c.pem")
    assert found["DASHCELL_LISTEN_TLS_KEY"] == "/k.pem"


GATEWAYS = CellServers(hbase_thrift1="h:1", hbase_thrift2="h:2")


@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"kafka": Kafka(user="dash")}, "servers.kafka"),
        ({"kafka": Kafka(tls=True)}, "servers.kafka"),
        ({"redis": Redis(password=Secret("hush"))}, "servers.cells.a.redis"),
        (
            {"redis": Redis(tls=True), "servers": Servers(cells={"a": GATEWAYS})},
            "servers.cells.a.redis",
        ),
        ({"zookeeper": ZooKeeper(tls=True)}, "servers.zookeeper"),
        (
            {"zookeeper": ZooKeeper(tls=True), "servers": Servers(zookeeper="z:2281")},
            "servers.cells.a.hbase_thrift1",
        ),
    ],
)
def test_servers_of_our_own_have_neither_users_nor_tls(
    tmp_path: Path, changed: dict[str, Any], remedy: str
) -> None:
    config = Config(platform=Platform(data=str(tmp_path), profile="stack"), **changed)
    with pytest.raises(BadRequest, match=remedy):
        RunningStack(config, print)
