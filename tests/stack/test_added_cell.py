"""A third cell is added to a platform of real servers that is written to all the while: the first
one of a group, behind a relay.

Its mover and the relay are killed at half way; then the readers of the first cell move away, and it
goes.
"""

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell import keys
from cell.dashboard import LIMIT_DEFAULT, Page, PageQuery
from firehose.event import Lane
from idgen.errors import DashcellError
from ops import addresses
from ops.config import Config
from ops.config_settings import Mover
from ops.config_settings import Platform as PlatformSection
from ops.platform_port import CellView, GroupStatus, NewCell
from ops.running_stack import RunningStack
from ops.table_hash import table_hash
from ops.wiring.stack import StackSeams
from router.cells import CellState, read_cell
from router.move_records import Wanted
from router.moves import Refused
from tests.contract.patience import until
from tests.oracle.compare import difference, line_of
from tests.oracle.model import BOTH, Model
from tests.oracle.operations import Operation
from tests.sim.small_life import CTX, READERS, SmallLife
from tests.stack.stack_world import MISSING

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(1500)]

AUTHORS = range(100, 180)
EVENTS = 1_500
BODY = "ten letters"[:10] * 5_000
"""A piece of a lane has about 4 MiB: with 40 MB in all there is a half way."""
ROWS_PER_S = 100
PATIENCE_S = 300.0


class World:
    """The platform, and what was acknowledged there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = Model()
        self.told = ("", "")
        self.token = b""
        self.start(PlatformSection(data=str(folder), profile="stack", cells=2))
        seed = int(os.environ.get("DASHCELL_SIM_SEED", random.randrange(1, 10_000)))
        print(f"DASHCELL_SIM_SEED={seed}")
        self.rnd = random.Random(seed)
        self.life = SmallLife(self.client, self._acknowledged, self.rnd, BODY, AUTHORS)
        self._stop = threading.Event()
        self._writer: threading.Thread | None = None

    def _acknowledged(self, operation: Operation, token: bytes) -> None:
        self.model.apply(operation)
        self.token = token

    def start(self, section: PlatformSection) -> None:
        config = Config(platform=section, mover=Mover(rows_per_s=ROWS_PER_S))
        try:
            self.running = RunningStack(config, print)
        except MISSING as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"REAL SERVERS MISSING, NOT TESTED: {error}")
        self.seams = StackSeams(config, addresses.read(self.folder).registry)
        self.client = self.running.platform.dashboard()

    def stop(self) -> None:
        self.seams.close()
        self.running.platform.close()
        self.running.stop()

    def write_on(self) -> None:
        """Go on writing, a few at a time, and look at a page with them, until `rest`: so writes do
        not run ahead of what two cells can apply on the machine that the tests are on."""

        def write() -> None:
            while not self._stop.is_set():
                self.life.go_on(3)
                while self._seen() is None and not self._stop.is_set():
                    pass

        self._stop.clear()
        self._writer = threading.Thread(target=write, daemon=True)
        self._writer.start()

    def rest(self) -> None:
        """No more writes, and all cells that apply have applied all."""
        self._stop.set()
        assert self._writer is not None
        self._writer.join(PATIENCE_S)
        for view in self.running.platform.cells.list():
            if view.status.lag_s is not None:
                stores = self.seams.cell(view.info.name)
                ends = stores.ends()
                until("all is applied", lambda s=stores, e=ends: not s.behind(e), PATIENCE_S)

    def _seen(self) -> Page | None:
        """A page that includes the last write; None: not in time."""
        return self._asked(PageQuery(self.rnd.choice(READERS), limit=1, at_least=(self.token,)))

    def cell(self, name: str = "c") -> CellView:
        return self.running.platform.cells.describe(name)

    def posts_hash(self, cell: str) -> str:
        return table_hash(self.seams.cell(cell).tables, [keys.POSTS])

    def page(self, reader: int) -> Page | None:
        return self._asked(PageQuery(reader, frozenset(Lane)))

    def _asked(self, query: PageQuery) -> Page | None:
        try:
            return self.client.page(CTX, query)
        except DashcellError:
            return None

    def look(self) -> set[str]:
        """The cells that answer; every first page is the model's."""
        cells: set[str] = set()
        for reader in READERS:
            page = until(f"a page of {reader}", lambda r=reader: self.page(r), PATIENCE_S)
            want = self.model.entries(reader, BOTH, set())[:LIMIT_DEFAULT]
            got = [line_of(entry) for entry in page.entries]
            assert got == want, difference(want, got)
            cells.add(page.cell)
        return cells


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("added") / "site")
    yield made
    made.stop()


def test_a_cell_is_added_under_load_and_its_mover_is_killed_at_half_way(world: World) -> None:
    world.life.go_on(EVENTS)
    world.life.body = "a small post"  # what is written meanwhile is not to fill the disk
    world.write_on()
    cells = world.running.platform.cells
    plan = cells.add_plan(NewCell("c", "a", sample=0.2, group="east"))
    assert (plan.new.donor, plan.blockers, plan.beside) == ("a", (), ())
    assert 0.2 < plan.posts / len(world.life.posts) < 5
    cells.add(plan.new)
    until("half of it is copied", lambda: _copied(world) > 0.3, PATIENCE_S)
    for child in ("mover", "relay-east"):
        world.running.supervisor.kill(child, signal.SIGKILL)
    assert _copied(world) < 1, "nothing was left to be done again"
    with pytest.raises(Refused, match="bootstrapping"):
        cells.change("c", "activate")
    verified = until("it is verified", lambda: _verified(world), 2 * PATIENCE_S)
    assert verified.info.state is CellState.DARK
    record = verified.info.bootstrap
    assert record is not None
    assert record.rehearsals, "no readers were compared"
    # What was copied and not recorded when it was killed: a piece of each lane at most.
    assert record.rows <= len(world.life.posts) + 4 * 200
    world.rest()
    assert len({world.posts_hash(name) for name in "abc"}) == 1
    until("all is brought", lambda: _group(world).events == 0, PATIENCE_S)
    assert (_group(world).name, _group(world).cells, _group(world).relays) == ("east", ("c",), 1)
    assert world.look() == {"a", "b"}


def test_readers_move_there_and_the_first_cell_goes(world: World) -> None:
    cells, moves = world.running.platform.cells, world.running.platform.moves
    cells.change("c", "activate")
    until("its sample has left", lambda: not world.cell().arriving, PATIENCE_S)
    cells.change("a", "drain")
    world.write_on()
    for part in cells.drain_plan("a"):
        moves.begin(Wanted(part.start, part.last, part.target, keep_ms=0))
    until("all have moved", lambda: not world.cell("a").slices, 2 * PATIENCE_S)
    world.rest()
    assert world.look() == {"b", "c"}
    until("no moves are left", lambda: not world.cell("a").leaving, PATIENCE_S)
    cells.change("a", "retire")
    until("its servers stop", lambda: not _children(world, "-a"), PATIENCE_S)
    assert world.look() == {"b", "c"}


def test_a_platform_starts_with_the_cells_that_it_has_now(world: World) -> None:
    world.stop()
    world.start(PlatformSection(data=str(world.folder), profile="stack"))
    assert not _children(world, "-a")
    assert _children(world, "-east") == ["relay-east"]
    for name in "bc":
        own = {f"hbase-{name}-thrift2", f"redis-{name}", f"ingest-{name}", f"dashboard-{name}"}
        assert own <= set(_children(world, f"-{name}"))
    assert world.look() == {"b", "c"}


def _group(world: World) -> GroupStatus:
    (group,) = world.running.platform.status().groups
    return group


def _copied(world: World) -> float:
    """As recorded: describing a cell asks its servers too, and takes seconds on a full machine."""
    record = read_cell(world.seams.registry, "c").info.bootstrap
    return record.copied if record is not None else 0.0


def _verified(world: World) -> CellView | None:
    view = world.cell()
    record = view.info.bootstrap
    assert record is not None
    assert not record.trouble, record.trouble
    if world.told != (record.stage, record.waits_for):
        world.told = (record.stage, record.waits_for)
        print(f"cell c is {view.info.state}, at {record.stage}: {record.waits_for}")
    return view if record.verified_ms else None


def _children(world: World, part: str) -> list[str]:
    names = world.running.supervisor.names()
    return [name for name in names if f"{name}-".find(f"{part}-") >= 0]
