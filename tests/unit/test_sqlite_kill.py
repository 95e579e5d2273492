"""Killing a process at any moment loses nothing that it was told is kept."""

import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from cell.tables_sqlite import SqliteTables
from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log_sqlite import SqliteLog
from idgen.worker_lease_sqlite import SqliteWorkerLeases
from router.registry_sqlite import SqliteRegistry
from tests.contract.patience import together, until
from tests.unit.sqlite_writer import CLOCK, PARTITIONS, value_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"log", "row", "checkpoint", "node", "lease"}


def killed_writer(folder: Path, name: str, seed: int) -> list[list[str]]:
    """Run a writer, kill it at a moment from the seed; what it had acknowledged."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.sqlite_writer", str(folder), name, str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    dice = random.Random(seed)
    lines, patience = dice.randint(40, 400), 30.0
    watchdog = threading.Timer(patience, child.kill)
    watchdog.start()
    said, seen = [], set()
    try:
        while len(said) < lines or seen != KINDS:
            line = child.stdout.readline()
            assert line, f"seed {seed}: the writer ended by itself, or wrote too slowly"
            said.append(line)
            seen.add(line.split()[0])
        # Somewhere inside of what it does next, too.
        threading.Event().wait(dice.random() / 100)
        child.kill()
        said += child.stdout.readlines()
    finally:
        watchdog.cancel()
        child.kill()
        child.wait()
        child.stdout.close()
    # The last line may be cut off: it was not heard then.
    return [line.split() for line in said if line.endswith("\n")]


def check_log(folder: Path, said: list[list[str]]) -> None:
    log = SqliteLog(folder / "log.db", "events", PARTITIONS, CLOCK)
    stored = {}
    for partition in range(PARTITIONS):
        end = log.spans()[partition].end
        records = log.read(partition, 0, end + 1)
        assert [r.offset for r in records] == list(range(end))
        assert [r.at_ms for r in records] == sorted(r.at_ms for r in records)
        for record in records:
            name, number, value = record.value.split(b" ", 2)
            assert value == value_of(int(number))
            stored[partition, record.offset] = (name.decode(), int(number))
    assert len(set(stored.values())) == len(stored), "a record lies there twice"
    for _, partition, offset, name, number in said:
        assert stored[int(partition), int(offset)] == (name, int(number))
    log.close()


def check_rows(folder: Path, said: list[list[str]]) -> None:
    tables = SqliteTables(folder / "tables.db")
    rows = {row.key: row for row in tables.scan("t", b"", b"", 1_000)}
    for row in rows.values():
        assert row.value == value_of(row.key, row.version)
    for _, key, version in said:
        assert rows[key.replace("/", " ").encode()].version >= int(version)
    tables.close()


def check_groups(folder: Path, said: list[list[str]]) -> None:
    log = SqliteLog(folder / "log.db", "events", PARTITIONS, CLOCK)
    groups = SqliteCheckpoints(log, folder / "groups.db", CLOCK)
    for group in {group for _, group, _ in said}:
        last = max(int(offset) for _, g, offset in said if g == group)
        assert max(groups.committed(group).values()) in {last, last + 1}
    groups.close()
    log.close()


def check_nodes(folder: Path, said: list[list[str]]) -> None:
    registry = SqliteRegistry(folder / "registry.db", CLOCK)
    for path in {path for _, path, _ in said}:
        last = max(int(version) for _, p, version in said if p == path)
        value, version = registry.get(path)
        assert version in {last, last + 1}
        assert value == value_of(path.removeprefix("/n/"), version)
    until("the dead are no longer listed", lambda: not registry.list("/alive"), 15.0)
    registry.close()


def check_leases(folder: Path, said: list[list[str]]) -> None:
    store = SqliteWorkerLeases(folder / "leases.db", CLOCK)
    reserved = {(lease.worker, lease.epoch): lease.reserved_ms for lease in store.leases()}
    for _, worker, epoch, reserved_ms in said:
        assert reserved[int(worker), int(epoch)] >= int(reserved_ms)
    store.close()


@pytest.mark.parametrize("seed", [11, 22, 33])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, seed: int) -> None:
    said: list[list[str]] = []
    for round_ in range(3):
        # Two at once, both killed; then the next ones open what these left behind.
        names = [f"{round_}a", f"{round_}b"]
        writers = [
            lambda i=i, name=name, r=round_: killed_writer(tmp_path, name, seed * 100 + r * 10 + i)
            for i, name in enumerate(names)
        ]
        for of_one in together(writers):
            said += of_one
    assert set(Counter(line[0] for line in said)) == KINDS
    of = {kind: [line for line in said if line[0] == kind] for kind in KINDS}
    check_log(tmp_path, of["log"])
    check_rows(tmp_path, of["row"])
    check_groups(tmp_path, of["checkpoint"])
    check_leases(tmp_path, of["lease"])
    check_nodes(tmp_path, of["node"])
