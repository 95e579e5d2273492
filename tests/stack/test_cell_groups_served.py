"""`cellctl serve relay` as real processes over a real Kafka, killed at random instants under load.

Cells are here for their logs: their tables are files, so no HBase is started.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from cell import keys
from cell.commands import SliceArrived
from cell.commands import encode as encode_command
from cell.ingest import IngestWorker
from cell.post_cache_memory import MemoryPostCache
from cell.stores import CellStores
from cell.tables_sqlite import SqliteTables
from firehose.codec import encode
from firehose.log_relayed import RelayedLog
from idgen.clock import SystemClock
from idgen.errors import Corrupt, Unavailable
from idgen.ids import U64, partition_of
from ops.config import Config
from ops.config_settings import Platform
from ops.creation import tell_servers
from ops.readyz import not_ready_because
from ops.table_hash import table_hash
from ops.wiring.seams import group_log_name
from ops.wiring.stack import StackSeams
from router.cells import CellInfo
from router.cluster import agree, values_of
from router.services import read_services
from tests.conftest import Servers
from tests.contract.patience import until
from tests.house.sources import ROOT
from tests.sim.cell_history import Drawn

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:list_groups:DeprecationWarning"),
]

PARTITIONS = 8
KILLS = 3
TWICE = 20
GROUP = "east"
PATIENCE_S = 120.0
EVENTS = 2_000
CLOCK = SystemClock()


class Cell:
    """The workers of one cell, on tables of its own."""

    def __init__(self, seams: StackSeams, name: str, folder: Path) -> None:
        self.tables = SqliteTables(folder / f"{name}.db")
        self.tables.create(keys.TABLES)
        cache = MemoryPostCache(1_000, 60_000, CLOCK)
        self.stores: CellStores = replace(seams.cell(name), tables=self.tables, cache=cache)
        arrived = SliceArrived(0, U64, 1, (0,) * PARTITIONS)
        self.stores.commands.append([(0, encode_command(arrived))])
        self.failure: Exception | None = None
        self._worker = IngestWorker(self.stores, seams.checkpoints(name), name, CLOCK)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ingest {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._worker.run(self._stop)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.failure = error

    def settle(self) -> str:
        """The hash of its rows once it has applied all."""
        ends = self.stores.ends()
        until(f"{self.stores.name} has all", lambda: not self.stores.behind(ends), PATIENCE_S)
        return table_hash(self.tables)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        self.tables.close()


class World:
    """A platform of a Kafka and a ZooKeeper, with a cell at the root and one behind the relay."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        seed = int(os.environ.get("DASHCELL_SIM_SEED", random.randrange(1, 10_000)))
        print(f"DASHCELL_SIM_SEED={seed}")
        self.rnd = random.Random(seed)
        self.folder = folder
        self.zookeeper, self.kafka = servers.zookeeper(), servers.kafka()
        section = Platform(data=str(folder), profile="stack", partitions=PARTITIONS)
        self.config = Config(platform=section)
        self.seams = StackSeams(self.config, self.zookeeper)
        nowhere = ("127.0.0.1:1",)
        cells = [
            CellInfo(name, hbase_thrift1=nowhere, hbase_thrift2=nowhere, redis="h:1", group=group)
            for name, group in {"a": "", "b": GROUP, "c": GROUP, "d": GROUP}.items()
        ]
        tell_servers(self.seams.registry, self.kafka, cells)
        self.root, self.topic = self.seams.firehose(), self.seams.group_log(GROUP)
        agree(self.seams.registry, values_of(self.root))
        self.drawn = Drawn(self.rnd)
        self.relays: list[subprocess.Popen[bytes]] = []
        self.cells: dict[str, Cell] = {}

    def begin(self, *names: str) -> None:
        for name in names:
            self.cells[name] = Cell(self.seams, name, self.folder)

    def start(self) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "ops.cellctl.main", "serve", "relay", "--group", GROUP]
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("DASHCELL_")},
            "DASHCELL_DATA": str(self.folder),
            "DASHCELL_SERVERS_ZOOKEEPER": self.zookeeper,
        }
        with (self.folder / "relays.log").open("ab") as log:
            self.relays.append(subprocess.Popen(program, cwd=ROOT, env=env, stderr=log))
        return self.relays[-1]

    def kill(self, one: subprocess.Popen[bytes]) -> None:
        self.relays.remove(one)
        one.kill()
        one.wait()

    def write(self, count: int) -> None:
        events = [self.drawn.event() for _ in range(count)]
        self.root.append([(partition_of(e.key_user, PARTITIONS), encode(e)) for e in events])

    @contextmanager
    def load(self) -> Iterator[None]:
        stop = threading.Event()

        def write() -> None:
            while not stop.wait(0.005):
                self.write(self.rnd.randint(1, 20))

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def behind(self) -> RelayedLog:
        """A reader of the group's topic that knows nothing yet."""
        return RelayedLog(self.topic, self.root.identity)

    def relayed(self) -> None:
        """What the root has now is behind the relay too."""
        ends = [span.end for span in self.root.spans()]

        def there() -> bool:
            try:
                found = self.behind().spans()
            except Unavailable:  # it has not begun
                return False
            return all(span.end >= end for span, end in zip(found, ends, strict=True))

        until("all is relayed", there, PATIENCE_S)

    def readers_at_the_root(self) -> dict[str, list[int]]:
        """The consumer groups of the root's topic, by Kafka, and who reads how many partitions."""
        groups = self.seams.checkpoints()
        return {
            name: sorted(len(member.partitions) for member in groups.members(name))
            for name in groups.groups()
        }

    def fetched(self) -> int:
        """How many events the relays say to have read at the root and brought."""
        return sum(int(self.metric(at, "relay_events_total")) for at in self.admins())

    def admins(self) -> list[str]:
        pids = {one.pid for one in self.relays}
        found = read_services(self.seams.registry, "relay")
        return [info.admin for info in found if info.pid in pids and info.of == GROUP]

    def metric(self, admin: str, name: str) -> float:
        with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        (line,) = (line for line in lines if line.startswith(f'dashcell_{name}{{group="{GROUP}"}}'))
        return float(line.split()[-1])

    def stop(self) -> None:
        for one in list(self.relays):
            self.kill(one)
        for cell in self.cells.values():
            cell.stop()
        self.seams.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[World]:
    """Servers of its own: the topics have the platform's names."""
    folder = tmp_path_factory.mktemp("groups")
    own = Servers(folder / "servers", servers.cache)
    try:
        made = World(own, folder)
        try:
            yield made
        finally:
            made.stop()
    finally:
        own.stop()


def test_relays_killed_at_random_instants_leave_no_gap_and_no_other_order(world: World) -> None:
    world.begin("a", "b")
    world.start()
    world.start()
    with world.load():
        world.relayed()
        for number in range(KILLS):
            one = world.rnd.choice(world.relays)
            if number == 1:
                _overtaken(world, one)
                continue
            threading.Event().wait(world.rnd.random() * 2)
            world.kill(one)
            world.start()
            world.relayed()
    world.relayed()
    # As one does that was overtaken between its poll and its append.
    end, p = max((span.end, p) for p, span in enumerate(world.topic.spans()))
    last = world.topic.read(p, end - TWICE, TWICE, 5_000)
    world.topic.append([(p, record.value) for record in last])
    ends = [span.end for span in world.root.spans()]
    repeated = sum(_repeated(world, p, end) for p, end in enumerate(ends))
    fresh = world.behind()
    for p, end in enumerate(ends):
        assert _all(fresh, p, end) == _all(world.root, p, end)
    assert fresh.dropped == repeated >= TWICE
    print(f"{sum(ends)} events, {repeated} of them brought twice")
    assert world.cells["a"].settle() == world.cells["b"].settle()
    behind = world.cells["b"].stores.firehose
    assert isinstance(behind, RelayedLog)
    until("the cell has passed them over", lambda: behind.dropped >= TWICE, PATIENCE_S)


def _overtaken(world: World, one: subprocess.Popen[bytes]) -> None:
    """It is stopped until another has its partitions, and goes on as if nothing was."""
    one.send_signal(signal.SIGSTOP)
    try:
        groups = world.seams.checkpoints()

        def others() -> bool:
            members = groups.members(f"relay-{GROUP}")
            return len(members) == 1 and len(members[0].partitions) == PARTITIONS

        until("another has its partitions", others, PATIENCE_S)
        world.relayed()
    finally:
        one.send_signal(signal.SIGCONT)
    world.relayed()


def _all(log: object, partition: int, end: int) -> list[object]:
    found: list[object] = []
    while len(found) < end:
        found += log.read(partition, len(found), 1_000, 5_000)  # type: ignore[attr-defined]
    return found


def _repeated(world: World, partition: int, end: int) -> int:
    """How many root records lie in a partition of the topic more than once, by where an envelope
    has its kind and its offset: each of them behind the one before it."""
    span = world.topic.spans()[partition]
    seen: Counter[int] = Counter()
    at = span.start
    while at < span.end:
        for record in world.topic.read(partition, at, 1_000, 5_000):
            at = record.offset + 1
            if record.value[3] == 1:
                offset = int.from_bytes(record.value[8:16])
                assert offset == 0 or seen[offset - 1], f"{offset} came before {offset - 1}"
                seen[offset] += 1
    assert sorted(seen) == list(range(end))
    return sum(count - 1 for count in seen.values())


def test_one_cell_and_three_cells_behind_a_group_cost_the_root_one_reader(world: World) -> None:
    readers, fetched = [], []
    for cells in ((), ("c", "d")):
        world.begin(*cells)
        for name in world.cells:
            world.cells[name].settle()
        until("each relay has its share", lambda: _shared(world), PATIENCE_S)
        readers.append(world.readers_at_the_root())
        before = world.fetched()
        world.write(EVENTS)
        world.relayed()
        until("they say so", lambda b=before: world.fetched() - b >= EVENTS, PATIENCE_S)
        fetched.append(world.fetched() - before)
    print(f"with 1 and with 3 cells: readers {readers}, events fetched for the group {fetched}")
    assert readers[0] == readers[1] == {"cell-a": [8], "relay-east": [4, 4]}
    assert fetched == [EVENTS, EVENTS]
    assert len({cell.settle() for cell in world.cells.values()}) == 1


def _shared(world: World) -> bool:
    return world.readers_at_the_root().get(f"relay-{GROUP}") == [4, 4]


def test_what_no_relay_wrote_stops_relay_and_cells_with_a_word_on_what_to_do(world: World) -> None:
    for one in list(world.relays):
        world.kill(one)
    world.topic.append([(0, b"written by somebody else")])
    one = world.start()
    admin = until("it is there", lambda: next(iter(world.admins()), ""), PATIENCE_S)
    said = until("it is red", lambda: _red(admin), PATIENCE_S)
    assert "was not written by a relay" in said
    assert "delete the topic, and let the relay fill it anew" in said
    assert world.metric(admin, "relay_stopped") == 1
    assert one.wait(PATIENCE_S) == 1
    world.relays.remove(one)
    for name in "bcd":
        until("the cell stops", lambda n=name: world.cells[n].failure is not None, PATIENCE_S)
        assert isinstance(world.cells[name].failure, Corrupt)
    world.write(10)
    world.cells["a"].settle()
    assert world.cells["a"].failure is None


def test_a_topic_that_was_deleted_is_filled_anew_and_cells_go_on_where_they_were(
    world: World,
) -> None:
    world.cells.pop("b").stop()
    admin = AdminClient({"bootstrap.servers": world.kafka})
    (deleted,) = admin.delete_topics([group_log_name(GROUP)]).values()
    deleted.result(60)
    seams = StackSeams(world.config, world.zookeeper)  # a new process: it knows of no topic
    try:
        world.start()
        world.topic = seams.group_log(GROUP)
        world.relayed()
        again = Cell(seams, "b", world.folder)
        world.write(100)
        assert again.settle() == world.cells["a"].settle()
        assert again.failure is None
        again.stop()
    finally:
        for one in list(world.relays):
            world.kill(one)
        seams.close()


def _red(admin: str) -> str:
    why = not_ready_because(admin, 5)
    return why if "stopped" in why else ""
