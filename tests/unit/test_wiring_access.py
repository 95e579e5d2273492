"""User, password and TLS settings reach the clients of Kafka, ZooKeeper and Redis."""

import threading
from typing import Any, ClassVar

import pytest

from cell.post_cache_redis import RedisPostCache
from idgen.clock import SystemClock
from idgen.errors import Unavailable
from ops.config_settings import Config, Kafka, Redis, Secret, ZooKeeper
from ops.wiring import stack
from ops.wiring.stack import kafka_settings
from router.cells import CellInfo


def test_kafka_is_plain_without_settings() -> None:
    assert kafka_settings(Config(), "k:9092") == {
        "bootstrap.servers": "k:9092",
        "security.protocol": "PLAINTEXT",
    }


def test_kafka_gets_user_password_and_tls() -> None:
    access = Kafka(
        user="dash",
        password=Secret("hush"),
        mechanism="SCRAM-SHA-256",
        tls=True,
        ca="ca.pem",
        cert="own.pem",
        key="own.key",
        verify=False,
    )
    assert kafka_settings(Config(kafka=access), "k1:9093,k2:9093") == {
        "bootstrap.servers": "k1:9093,k2:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "dash",
        "sasl.password": "hush",
        "ssl.ca.location": "ca.pem",
        "ssl.certificate.location": "own.pem",
        "ssl.key.location": "own.key",
        "enable.ssl.certificate.verification": "false",
    }


class _Client:
    """Stands in for KazooClient; it never connects, as without a server."""

    made: ClassVar[dict[str, Any]] = {}

    def __init__(self, **options: Any) -> None:
        type(self).made = options

    connected = False

    def start_async(self) -> threading.Event:
        return threading.Event()

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_zookeeper_gets_user_password_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "KazooClient", _Client)
    access = ZooKeeper(
        user="dash", password=Secret("hush"), tls=True, ca="ca.pem", cert="own.pem", key="own.key"
    )
    with pytest.raises(Unavailable, match="no ZooKeeper answered at z:2281"):
        stack.StackSeams(Config(zookeeper=access), "z:2281", connect_s=0)
    assert _Client.made == {
        "hosts": "z:2281",
        "timeout": 10.0,
        "auth_data": [("digest", "dash:hush")],
        "use_ssl": True,
        "ca": "ca.pem",
        "certfile": "own.pem",
        "keyfile": "own.key",
        "verify_certs": True,
    }


def test_redis_gets_user_password_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(
        RedisPostCache, "__init__", lambda _self, settings, *_a, **_k: made.append(settings)
    )
    seams = object.__new__(stack.StackSeams)
    access = Redis(user="dash", password=Secret("hush"), tls=True, ca="ca.pem")
    seams._config = Config(redis=access)
    seams.clock = SystemClock()
    seams._cache(CellInfo("a", redis="r:6380"))
    (settings,) = made
    assert (settings.url, settings.username, settings.password) == (
        "rediss://r:6380",
        "dash",
        "hush",
    )
    assert settings.ca_file == "ca.pem"
    assert "hush" not in repr(settings)
