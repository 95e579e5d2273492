"""Log and groups shared by processes, one of which is killed."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log_sqlite import SqliteLog
from idgen.clock import SystemClock
from tests.contract.patience import until

ROOT = Path(__file__).resolve().parents[2]
CLOCK = SystemClock()
SESSION_MS = 600

CHILD = f"""
import sys
from pathlib import Path
from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log_sqlite import SqliteLog
from idgen.clock import SystemClock
folder, clock = Path(sys.argv[1]), SystemClock()
log = SqliteLog(folder / "log.db", "events", 4, clock)
member = SqliteCheckpoints(log, folder / "groups.db", clock).join("g", "child", {SESSION_MS})
while True:
    polled = member.poll(10, 100)
    for partition in polled.assigned:
        log.append([(partition, b"of the child")])
    for record in polled.records:
        member.commit({{record.partition: record.offset + 1}})
        print(record.partition, record.offset, flush=True)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db", "events", 4, CLOCK)
    yield log
    log.close()


@pytest.fixture
def groups(log: SqliteLog, tmp_path: Path) -> Iterator[SqliteCheckpoints]:
    groups = SqliteCheckpoints(log, tmp_path / "groups.db", CLOCK)
    yield groups
    groups.close()


def test_a_waiting_read_hears_of_another_process(
    log: SqliteLog, child: subprocess.Popen[str]
) -> None:
    assert child.poll() is None
    begin = time.process_time()
    records = log.read(2, 0, 9, timeout_ms=20_000)
    assert [r.value for r in records] == [b"of the child"]
    # It waits and does not spin.
    assert time.process_time() - begin < 1.0


def test_the_partitions_of_a_killed_process_are_taken_over_at_its_checkpoints(
    log: SqliteLog, groups: SqliteCheckpoints, child: subprocess.Popen[str]
) -> None:
    assert child.stdout is not None
    done = {tuple(map(int, child.stdout.readline().split())) for _ in range(4)}
    assert done == {(p, 0) for p in range(4)}
    member = groups.join("g", "heir", SESSION_MS)

    def poll_until(size: int, what: str) -> None:
        until(what, lambda: member.poll(0, 50) and len(member.owned) == size, 20.0)

    poll_until(2, "the child gives up half of its partitions")
    assert [m.client for m in groups.members("g")] == ["child", "heir"]
    child.kill()
    poll_until(4, "its session is over")
    assert [m.client for m in groups.members("g")] == ["heir"]
    assert groups.committed("g") == dict.fromkeys(range(4), 1)
    log.append([(p, b"next") for p in range(4)])
    found = set()
    while len(found) < 4:
        found |= {(r.partition, r.offset) for r in member.poll(9, 5_000).records}
    assert found == {(p, 1) for p in range(4)}


def test_members_of_threads_and_appends_of_threads_lose_and_double_nothing(
    log: SqliteLog, groups: SqliteCheckpoints
) -> None:
    total, stop = 600, threading.Event()
    seen: list[tuple[int, int]] = []
    lock = threading.Lock()

    def consume(name: str) -> None:
        member = groups.join("g", name, 30_000)
        while not stop.is_set():
            polled = member.poll(20, 50)
            with lock:
                seen.extend((r.partition, r.offset) for r in polled.records)
            last = {r.partition: r.offset + 1 for r in polled.records}
            member.commit(last)
        member.leave()

    def produce(writer: int) -> None:
        for i in range(total // 3):
            log.append([((i + writer) % 4, b"%d" % i)])

    threads = [threading.Thread(target=consume, args=(n,)) for n in "abc"]
    threads += [threading.Thread(target=produce, args=(w,)) for w in range(3)]
    for thread in threads:
        thread.start()
    try:
        until("all is consumed", lambda: len(seen) >= total, 60.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    expected = [(p, o) for p, span in enumerate(log.spans()) for o in range(span.end)]
    # Partitions changed hands only between polls, after the commit: so nothing came twice.
    assert sorted(seen) == expected
    assert groups.committed("g") == {p: span.end for p, span in enumerate(log.spans())}
