"""A relay to be killed: `python -m tests.unit.relay_process sqlite FOLDER` or `kafka ADDRESS NAME`.

It prints a line when it has begun to relay. `opened` opens the same logs for whoever checks it.
"""

import sys
import threading
from pathlib import Path

from firehose.checkpoint import Checkpoints
from firehose.checkpoint_kafka import KafkaCheckpoints
from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log import Log
from firehose.log_kafka import KafkaLog
from firehose.log_sqlite import SqliteLog
from firehose.relay import Relay, RelaySettings
from firehose.relayed import RELAYED_BYTES_MAX
from idgen.clock import SystemClock

PARTITIONS = 4
CLOCK = SystemClock()
SESSION_MS = {"sqlite": 400, "kafka": 2_000}


def opened(kind: str, *where: str) -> tuple[Log, Checkpoints, Log]:
    """The root, its groups, and the group's topic."""
    if kind == "sqlite":
        folder = Path(where[0])
        root = SqliteLog(folder / "root.db", "root", PARTITIONS, CLOCK)
        groups = SqliteCheckpoints(root, folder / "groups.db", CLOCK)
        path = folder / "group.db"
        topic = SqliteLog(path, "group", PARTITIONS, CLOCK, bytes_max=RELAYED_BYTES_MAX)
        return root, groups, topic
    address, name = where
    settings = {"bootstrap.servers": address}
    return (
        KafkaLog(settings, f"root-{name}", PARTITIONS),
        KafkaCheckpoints(settings, f"root-{name}", PARTITIONS),
        KafkaLog(settings, f"group-{name}", PARTITIONS, bytes_max=RELAYED_BYTES_MAX, gapless=True),
    )


def main() -> None:
    kind, *where = sys.argv[1:]
    root, groups, topic = opened(kind, *where)
    settings = RelaySettings(poll_ms=50, look_ms=100, pause_ms=20, session_ms=SESSION_MS[kind])
    relay = Relay(root, groups, topic, "g", "child", CLOCK, settings)
    threading.Thread(target=say, args=(relay,), daemon=True).start()
    relay.run(threading.Event())


def say(relay: Relay) -> None:
    """One line once records were relayed."""
    pause = threading.Event()
    while not relay.stats.records:
        pause.wait(0.002)
    print("relaying", flush=True)


if __name__ == "__main__":
    main()
