"""A platform of cells at the root and behind a relay, which dies at random instants all the while.

Nobody can tell behind what a cell is: not by pages, rows and receipts, nor by moves, a new cell, a
restored one, rewinds and checks.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cell import keys
from cell.backup import Wish
from cell.dashboard import PageQuery
from cell.ingest import group_of
from firehose.event import Lane
from firehose.log import Appended, Log
from firehose.places import Earliest
from idgen.errors import Behind, Unavailable
from idgen.ids import spread
from ops.backup_desk import BackupDesk
from ops.cell_desk import CellDesk
from ops.cells_diff import CellsComparison
from ops.config import Config
from ops.config_settings import Platform
from ops.embedded import Embedded
from ops.found import FoundPlatform
from ops.group_desk import GroupDesk
from ops.move_desk import MoveDesk
from ops.platform_port import CellStatus, NewCell
from ops.table_hash import table_hash
from ops.wiring.embedded import EmbeddedSeams
from router.cells import CellInfo, CellState, read_cell
from router.move_records import Wanted
from router.moves import Refused
from router.routes import read_routes
from router.slices import PLACES
from tests.contract.patience import until
from tests.oracle.compare import difference, line_of, walk
from tests.oracle.model import BOTH, Model
from tests.oracle.operations import Operation
from tests.sim.backup_world import empty
from tests.sim.small_life import CTX, READERS, SmallLife

PATIENCE_S = 60.0
GROUP = "east"


class Killed(Exception):
    """A relay died."""


class Deadly:
    """A group's log that has the relay die in the middle of an append, when it is told to; the
    first records of each partition are there then. Now and then another one, which this one does
    not know of, has just brought the same."""

    def __init__(self, log: Log, rnd: random.Random) -> None:
        self._log = log
        self._rnd = rnd
        self.armed = False
        self.deaths = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[Appended]:
        if records and self._rnd.random() < 0.1:
            self._log.append(records)
        if not (self.armed and records):
            return self._log.append(records)
        self.armed = False
        for partition in {partition for partition, _ in records}:
            mine = [record for record in records if record[0] == partition]
            self._log.append(mine[: self._rnd.randint(0, len(mine))])
        self.deaths += 1
        raise Killed


class World:
    """The platform, and what was acknowledged there."""

    def __init__(self, folder: Path) -> None:
        seed = int(os.environ.get("DASHCELL_SIM_SEED", random.randrange(1, 10_000)))
        print(f"DASHCELL_SIM_SEED={seed}")
        self.rnd = random.Random(seed)
        self.folder = folder
        self.model = Model()
        self.token = b""
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self.start()
        self.life = SmallLife(self.platform.dashboard, self._acknowledged, self.rnd)

    def start(self) -> None:
        """The platform on its folder, with a relay that can be killed."""
        section = Platform(data=str(self.folder), cells=3, groups={GROUP: ("b", "c")})
        self.config = Config(platform=section)
        self.platform = Embedded(self.folder, cells=section.cell_names, config=self.config)
        seams = self.platform.seams
        self.topic = Deadly(seams.group_log(GROUP), random.Random(self.rnd.random()))
        seams.group_log = lambda _: self.topic  # type: ignore[method-assign,assignment,return-value]
        self.platform.start()

    def _acknowledged(self, operation: Operation, token: bytes) -> None:
        self.model.apply(operation)
        self.token = token

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Events are written, and relays die, all the while."""
        self._stop.clear()
        threads = [threading.Thread(target=self._on(f)) for f in (self._write, self._kill)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(PATIENCE_S)
        assert not self._failures, self._failures

    def _on(self, what: Callable[[], None]) -> Callable[[], None]:
        def on_and_on() -> None:
            try:
                while not self._stop.is_set():
                    what()
            except BaseException as error:
                self._failures.append(error)
                raise

        return on_and_on

    def _write(self) -> None:
        self.life.go_on(3)
        self._stop.wait(0.01)

    def _kill(self) -> None:
        """One dies while it appends; now and then another is there already, and both go on for a
        while before one of them goes."""
        self._stop.wait(self.rnd.random() / 5)
        before = self.platform.relays[GROUP]
        if self.rnd.random() < 0.3:
            self.platform.begin_relay(GROUP)
            self._stop.wait(self.rnd.random() / 5)
            before.stop()
            return
        self.topic.armed = True
        until("it dies", lambda: before.worker.stopped or self._stop.is_set(), PATIENCE_S)
        self.topic.armed = False
        before.stop()
        self.platform.begin_relay(GROUP)

    def settle(self) -> None:
        """All cells have applied all."""
        for cell in self.platform.cells.values():
            stores = cell.stores
            until(f"{stores.name} is done", lambda s=stores: not s.behind(s.ends()), PATIENCE_S)

    def posts(self, cell: str) -> str:
        return table_hash(self.platform.seams.cell(cell).tables, [keys.POSTS])

    def look(self) -> set[str]:
        """All pages of all readers are the model's, at once; the cells that answered."""
        cells: set[str] = set()
        dashboard = self.platform.dashboard
        for reader in READERS:

            def ask(reader: int, lanes: frozenset[int], **how: object) -> object:
                return dashboard.page(CTX, PageQuery(reader, frozenset(map(Lane, lanes)), **how))  # type: ignore[arg-type]

            pages = walk(ask, reader, limit=50, at_least=(self.token,))
            want = self.model.entries(reader, BOTH, set())
            got = [line_of(entry) for page in pages for entry in page.entries]
            assert got == want, difference(want, got)
            cells |= {page.cell for page in pages}
        return cells

    def move(self, reader: int, target: str) -> None:
        """To another cell, and all that belongs to it."""
        seams = self.platform.seams
        place = spread(reader)
        moves = MoveDesk(seams, self.seen, self.folder)
        until(
            "no move of theirs is left", lambda: not moves.list() or self._over(moves), PATIENCE_S
        )
        moves.begin(Wanted(place, place, target, keep_ms=0))
        until(
            f"{reader} is homed in {target}",
            lambda: read_routes(seams.registry).slices.at(place).cell == target,
            PATIENCE_S,
        )

    def _over(self, moves: MoveDesk) -> bool:
        return all(view.move.finished for view in moves.list())

    def seen(self, info: CellInfo) -> CellStatus:
        return CellStatus(info.name, info.state.value, 0.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("groups") / "site")
    yield made
    made.platform.stop()


def test_pages_and_rows_are_those_of_the_root_while_relays_die(world: World) -> None:
    world.life.go_on(50)
    with world.trouble():
        until("relays have died", lambda: world.topic.deaths >= 5, PATIENCE_S)
    assert world.look() == {"a", "b", "c"}
    world.settle()
    assert world.posts("a") == world.posts("b") == world.posts("c")
    stores = world.platform.cells["b"].stores
    comparison = CellsComparison(world.platform.cells["a"].stores, stores)
    assert not comparison.compare((0, PLACES - 1), lambda *_: None).found
    assert stores.firehose.dropped > 0, "nothing was brought twice"  # type: ignore[attr-defined]
    assert stores.root.spans() == stores.firehose.spans()


def test_a_reader_moves_behind_the_relay_and_back_while_relays_die(world: World) -> None:
    slices = read_routes(world.platform.seams.registry).slices
    reader = next(r for r in READERS if slices.at(spread(r)).cell == "a")
    with world.trouble():
        world.move(reader, "b")
    assert world.look() == {"a", "b", "c"}
    with world.trouble():
        world.move(reader, "a")
    world.look()


def test_a_new_cell_is_copied_from_a_donor_that_is_ahead_of_the_relay(world: World) -> None:
    platform = world.platform
    platform.relays[GROUP].stop()
    world.life.go_on(40)
    stores = platform.cells["a"].stores
    until("the donor has all", lambda: not stores.behind(stores.ends()), PATIENCE_S)
    desk = CellDesk(platform.seams, world.seen, world.folder, "embedded")
    plan = desk.add_plan(NewCell("d", "a", sample=0.5, group=GROUP))
    assert (plan.blockers, plan.beside) == ((), ("b", "c"))
    desk.add(plan.new)

    def waits() -> str:
        record = read_cell(platform.seams.registry, "d").info.bootstrap
        return record.waits_for if record is not None else ""

    until("it waits for the relay", lambda: "the relay of group east has" in waits(), PATIENCE_S)
    platform.begin_relay(GROUP)
    with world.trouble():
        until("it is verified", lambda: _verified(world), PATIENCE_S)
    desk.change("d", "activate")
    world.settle()
    assert world.posts("d") == world.posts("a")
    reader = READERS[0]
    world.move(reader, "d")
    assert "d" in world.look()


def _verified(world: World) -> bool:
    info = read_cell(world.platform.seams.registry, "d").info
    assert info.bootstrap is not None
    assert not info.bootstrap.trouble, info.bootstrap.trouble
    return bool(info.bootstrap.verified_ms)


def test_a_cell_behind_the_relay_is_restored_while_relays_die(world: World) -> None:
    seams, folder = world.platform.seams, world.folder.parent / "backup of b"
    world.settle()
    moves = MoveDesk(seams, world.seen, world.folder)
    until("no move is under way", lambda: world._over(moves), PATIENCE_S)
    with world.trouble():
        BackupDesk(seams).take("b", folder, Wish(), lambda _: None)
    before = len(world.life.posts)
    world.life.go_on(30)
    assert len(world.life.posts) > before
    world.settle()
    world.platform.stop()
    empty(world.folder / "cell-b.db")
    world.start()
    world.life._dashboard = world.platform.dashboard
    desk = BackupDesk(world.platform.seams)
    with world.trouble():
        view, caught_up = desk.restore(folder, lambda _: None, lambda: True)
    assert (view.cell, caught_up) == ("b", True)
    assert world.look() == {"a", "b", "c", "d"}
    world.settle()
    assert world.posts("b") == world.posts("a")


def test_a_rewound_cell_replays_and_its_relay_is_not_rewound(world: World) -> None:
    world.settle()
    desk = GroupDesk(world.platform.seams)
    before = world.platform.table_hash("b")
    worker = world.platform.cells["b"].applying.worker
    events = worker.stats.events
    plan = desk.rewind_plan(group_of("b"), ("--to-earliest", Earliest()), ())
    ends = sum(world.platform.cells["b"].stores.ends())
    assert (plan.cell, sum(step.replayed for step in plan.steps)) == ("b", ends)
    desk.rewind(plan, pause=True)
    until("all is replayed", lambda: worker.stats.events >= events + ends, PATIENCE_S)
    world.settle()
    assert world.platform.table_hash("b") == before
    with pytest.raises(Refused, match="the relay of the cells of group east"):
        desk.rewind_plan("relay-east", ("--to-earliest", Earliest()), ())
    with pytest.raises(Refused, match="live members"):
        desk.delete("relay-east")


def test_a_dead_relay_is_seen_as_lag_of_its_cells_and_by_its_own_group(world: World) -> None:
    world.settle()
    platform = world.platform
    beside = FoundPlatform(world.config, EmbeddedSeams(world.config), "embedded", "")
    try:
        platform.relays[GROUP].stop()
        world.life.go_on(20)
        a = platform.cells["a"].stores
        until("the root's cell goes on", lambda: not a.behind(a.ends()), PATIENCE_S)
        with pytest.raises((Behind, Unavailable)):
            world.look()
        until("pages tell it", platform.cells["c"].handler.snapshots.lag_ms, PATIENCE_S)
        status = beside.status()
        lags = {cell.name: cell.lag_s for cell in status.cells}
        assert lags["a"] == 0
        behind = tuple(name for name in platform.cells if name != "a")
        assert all(lags[name] for name in behind)
        (group,) = status.groups
        assert (group.name, group.cells, group.relays) == (GROUP, behind, 0)
        assert group.events == 20
        assert not status.healthy
        listed = {view.group.name: view for view in beside.groups.list(timed=True)}
        assert {"cell-a", "cell-b", "cell-c", "relay-east"} <= listed.keys()
        assert listed["relay-east"].relay == GROUP
        assert listed["cell-b"].group.events == listed["relay-east"].group.events == 20
        platform.begin_relay(GROUP)
        world.look()
        until("it has a member", lambda: beside.status().groups[0].relays == 1, PATIENCE_S)
        until("nothing is left", lambda: beside.status().groups[0].events == 0, PATIENCE_S)
    finally:
        beside.close()


def test_a_group_without_cells_needs_no_relay(world: World) -> None:
    """Its cells are retired one after the other."""
    desk = CellDesk(world.platform.seams, world.seen, world.folder, "embedded")
    behind = [name for name in world.platform.cells if name != "a"]
    for name in behind:
        desk.change(name, "drain")
    moves = MoveDesk(world.platform.seams, world.seen, world.folder)
    for name in behind:
        for part in desk.drain_plan(name):
            moves.begin(Wanted(part.start, part.last, part.target, keep_ms=0))
    until("they are empty", lambda: not any(_homed(desk, n) for n in behind), PATIENCE_S)
    assert world.look() == {"a"}
    for name in behind:
        until("it can go", lambda n=name: _retired(desk, n), PATIENCE_S)
    until("the relay goes", lambda: not world.platform.relays, PATIENCE_S)
    assert world.look() == {"a"}


def _homed(desk: CellDesk, name: str) -> int:
    view = desk.describe(name)
    return view.slices + len(view.leaving) + len(view.arriving)


def _retired(desk: CellDesk, name: str) -> bool:
    try:
        return desk.change(name, "retire").info.state is CellState.RETIRED
    except Refused:
        return False
