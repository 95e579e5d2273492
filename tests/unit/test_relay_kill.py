"""A relay that is killed by -9 over and over leaves no gap and changes no order, on SQLite and on a
real Kafka; what it repeats is counted."""

import random
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firehose.checkpoint_kafka import KafkaCheckpoints
from firehose.checkpoint_relayed import RelayedCheckpoints, RelayedMember
from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.log import Log, Record
from firehose.log_relayed import RelayedLog
from firehose.log_sqlite import SqliteLog
from idgen.clock import SystemClock
from idgen.errors import Unavailable
from tests.contract.patience import until
from tests.unit.relay_process import PARTITIONS, opened

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


class Children:
    """Relays as processes of their own."""

    def __init__(self, *where: str) -> None:
        self._where = where
        self.alive: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        self.alive.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.unit.relay_process", *self._where],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return self.alive[-1]

    def kill(self, child: subprocess.Popen[str]) -> None:
        self.alive.remove(child)
        child.kill()
        child.communicate()


@contextmanager
def writing(root: Log, dice: random.Random) -> Iterator[None]:
    """Somebody appends to the root all the while."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.wait(0.002):
            records = []
            for _ in range(dice.randint(1, 40)):
                number += 1
                value = b"%d " % number + bytes(dice.choice([0, 10, 3_000]))
                records.append((dice.randrange(PARTITIONS), value))
            root.append(records)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def heard(child: subprocess.Popen[str]) -> None:
    """Wait until the child relays."""
    assert child.stdout is not None
    watchdog = threading.Timer(PATIENCE_S, child.kill)
    watchdog.start()
    line = child.stdout.readline()
    watchdog.cancel()
    assert line == "relaying\n", "the relay ended by itself, or is too slow"


def live(children: Children, root: Log, dice: random.Random, overtake: Callable[..., None]) -> None:
    """Kill relays at random instants of their work, every other time one that was overtaken."""
    with writing(root, dice):
        for i in range(4):
            first = children.start()
            heard(first)
            threading.Event().wait(dice.random() / 5)
            if i % 2:
                overtake(children, first)
                threading.Event().wait(dice.random() / 5)
            for child in list(children.alive):
                children.kill(child)
    children.start()


def join(children: Children, _: subprocess.Popen[str]) -> None:
    """Another relay beside it. It cannot be stopped here: it may hold the file's lock."""
    children.start()


def stop(children: Children, first: subprocess.Popen[str]) -> None:
    """It is stopped until another has taken over, and goes on as if nothing was."""
    first.send_signal(signal.SIGSTOP)
    heard(children.start())
    first.send_signal(signal.SIGCONT)


def check(
    root: Log, topic: Log, groups_of: Callable[[RelayedLog], RelayedCheckpoints]
) -> tuple[int, int]:
    """What is behind is the root, by reads and by a member; how many records and repetitions."""
    behind = RelayedLog(topic, root.identity)

    def whole() -> bool:
        try:
            return behind.spans() == root.spans()
        except Unavailable:
            return False

    until("all is relayed", whole, PATIENCE_S)
    # As a relay that was overtaken between its poll and its append does.
    place = topic.spans()[0].end - 20
    again = topic.append([(0, record.value) for record in topic.read(0, place, 20)])
    assert behind.spans() == root.spans()
    ends = [span.end for span in root.spans()]
    expected = [read_all(root, p, end) for p, end in enumerate(ends)]
    assert [read_all(behind, p, end) for p, end in enumerate(ends)] == expected
    groups = groups_of(behind)
    member = groups.join("cell", "one", 10_000)
    found: list[list[Record]] = [[] for _ in ends]

    def polled() -> bool:
        for record in member.poll(500, 100).records:
            found[record.partition].append(record)
        return sum(map(len, found)) >= sum(ends)

    until("the member was given all", polled, PATIENCE_S)
    assert found == expected
    member.commit(dict(enumerate(ends)))
    assert groups.committed("cell") == dict(enumerate(ends))
    until("it has passed over what is repeated", lambda: passed(member, len(again)), PATIENCE_S)
    member.leave()
    return sum(ends), member.dropped


def passed(member: RelayedMember, repeated: int) -> bool:
    """Whether so many repetitions were dropped, and nothing came of them."""
    assert member.poll(500, 50).records == []
    return member.dropped >= repeated


def read_all(log: Log, partition: int, end: int) -> list[Record]:
    found: list[Record] = []
    while len(found) < end:
        found += log.read(partition, len(found), 1_000, 1_000)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_a_relay_killed_over_and_over_leaves_the_root_behind_it(tmp_path: Path, seed: int) -> None:
    where = ("sqlite", str(tmp_path))
    root, groups, topic = opened(*where)
    children = Children(*where)

    def groups_of(behind: RelayedLog) -> RelayedCheckpoints:
        assert isinstance(topic, SqliteLog)
        inner = SqliteCheckpoints(topic, tmp_path / "cells.db", SystemClock())
        return RelayedCheckpoints(inner, topic, behind)

    try:
        live(children, root, random.Random(seed), join)
        records, dropped = check(root, topic, groups_of)
        print(f"{records} records, {dropped} repeated")
    finally:
        for child in list(children.alive):
            children.kill(child)
        for each in (groups, topic, root):
            each.close()


@pytest.mark.stack
def test_a_relay_killed_over_and_over_leaves_the_root_behind_it_on_kafka(
    kafka_address: str,
) -> None:
    name = uuid.uuid4().hex
    where = ("kafka", kafka_address, name)
    root, groups, topic = opened(*where)
    children = Children(*where)

    def groups_of(behind: RelayedLog) -> RelayedCheckpoints:
        settings = {"bootstrap.servers": kafka_address}
        inner = KafkaCheckpoints(settings, f"group-{name}", PARTITIONS)
        return RelayedCheckpoints(inner, topic, behind)

    try:
        live(children, root, random.Random(3), stop)
        records, dropped = check(root, topic, groups_of)
        print(f"{records} records, {dropped} repeated")
    finally:
        for child in list(children.alive):
            children.kill(child)
        for each in (groups, topic, root):
            each.close()
