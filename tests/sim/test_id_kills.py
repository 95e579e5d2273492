"""Three real id servers, eight clients, and kill -9 in a loop."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from idgen.clock import SystemClock
from idgen.ids import WORKERS, compose
from ops.config import Config
from ops.config_settings import Platform
from ops.wiring.embedded import EmbeddedSeams
from tests.house.sources import ROOT
from tests.sim.id_kills import SECONDS, SEED, Batch, IdServers, Life, check_marks, check_unique

FREE = 4
"""Worker ids that three servers have for all their lives: they change hands."""
HOUR_MS = 3_600_000


@pytest.mark.timeout(SECONDS + 400)
def test_killed_servers_give_no_id_twice_and_clients_fail_over(tmp_path: Path) -> None:
    print(f"seed {SEED}, {SECONDS:g} s")
    clock = SystemClock()
    seams = EmbeddedSeams(Config(platform=Platform(data=str(tmp_path))), clock)
    for _ in range(WORKERS - FREE):
        seams.leases.acquire("others", clock.now_ms(), 0, 10 * HOUR_MS)

    def spawn(port: int) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "tests.sim.id_server", str(tmp_path), str(port)]
        with (tmp_path / "servers.log").open("ab") as log:
            return subprocess.Popen(program, cwd=ROOT, stderr=log)

    servers = IdServers(spawn, seams.leases, SEED)
    servers.run(SECONDS)
    servers.check()
    epochs = {life.worker: life.epoch for life in servers.lives}
    print(f"{servers.told()}, epochs {epochs}")
    assert servers.kills >= 3
    assert len(epochs) <= FREE
    assert max(epochs.values()) > 1, "worker ids have changed hands"
    assert any(life.floor_ms for life in servers.lives), "there were marks to start above"
    seams.close()


MARK = 1_700_000_000_000


@pytest.mark.parametrize(
    ("check", "batches"),
    [
        (check_unique, [Batch(1.0, [5, 7]), Batch(2.0, [6, 7])]),
        (check_unique, [Batch(1.0, [7, 5])]),
        (
            lambda batches: check_marks(batches, [Life(1.0, 3, 1, 0), Life(2.0, 3, 2, MARK)]),
            [Batch(1.5, [compose(MARK - 5, 3, 0)]), Batch(2.5, [compose(MARK, 3, 9)])],
        ),
        (
            lambda batches: check_marks(batches, [Life(1.0, 3, 2, 0), Life(2.0, 3, 2, 0)]),
            [Batch(1.0, [compose(MARK, 3, 0)])],
        ),
    ],
)
def test_a_planted_fault_is_found(
    check: Callable[[list[Batch]], None], batches: list[Batch]
) -> None:
    with pytest.raises(AssertionError):
        check(batches)
