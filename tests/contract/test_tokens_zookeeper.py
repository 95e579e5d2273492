"""Tokens over a real ZooKeeper."""

import uuid
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from router.registry_zookeeper import ZooKeeperRegistry
from tests.contract.registry_contract import OpenRegistry
from tests.contract.tokens_contract import TokensContract

pytestmark = pytest.mark.stack


class TestTokensOverZooKeeper(TokensContract):
    @pytest.fixture
    def open_registry(self, zookeeper_address: str) -> Iterator[OpenRegistry]:
        root, opened = f"/test/{uuid.uuid4().hex}", []

        def open_one() -> ZooKeeperRegistry:
            client = KazooClient(hosts=zookeeper_address, timeout=4.0)
            client.start(timeout=30)
            opened.append(ZooKeeperRegistry(client, root))
            return opened[-1]

        yield open_one
        for registry in opened:
            registry.close()
            registry.client.stop()
            registry.client.close()
