"""The program of v0.1.0 beside today's: a cell of each on one platform, which v0.1.0 created; then
what a later version may bring along, as an upgrade goes on. The tests are one life, in order.
"""

import os
import random
from collections.abc import Iterator
from itertools import islice

import pytest

from cell.dashboard import Context, PageQuery
from firehose.codec import UnknownKind, decode, encode
from firehose.event import Draft, Followed, PostCreated, PostRemoved
from firehose.position import log_fingerprint, receipt_token
from idgen.errors import Behind
from idgen.ids import partition_of
from tests.contract.patience import until
from tests.golden import released
from tests.golden.formats import with_a_new_field
from tests.golden.tomorrow import of_the_new_kind
from tests.higgs import workload
from tests.higgs.data import thin
from tests.higgs.driver import DEADLINE_MS, Driver, Ids
from tests.higgs.proof import Loaded, check_dashboards, sample
from tests.oracle import operations as told
from tests.oracle.compare import shown_of
from tests.oracle.history import History
from tests.stack.mixed_world import LATER, TODAY, MixedWorld, Program

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

OLD, NEW = "a", "b"
ACTIVITIES = 3_000
READERS, LARGEST = 200, 20
AUTHORS = 40
PAUSED_MS = 2_000
CATCH_UP_S = 180.0
DEATHS = 2
AUTHOR, READER = 900_000_001, 900_000_002
"""Users whom the recording has not."""


@pytest.fixture(scope="module")
def seed() -> int:
    seed = int(os.environ.get("DASHCELL_SIM_SEED", random.randrange(1, 10_000)))
    print(f"DASHCELL_SIM_SEED={seed}")
    return seed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MixedWorld]:
    old = Program(released.checked_out(tmp_path_factory.mktemp("released")))
    with MixedWorld(tmp_path_factory.mktemp("mixed"), {OLD: old, NEW: TODAY}) as made:
        yield made


class Life:
    """What is done on the platform, and what it has to look like."""

    def __init__(self, world: MixedWorld, seed: int) -> None:
        self.world = world
        self.seed = seed
        self.history = History()
        self.ids = Ids()
        self._steps = workload.steps(thin(), ACTIVITIES, seed)
        self._driver = Driver([], self.history)

    def play(self, steps: int | None, *, through: str = "") -> None:
        """Some steps (None: all that are left), a share through each cell's endpoint and through
        the router; or all through one cell's."""
        cells = [through] if through else [OLD, NEW]
        self._driver.dashboards = [self.world.client_of(cell) for cell in cells]
        if not through:
            self._driver.dashboards.append(self.world.client())
        played = self._driver.play(islice(self._steps, steps))
        assert played, "the recording is too short"
        assert steps in (played, None)

    def append(self, operation: told.Operation, user: int, value: bytes) -> bytes:
        """Append an event's bytes to the log as they are; its token."""
        sent = self.history.tick()
        firehose = self.world._seams.firehose()
        appended = self.world.append(partition_of(user, firehose.partitions), value)
        self.history.acknowledge(operation, sent)
        log = log_fingerprint(firehose.identity)
        return receipt_token(log, appended.partition, appended.offset)

    def all_is_right(self) -> None:
        """Every cell has applied all, and every page is as the model says, in both cells."""
        until("every cell has applied the log", self.world.caught_up, CATCH_UP_S)
        loaded = Loaded(self.history)
        readers = sample(loaded, READERS, LARGEST, self.seed)
        assert len(readers) >= READERS, "too few readers have anything to see"
        check_dashboards(self.world, loaded, sorted({*readers, AUTHOR, READER}))
        authors = random.Random(self.seed).sample(loaded.history.done, AUTHORS)
        for author in {done.operation.key for done in authors}:
            want = loaded.model.timeline(author)[:100]
            for cell in (OLD, NEW):
                client = self.world.client_of(cell)
                page = client.author_posts(Context(DEADLINE_MS), author, b"", b"", 100)
                assert [shown_of(entry.post) for entry in page.entries] == want, (cell, author)


@pytest.fixture(scope="module")
def life(world: MixedWorld, seed: int) -> Life:
    return Life(world, seed)


def test_both_serve_what_was_done_through_both(life: Life) -> None:
    life.play(2_000)
    life.all_is_right()
    assert life.world.changes_told(NEW) > 0
    assert life.world.changes_told(OLD) == 0, "this is not the program of v0.1.0"


def test_a_dashboard_that_is_upgraded_before_its_worker_shows_nothing_old(life: Life) -> None:
    """The worker of v0.1.0 does not tell what it changes, so no page may be kept."""
    world = life.world
    world.install(OLD, TODAY, ["dashboard"])
    life.all_is_right()
    life.play(700)
    life.all_is_right()
    assert world.changes_told(OLD) == 0
    world.install(OLD, world.program_of(OLD), ["dashboard"])


def test_new_fields_are_ignored_by_both(life: Life) -> None:
    world, ids = life.world, life.ids
    for path in ("/cluster", "/servers", "/routes", "/cells/a", "/cells/b"):
        found = world.registry.get(path)
        world.registry.set(path, with_a_new_field(found.value), found.version)
    first, second = PostCreated(ids.take(), AUTHOR, Draft(body="1")), ids.take()
    for event, operation in (
        (first, told.Published(first.id, AUTHOR, told.Content(body="1"))),
        (Followed(second, READER, AUTHOR, 9), told.Followed(second, READER, AUTHOR, 9)),
    ):
        life.append(operation, AUTHOR, with_a_new_field(encode(event)))
    for n in range(3):
        post = PostCreated(ids.take(), AUTHOR, Draft(body=f"more {n}"))
        operation = told.Published(post.id, AUTHOR, told.Content(body=f"more {n}"))
        life.append(operation, AUTHOR, with_a_new_field(encode(post)))
    removed = PostRemoved(ids.take(), AUTHOR, post.id)
    operation = told.Removed(removed.id, AUTHOR, post.id)
    life.append(operation, AUTHOR, with_a_new_field(encode(removed)))
    for cell in (OLD, NEW):
        world.install(cell, world.program_of(cell))
    life.play(700)
    life.all_is_right()


def test_an_unknown_kind_stops_an_old_cell_and_loses_nothing_once_it_is_upgraded(
    life: Life,
) -> None:
    world = life.world
    world.install(NEW, LATER)
    edited = PostCreated(life.ids.take(), AUTHOR, Draft(body="of a new kind"))
    value = of_the_new_kind(edited)
    with pytest.raises(UnknownKind):
        decode(value)  # today's program does not know it either
    before = world.states(OLD)
    operation = told.Published(edited.id, AUTHOR, told.Content(body="of a new kind"))
    token = life.append(operation, AUTHOR, value)
    partition = partition_of(AUTHOR, len(before))
    at = life.world._seams.firehose().spans()[partition].end - 1
    deaths = world.restarts(f"ingest-{OLD}")
    life.play(None, through=NEW)

    until(
        "the old worker has died of it, again and again",
        lambda: world.restarts(f"ingest-{OLD}") >= deaths + DEATHS,
        CATCH_UP_S,
    )
    assert "upgrade cells before producers" in world.log_of(f"ingest-{OLD}")
    assert not world.is_ready(f"ingest-{OLD}")
    until("the cell that knows it goes on", lambda: world.behind(NEW) == 0, CATCH_UP_S)
    state = world.states(OLD)[partition]
    assert before[partition].high <= state.high <= at
    assert world.behind(OLD) > 0
    theirs = _reader_homed_in(world, OLD)
    client, query = world.client(), PageQuery(theirs, at_least=(token,))
    with pytest.raises(Behind):
        client.page(Context(PAUSED_MS), query)
    assert client.page(Context(DEADLINE_MS), PageQuery(theirs)).lag_ms > 0

    world.install(OLD, LATER)
    life.all_is_right()
    assert world.states(OLD)[partition].high > at
    assert world.restarts(f"ingest-{OLD}") == 0


def _reader_homed_in(world: MixedWorld, cell: str) -> int:
    found = world.reader_after(cell, 0)
    assert found, f"nobody has entries in cell {cell}"
    return found
