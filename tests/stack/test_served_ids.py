"""`cellctl serve idgen` three times over a real ZooKeeper, eight clients, and kill -9 in a loop.

Nothing else is there: no Kafka, no cell, no platform that was created.
"""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from idgen.clock import SystemClock
from idgen.ids import WORKERS
from idgen.worker_lease_zookeeper import ZooKeeperWorkerLeases
from tests.contract.patience import together
from tests.house.sources import ROOT
from tests.sim.id_kills import SECONDS, SEED, IdServers

HOUR_MS = 3_600_000
MARK_MS = 3_000
"""So far ahead of the clock were all worker ids left."""

pytestmark = pytest.mark.stack


@pytest.mark.timeout(SECONDS + 600)
def test_killed_servers_give_no_id_twice_and_clients_fail_over(
    zookeeper_address: str, tmp_path: Path
) -> None:
    print(f"seed {SEED}, {SECONDS:g} s")
    client = KazooClient(hosts=zookeeper_address)
    client.start(timeout=30)
    root = f"/ids-{uuid.uuid4().hex[:8]}"
    clock = SystemClock()
    leases = ZooKeeperWorkerLeases(client, f"{root}/worker-leases", clock)
    now_ms = clock.now_ms()

    def leave() -> None:
        while len(client.get_children(f"{root}/worker-leases")) < WORKERS:
            lease = leases.acquire("before", now_ms, HOUR_MS, HOUR_MS)
            leases.release(lease, now_ms + MARK_MS)

    client.ensure_path(f"{root}/worker-leases")
    together([leave] * 8)

    def spawn(port: int) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "ops.cellctl.main", "serve", "idgen"]
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("DASHCELL_")},
            "DASHCELL_DATA": str(tmp_path),
            "DASHCELL_SERVERS_ZOOKEEPER": zookeeper_address,
            "DASHCELL_ZOOKEEPER_ROOT": root,
            "DASHCELL_LISTEN_IDGEN": str(port),
        }
        with (tmp_path / "servers.log").open("ab") as log:
            return subprocess.Popen(program, cwd=ROOT, env=env, stderr=log)

    servers = IdServers(spawn, leases, SEED)
    servers.run(SECONDS)
    servers.check()
    print(servers.told())
    assert servers.kills >= 3
    assert all(life.floor_ms == now_ms + MARK_MS for life in servers.lives)
    client.stop()
    client.close()
