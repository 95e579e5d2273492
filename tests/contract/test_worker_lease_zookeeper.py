"""The worker-lease seam over a real ZooKeeper."""

import uuid
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from idgen.clock import SystemClock
from idgen.errors import Corrupt, Unavailable
from idgen.worker_lease_zookeeper import ZooKeeperWorkerLeases
from tests.contract.worker_lease_contract import HOUR_MS, NOW_MS, OpenLeases, WorkerLeaseContract

pytestmark = pytest.mark.stack


@pytest.fixture
def clients(zookeeper_address: str) -> Iterator[list[KazooClient]]:
    clients = [KazooClient(hosts=zookeeper_address) for _ in range(2)]
    for client in clients:
        client.start(timeout=30)
    yield clients
    for client in clients:
        client.stop()
        client.close()


class TestZooKeeperWorkerLeases(WorkerLeaseContract):
    @pytest.fixture
    def open_leases(self, clients: list[KazooClient]) -> OpenLeases:
        root, opened = f"/test/{uuid.uuid4().hex}/workers", []

        def open_leases() -> ZooKeeperWorkerLeases:
            client = clients[len(opened) % len(clients)]
            opened.append(ZooKeeperWorkerLeases(client, root, SystemClock()))
            return opened[-1]

        return open_leases


def test_a_zookeeper_that_is_away_is_unavailable_in_time(clients: list[KazooClient]) -> None:
    leases = ZooKeeperWorkerLeases(clients[0], "/test/away", SystemClock(), timeout_ms=500)
    lease = leases.acquire("h", NOW_MS, 1_000, HOUR_MS)
    clients[0].stop()
    calls = [
        lambda: leases.acquire("h", NOW_MS, 1_000, HOUR_MS),
        lambda: leases.renew(lease, NOW_MS),
        lambda: leases.release(lease, NOW_MS),
        leases.leases,
    ]
    for call in calls:
        with pytest.raises(Unavailable):
            call()


def test_a_record_that_is_no_lease_is_corrupt(clients: list[KazooClient]) -> None:
    root = f"/test/{uuid.uuid4().hex}"
    leases = ZooKeeperWorkerLeases(clients[0], root, SystemClock())
    clients[1].create(f"{root}/0007", b"by hand", makepath=True)
    with pytest.raises(Corrupt, match="worker id 7"):
        leases.leases()
