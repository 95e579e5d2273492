"""A cell stopped whole, and killed then: readers elsewhere do not feel it, its own are told so in
time, and it catches up by itself. On real servers, each of which is stopped."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median

import pytest

from cell.dashboard import Context, Dashboard, PageQuery
from firehose.event import Lane
from idgen.errors import DashcellError, Unavailable
from idgen.ids import spread
from tests.contract.patience import until
from tests.higgs import workload
from tests.higgs.data import thin
from tests.higgs.driver import Driver
from tests.higgs.proof import Loaded, check_dashboards, sample
from tests.oracle.history import History
from tests.stack.stack_world import READY_S, StackWorld

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

HERE, THERE = "a", "b"
"""The cell that goes on, and the one that is stopped."""
ACTIVITIES = 2_000
STEPS_FIRST = 2_000
ROUNDS = 5
PAGES_A_ROUND = 500
"""Of each half of a round: its p99 is the sixth slowest."""
FACTOR = 2
FLOOR_MS = 20
"""The p99 of pages here is a few milliseconds, and one turn of the scheduler on a machine that runs
two cells, Kafka and the tests on two cores is as long: so much more is noise, while a wait for the
cell that is stopped would be of DEADLINE_MS."""
STOPPED_MS_MAX = 4_000
"""Shorter than any session: in the rounds nobody but the router and its readers can tell."""
DEADLINE_MS = 2_000
SLACK_MS = 1_000
"""Between the deadline and the moment when a test on a busy machine has looked at the answer."""
PAUSE_S = 0.1
READERS_THERE = 6
"""Who go on asking for pages of the cell that is stopped: in threads of their own."""
CATCH_UP_S = 240.0
READERS, LARGEST = 150, 10


class StoppedWorld(StackWorld):
    """A stack of which a whole cell can be stopped."""

    def members(self, cell: str) -> list[str]:
        """All processes of a cell: its servers and its services."""
        names = self._running.supervisor.names()
        return [n for n in names if n.startswith(f"hbase-{cell}-") or n.endswith(f"-{cell}")]

    def signal_all(self, cell: str, number: int) -> None:
        """Send a signal to every process of a cell."""
        for name in self.members(cell):
            self._running.supervisor.kill(name, number)

    @contextmanager
    def stopped(self, cell: str) -> Iterator[None]:
        """While this lasts, nothing of a cell runs."""
        self.signal_all(cell, signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_all(cell, signal.SIGCONT)

    def behind(self, cell: str) -> int:
        """How many events a cell has to apply."""
        stores = self._seams.cell(cell)
        return stores.behind(stores.ends())

    def come_back(self, cell: str, before: dict[str, int]) -> None:
        """Wait until every process of a cell has been started again, and is ready."""
        supervisor = self._running.supervisor
        for name in self.members(cell):
            until(f"{name} died", lambda n=name: supervisor.restarts(n) > before[n], READY_S)
        supervisor.wait_ready(self.members(cell), READY_S)

    def restarts(self, cell: str) -> dict[str, int]:
        """How often each process of a cell was started again."""
        return {n: self._running.supervisor.restarts(n) for n in self.members(cell)}


class Life:
    """What is done on the platform, and who is looked at."""

    def __init__(self, world: StoppedWorld, seed: int) -> None:
        self.world = world
        self.seed = seed
        self.history = History()
        self._steps = list(workload.steps(thin(), ACTIVITIES, seed))
        self._driver = Driver([world.client()], self.history)
        self.play(STEPS_FIRST)
        until("every cell has applied the log", world.caught_up, CATCH_UP_S)
        readers = sample(Loaded(self.history), READERS, LARGEST, seed)
        self.readers = {
            cell: [r for r in readers if world.home(spread(r)) == cell] for cell in (HERE, THERE)
        }

        assert min(map(len, self.readers.values())) >= READERS // 4, "too few have anything to see"

    def play(self, steps: int | None = None) -> None:
        """Some more steps, or all that are left."""
        part, self._steps = self._steps[:steps], self._steps[steps or len(self._steps) :]
        assert self._driver.play(part) == len(part) > 0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoppedWorld]:
    with StoppedWorld(tmp_path_factory.mktemp("stopped")) as made:
        yield made


@pytest.fixture(scope="module")
def life(world: StoppedWorld) -> Life:
    seed = int(os.environ.get("DASHCELL_SIM_SEED", random.randrange(1, 10_000)))
    print(f"DASHCELL_SIM_SEED={seed}")
    return Life(world, seed)


def query_of(reader: int) -> PageQuery:
    return PageQuery(reader, frozenset(Lane), limit=20)


def p99_ms(client: Dashboard, readers: list[int]) -> float:
    """Of PAGES_A_ROUND first pages, one after the other; none may fail."""
    took: list[float] = []
    for n in range(PAGES_A_ROUND):
        began = time.perf_counter()
        page = client.page(Context(DEADLINE_MS), query_of(readers[n % len(readers)]))
        took.append((time.perf_counter() - began) * 1000)
        assert page.cell == HERE
    return sorted(took)[len(took) * 99 // 100]


@contextmanager
def others_ask(world: StoppedWorld, readers: list[int]) -> Iterator[list[str]]:
    """While this lasts, readers of the other cell ask for pages too; what they were told instead of
    one."""
    over = threading.Event()
    told: list[str] = []

    def ask(client: Dashboard, turn: int) -> None:
        while not over.is_set():
            try:
                client.page(Context(DEADLINE_MS), query_of(readers[turn % len(readers)]))
            except DashcellError as error:
                told.append(type(error).__name__)
            turn += READERS_THERE
            over.wait(PAUSE_S)

    with ThreadPoolExecutor(READERS_THERE, "others") as pool:
        asking = [pool.submit(ask, world.client(), turn) for turn in range(READERS_THERE)]
        try:
            yield told
        finally:
            over.set()
        for each in asking:
            each.result()


def test_all_of_a_cell_is_what_is_stopped(world: StoppedWorld) -> None:
    kinds = {name.replace(f"-{THERE}", "") for name in world.members(THERE)}
    servers = {"hbase-master", "hbase-regionserver", "hbase-thrift1", "hbase-thrift2", "redis"}
    assert kinds == servers | {"ingest", "dashboard"}


def test_readers_of_another_cell_keep_their_p99(world: StoppedWorld, life: Life) -> None:
    """Rounds of both, the one after the other, compared by their medians."""
    client, readers = world.client(), life.readers[HERE]
    before: list[float] = []
    during: list[float] = []
    with others_ask(world, life.readers[THERE]) as told:
        for _ in range(ROUNDS):
            before.append(p99_ms(client, readers))
            began = time.monotonic()
            with world.stopped(THERE):
                during.append(p99_ms(client, readers))
            stopped_ms = (time.monotonic() - began) * 1000
            if stopped_ms > STOPPED_MS_MAX:
                print(f"stopped for {stopped_ms:.0f} ms: sessions may have ended")
            until("the cell answers again", lambda: _answers(client, life), CATCH_UP_S)
    print(f"p99 in ms before {before}, during {during}; others were told {sorted(set(told))}")
    assert median(during) <= FACTOR * median(before) + FLOOR_MS


def _answers(client: Dashboard, life: Life) -> bool:
    try:
        return client.page(Context(DEADLINE_MS), query_of(life.readers[THERE][0])).cell == THERE
    except DashcellError:
        return False


def test_readers_of_the_stopped_cell_are_told_in_time_and_it_catches_up_by_itself(
    world: StoppedWorld, life: Life
) -> None:
    client = world.client()
    before = world.restarts(THERE)
    world.signal_all(THERE, signal.SIGSTOP)
    for reader in life.readers[THERE][:READERS_THERE]:
        _told_in_time(client, reader)
    life.play()  # writes are not the cell's: they go on
    for reader in life.readers[HERE][:READERS_THERE]:
        assert client.page(Context(DEADLINE_MS), query_of(reader)).cell == HERE
    assert world.behind(HERE) == 0 or _caught_up(world, HERE)
    world.signal_all(THERE, signal.SIGKILL)
    _told_in_time(client, life.readers[THERE][0])
    world.come_back(THERE, before)
    until("the cell has caught up", lambda: world.behind(THERE) == 0, CATCH_UP_S)
    until("every cell has applied the log", world.caught_up, CATCH_UP_S)
    loaded = Loaded(life.history)
    check_dashboards(world, loaded, sample(loaded, READERS, LARGEST, life.seed))


def _caught_up(world: StoppedWorld, cell: str) -> bool:
    until(f"cell {cell} goes on", lambda: world.behind(cell) == 0, CATCH_UP_S)
    return True


def _told_in_time(client: Dashboard, reader: int) -> None:
    """Unavailable, with when to come back, before the reader's own time is over."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as told:
        client.page(Context(DEADLINE_MS), query_of(reader))
    took_ms = (time.monotonic() - began) * 1000
    assert told.value.retry_after_ms > 0
    assert took_ms <= DEADLINE_MS + SLACK_MS
