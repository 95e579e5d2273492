"""A process to be killed: it writes to every SQLite adapter and prints what was acknowledged.

Run as `python -m tests.unit.sqlite_writer FOLDER NAME SEED`. Each line is one acknowledged write,
printed only after the verb returned.
"""

import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from cell.tables import Row
from cell.tables_sqlite import SqliteTables
from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log_sqlite import SqliteLog
from idgen.clock import SystemClock
from idgen.worker_lease_sqlite import SqliteWorkerLeases
from router.registry_sqlite import SqliteRegistry

PARTITIONS = 3
CLOCK = SystemClock()


def value_of(*what: object) -> bytes:
    """What is written under a name, so that a reader can tell whether it is whole."""
    return random.Random(repr(what)).randbytes(random.Random(repr(what)).randrange(3_000))


def say(*words: object) -> None:
    """One line, at once and whole."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def append(folder: Path, name: str, dice: random.Random) -> None:
    log = SqliteLog(folder / "log.db", "events", PARTITIONS, CLOCK)
    number = 0
    while True:
        records = []
        for i in range(number, number + dice.randint(1, 5)):
            head = b"%s %d " % (name.encode(), i)
            records.append((dice.randrange(PARTITIONS), head + value_of(i)))
        for appended in log.append(records):
            say("log", appended.partition, appended.offset, name, number)
            number += 1


def put(folder: Path, name: str, dice: random.Random) -> None:
    tables = SqliteTables(folder / "tables.db")
    tables.create(["t"])
    version = 0
    while True:
        version += 1
        keys = [b"%s %d" % (name.encode(), k) for k in dice.sample(range(20), 3)]
        tables.put("t", [Row(key, version, value_of(key, version)) for key in keys])
        for key in keys:
            say("row", key.decode().replace(" ", "/"), version)


def commit(folder: Path, name: str, dice: random.Random) -> None:
    log = SqliteLog(folder / "log.db", "events", PARTITIONS, CLOCK)
    member = SqliteCheckpoints(log, folder / "groups.db", CLOCK).join(f"group-{name}", name)
    member.poll(1, 0)
    offset = 0
    while True:
        offset += 1
        member.commit({dice.randrange(PARTITIONS): offset})
        say("checkpoint", f"group-{name}", offset)


def change(folder: Path, name: str, dice: random.Random) -> None:
    registry = SqliteRegistry(folder / "registry.db", CLOCK, session_ms=1_000)
    registry.create(f"/n/{name}", b"0")
    registry.create(f"/alive/{name}", b"", ephemeral=True)
    version = 0
    while True:
        version = registry.set(f"/n/{name}", value_of(name, version + 1), version)
        say("node", f"/n/{name}", version)


def reserve(folder: Path, name: str, dice: random.Random) -> None:
    leases = SqliteWorkerLeases(folder / "leases.db", CLOCK)
    lease = leases.acquire(name, CLOCK.now_ms(), 1_000, 600_000)
    while True:
        lease = leases.renew(lease, lease.reserved_ms + dice.randint(1, 9))
        say("lease", lease.worker, lease.epoch, lease.reserved_ms)


def main() -> None:
    folder, name, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    tasks: list[Callable[[Path, str, random.Random], None]] = [append, append, put, put]
    tasks += [commit, change, reserve]
    threads = [
        threading.Thread(target=task, args=(folder, f"{name}.{i}", random.Random(seed + i)))
        for i, task in enumerate(tasks)
    ]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
