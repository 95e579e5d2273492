"""The registry seam over a real ZooKeeper."""

import logging
import threading
import uuid
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from idgen.errors import BadRequest, NotFound, Unavailable
from router.registry import VALUE_BYTES_MAX, Create, Node, Registry
from router.registry_zookeeper import ZooKeeperRegistry
from tests.contract.patience import until
from tests.contract.registry_contract import OpenRegistry, RegistryContract

pytestmark = pytest.mark.stack


def connected(address: str) -> KazooClient:
    client = KazooClient(hosts=address, timeout=4.0)
    client.start(timeout=30)
    return client


def expire(client: KazooClient, address: str) -> None:
    """Let the server end the session: a second connection resumes it and closes it."""
    session_id, password = client.client_id
    thief = KazooClient(hosts=address, client_id=(session_id, password), timeout=4.0)
    thief.start(timeout=30)
    thief.stop()
    thief.close()


class TestZooKeeperRegistry(RegistryContract):
    @pytest.fixture
    def open_registry(self, zookeeper_address: str) -> Iterator[OpenRegistry]:
        root, opened = f"/test/{uuid.uuid4().hex}", []
        self.address = zookeeper_address

        def open_registry() -> ZooKeeperRegistry:
            registry = ZooKeeperRegistry(connected(zookeeper_address), root)
            opened.append(registry)
            return registry

        yield open_registry
        for registry in opened:
            registry.close()
            registry.client.stop()
            registry.client.close()

    def lose_session(self, registry: Registry) -> None:
        assert isinstance(registry, ZooKeeperRegistry)
        expire(registry.client, self.address)


@pytest.fixture
def client(zookeeper_address: str) -> Iterator[KazooClient]:
    client = connected(zookeeper_address)
    yield client
    client.stop()
    client.close()


@pytest.fixture
def registry(client: KazooClient) -> ZooKeeperRegistry:
    return ZooKeeperRegistry(client, f"/test/{uuid.uuid4().hex}", timeout_ms=2_000)


def test_a_zookeeper_that_is_away_is_unavailable_in_time(
    registry: ZooKeeperRegistry, client: KazooClient
) -> None:
    registry.create("/a", b"0")
    client.stop()
    calls = [
        lambda: registry.get("/a"),
        lambda: registry.create("/b", b""),
        lambda: registry.set("/a", b"", 0),
        lambda: registry.delete("/a", 0),
        lambda: registry.list("/"),
        lambda: registry.watch("/a", lambda: None),
        lambda: registry.multi([Create("/b", b"")]),
    ]
    for call in calls:
        with pytest.raises(Unavailable):
            call()
    registry.close()


def test_a_multi_as_a_whole_has_a_largest_size(registry: ZooKeeperRegistry) -> None:
    half = bytes(VALUE_BYTES_MAX // 2 + 1)
    with pytest.raises(BadRequest) as caught:
        registry.multi([Create("/a", half), Create("/b", half)])
    assert caught.value.field == "value"


def test_closing_takes_ephemeral_paths_away_and_leaves_the_session(
    registry: ZooKeeperRegistry, client: KazooClient
) -> None:
    registry.create("/services/one", b"", ephemeral=True)
    other = ZooKeeperRegistry(client, registry.full("/services"))
    assert other.list("/") == ["one"]
    registry.close()
    registry.close()
    assert other.list("/") == []
    with pytest.raises(Unavailable):
        registry.get("/services")


def test_a_lost_session_brings_back_values_as_last_set_and_not_what_was_deleted(
    registry: ZooKeeperRegistry, client: KazooClient, zookeeper_address: str
) -> None:
    registry.create("/s/kept", b"0", ephemeral=True)
    registry.create("/s/deleted", b"", ephemeral=True)
    registry.set("/s/kept", b"1", 0)
    registry.delete("/s/deleted", 0)
    told = threading.Event()
    registry.watch("/s", told.set)
    before = client.client_id
    expire(client, zookeeper_address)
    assert told.wait(30)

    def back() -> bool:
        try:
            return client.client_id != before and registry.get("/s/kept") == Node(b"1", 0)
        except (NotFound, Unavailable):
            return False

    until("the ephemeral path is back", back, 30)
    assert registry.list("/s") == ["kept"]
    told.clear()
    registry.create("/s/more", b"")
    assert told.wait(30), "the watch was set again in the new session"


def test_a_watcher_that_fails_is_logged(
    registry: ZooKeeperRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a watcher's own mistake")

    with caplog.at_level(logging.ERROR):
        registry.watch("/w", fail)
        registry.create("/w", b"")
        until("the failure is logged", lambda: "a watcher's own mistake" in caplog.text, 30)


def test_many_children_are_watched(registry: ZooKeeperRegistry) -> None:
    registry.create("/c", b"")
    for first in range(0, 1_200, 200):
        registry.multi([Create(f"/c/{i}", b"0") for i in range(first, first + 200)])
    told = threading.Event()
    registry.watch("/c", told.set)
    registry.set("/c/1199", b"1", 0)
    assert told.wait(30)
