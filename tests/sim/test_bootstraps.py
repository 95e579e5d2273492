"""Adding a cell, step by step: every crash point, and what each rule is there for."""

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from cell import keys
from cell.dashboard import PageQuery
from cell.ingest import IngestSettings
from cell.tables import Row
from firehose.event import Lane
from ops.config import Config
from ops.config_settings import Mover as MoverSection
from ops.config_settings import Platform
from ops.embedded import Embedded
from ops.new_cells import begin_new_cell
from ops.platform_port import NewCell
from ops.table_hash import table_hash
from router.bootstraps import AGAIN_MS, STAGES, changed, check_verified
from router.carrier import When
from router.cells import BootstrapStage, CellInfo, CellState, become, change_cell, read_cell
from router.move_records import Wanted, open_moves, read_move
from router.moves import VERIFIED_MS_MAX, MoveState, Refused, let_switch, next_steps
from tests.contract.patience import until
from tests.oracle.compare import difference, line_of
from tests.oracle.model import BOTH
from tests.oracle.operations import Published
from tests.sim.move_world import Killed, MoveWorld
from tests.sim.small_life import READERS, SmallLife

ENDED = (BootstrapStage.VERIFIED, BootstrapStage.FINISHED)
POINTS = [
    (stage, when)
    for stage in BootstrapStage
    if stage is not BootstrapStage.FINISHED
    for when in When
]
STEPS_MAX = 400
PATIENCE_S = 60.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MoveWorld]:
    made = MoveWorld(tmp_path, IngestSettings(batch_events=3, poll_ms=0))
    yield made
    made.close()


class Life:
    """What authors and readers do while a third cell is added."""

    def __init__(self, world: MoveWorld, seed: int = 1) -> None:
        self.world = world
        self.rnd = random.Random(seed)
        self._small = SmallLife(world.router, world.acknowledged, self.rnd)

    def go_on(self, events: int = 1) -> None:
        self._small.go_on(events)

    @property
    def posts(self) -> list[Published]:
        return self._small.posts

    def add(self, sample: float = 0.5) -> None:
        self.world.add_cell("c", "a", sample)

    def bring_up(self, until: BootstrapStage, *, events: int = 1) -> CellInfo:
        """Carry the cell until it is at a stage, while readers and authors go on."""
        for _ in range(STEPS_MAX):
            info = self.world.bring_up("c")
            assert info.bootstrap is not None
            assert not info.bootstrap.trouble
            if info.bootstrap.stage is until:
                return info
            if self.rnd.random() < 0.3:
                self.go_on(events)
            self.all_go_on()
        moves = [read_move(self.world.registry, i).move for i in open_moves(self.world.registry)]
        raise AssertionError((read_cell(self.world.registry, "c").info, moves))

    def all_go_on(self) -> None:
        for found in self.world.due():
            self.world.carry(found)
        self.world.settle()
        self.world.routes.refresh()
        self.world.tick()

    def change(self, what: str) -> None:
        """As `cellctl activate-cell` and `retire-cell` do."""
        found = read_cell(self.world.registry, "c")
        info = become(found.info, what, "test", self.world.clock.now_ms())
        change_cell(
            self.world.registry,
            changed(info, stage=BootstrapStage.RELEASE, trouble=""),
            found.version,
        )

    def look(self, reader: int) -> str:
        page = self.world.page(PageQuery(reader, frozenset(Lane), limit=100))
        want = self.world.as_of(page.cell).entries(reader, BOTH, set())
        got = [line_of(entry) for entry in page.entries]
        assert got == want, difference(want, got)
        return page.cell


@pytest.fixture
def life(world: MoveWorld) -> Life:
    made = Life(world)
    made.go_on(60)
    world.settle()
    return made


def posts_hash(world: MoveWorld, cell: str) -> str:
    return table_hash(world.cells[cell].stores.tables, [keys.POSTS])


def rows_of_readers(world: MoveWorld, cell: str) -> int:
    tables = world.cells[cell].stores.tables
    names = (keys.INBOX, keys.NOTICES, keys.FOLLOWING, keys.FOLLOWERS, keys.MARKS, keys.LIKES)
    return sum(len(tables.scan(name, b"\0", b"", 10_000)) for name in names)


def test_a_new_cell_holds_all_posts_and_takes_in_everybody(life: Life) -> None:
    world = life.world
    life.add()
    verified = life.bring_up(BootstrapStage.VERIFIED)
    assert verified.state is CellState.DARK
    assert verified.bootstrap.rows > 0
    assert verified.bootstrap.rehearsals
    assert posts_hash(world, "c") == posts_hash(world, "a")
    check_verified(verified, world.clock.now_ms())
    life.change("activate")
    life.bring_up(BootstrapStage.FINISHED)
    world.finish()
    assert not open_moves(world.registry)
    assert not rows_of_readers(world, "c")  # the sample has left
    for i, part in enumerate(list(world.routes.slices())):
        end = world.routes.slices().end(i)
        world.begin(Wanted(part.start, end - 1, "c", keep_ms=0))
    for _ in range(40):
        life.go_on()
        life.all_go_on()
    world.finish()
    life.all_go_on()
    assert {life.look(reader) for reader in READERS} == {"c"}
    assert posts_hash(world, "c") == posts_hash(world, "b")


@pytest.mark.parametrize(("stage", "when"), POINTS)
def test_a_mover_may_die_anywhere(life: Life, stage: BootstrapStage, when: When) -> None:
    """Another goes on where it was; rows that are copied are not copied again."""
    world = life.world
    deaths = 0

    def die(at: BootstrapStage, moment: When) -> None:
        nonlocal deaths
        if (at, moment) == (stage, when) and deaths < 2:
            deaths += 1
            raise Killed

    world.reach_bootstrap = die
    life.add()
    life.bring_up(BootstrapStage.VERIFIED)
    world.clock.ms += AGAIN_MS
    life.bring_up(BootstrapStage.AGREE)
    life.bring_up(BootstrapStage.VERIFIED)
    life.change("activate")
    info = life.bring_up(BootstrapStage.FINISHED)
    assert deaths == 2 if stage is BootstrapStage.COPY else deaths > 0
    world.finish()
    assert posts_hash(world, "c") == posts_hash(world, "a")
    again = 2 * 4 * 2  # rows of the pieces that were not recorded: two deaths, four lanes
    assert info.bootstrap.rows <= len(life.posts) + again
    assert not rows_of_readers(world, "c")
    states = [each.state for each in info.history]
    assert states == ["provisioning", "bootstrapping", "dark", "active"] or (
        states == ["bootstrapping", "dark", "active"]
    )


def test_every_stage_of_every_state_is_done(life: Life) -> None:
    """What the enumeration above is of."""
    listed = [stage for stages in STAGES.values() for stage in stages]
    assert set(listed) == set(BootstrapStage)


def test_only_what_was_compared_not_long_ago_is_verified(life: Life) -> None:
    life.add()
    life.bring_up(BootstrapStage.COMPARE)
    now_ms = life.world.clock.now_ms()
    with pytest.raises(Refused, match="not verified yet") as refused:
        check_verified(read_cell(life.world.registry, "c").info, now_ms)
    assert refused.value.cause == "not_verified"
    verified = life.bring_up(BootstrapStage.VERIFIED)
    late_ms = verified.bootstrap.verified_ms + VERIFIED_MS_MAX + 1
    with pytest.raises(Refused, match="see that one runs") as refused:
        check_verified(verified, late_ms)
    assert refused.value.cause == "verification_stale"
    life.world.clock.ms += AGAIN_MS
    life.bring_up(BootstrapStage.AGREE)  # a mover does it again by itself
    again = life.bring_up(BootstrapStage.VERIFIED)
    assert again.bootstrap.verified_ms > verified.bootstrap.verified_ms


@pytest.mark.parametrize("spoilt", ["missing", "other", "more"])
def test_posts_that_are_not_the_donors_are_noticed(life: Life, spoilt: str) -> None:
    """A copy that loses, changes or makes up a post is not verified."""
    world = life.world
    life.add()
    life.bring_up(BootstrapStage.CATCH_UP, events=0)
    ours, theirs = world.cells["a"].stores.tables, world.seams.cell("c").tables
    row = ours.scan(keys.POSTS, b"\0", b"", 1)[0]
    if spoilt == "missing":
        # As if the copying had skipped it: the donor holds one more of an event before it began.
        other = row.key[:8] + bytes(8)
        ours.put(keys.POSTS, [row._replace(key=other)])
    elif spoilt == "other":
        theirs.put(keys.POSTS, [row._replace(value=row.value + b"?")])
    else:
        theirs.put(keys.POSTS, [Row(row.key[:8] + bytes(8), 1, row.value)])
    for _ in range(STEPS_MAX):
        info = world.bring_up("c")
        if info.bootstrap.trouble:
            break
        life.all_go_on()
    assert "posts are not the same" in info.bootstrap.trouble
    assert "cellctl diff-cells a c" in info.bootstrap.trouble
    with pytest.raises(Refused, match="not the same"):
        check_verified(info, world.clock.now_ms())


def test_a_sample_that_is_not_the_same_keeps_the_cell_dark(life: Life) -> None:
    world = life.world
    life.add(sample=1.0)
    life.bring_up(BootstrapStage.AGREE, events=0)
    moved = [read_move(world.registry, i).move for i in open_moves(world.registry)]
    assert moved
    assert all(move.rehearsal for move in moved)
    for _ in range(STEPS_MAX):
        stuck = [f for f in world.due() if f.move.stage.value == "compare"]
        if stuck:
            break
        life.all_go_on()
    target = world.cells["c"].stores.tables
    for row in target.scan(keys.INBOX, b"\0", b"", 10_000):
        target.put(keys.INBOX, [row._replace(value=keys.GONE, version=row.version)])
    for _ in range(20):
        life.all_go_on()
        info = world.bring_up("c")
    assert info.state is CellState.DARK
    assert info.bootstrap.stage is BootstrapStage.AGREE
    with pytest.raises(Refused):
        check_verified(info, world.clock.now_ms())


def test_a_rehearsal_is_never_switched_and_is_made_again_when_cancelled(life: Life) -> None:
    world = life.world
    life.add()
    verified = life.bring_up(BootstrapStage.VERIFIED, events=0)
    first = verified.bootstrap.rehearsals[0]
    found = world.found(first)
    assert found.move.state is MoveState.VERIFIED
    assert "switch" not in next_steps(found.move)
    with pytest.raises(Refused, match="rehearsal") as refused:
        let_switch(found.move, "test", world.clock.now_ms())
    assert refused.value.cause == "rehearsal"
    assert not [f for f in world.due() if f.move.id == first]


def test_a_cell_may_be_given_up_while_it_is_dark(life: Life) -> None:
    """Its sample ends without anybody of it having to answer, and nothing else is touched."""
    world = life.world
    life.add()
    life.bring_up(BootstrapStage.VERIFIED)
    life.change("retire")
    world.cells["c"].member.leave()
    del world.cells["c"]
    info = life.bring_up(BootstrapStage.FINISHED)
    assert info.state is CellState.RETIRED
    world.finish()
    assert not open_moves(world.registry)
    assert {life.look(reader) for reader in READERS} <= {"a", "b"}


def test_a_log_that_was_forgotten_meanwhile_is_told(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = life.world
    life.add()
    life.bring_up(BootstrapStage.POSITION)
    found = read_cell(world.registry, "c")
    # The log begins behind where the copying began: as if that had taken longer than it is kept.
    firehose = world.seams.firehose()
    spans = [span._replace(start=span.end) for span in firehose.spans()]
    monkeypatch.setattr(type(firehose), "spans", lambda _: spans)
    world.bring_up("c")
    info = read_cell(world.registry, "c").info
    assert "no longer retained" in info.bootstrap.trouble
    assert info.state is found.info.state
    assert "c" not in world.cells


def test_tables_of_another_cell_are_not_taken(life: Life) -> None:
    world = life.world
    life.add()
    tables = world.seams.cell("c").tables
    tables.create(keys.TABLES)
    row = world.cells["a"].stores.tables.scan(keys.POSTS, b"\0", b"", 1)[0]
    tables.put(keys.POSTS, [row])
    info = world.bring_up("c")
    assert info.state is CellState.PROVISIONING
    assert "another cell" in info.bootstrap.trouble


def test_what_waits_keeps_nobody_from_being_carried(tmp_path: Path) -> None:
    """A mover of one move at a time: the cell waits for its rehearsals, and they for the mover."""
    section = Platform(data=str(tmp_path / "site"), cells=2)
    config = Config(platform=section, mover=MoverSection(moves_at_once=1))
    with Embedded(tmp_path / "site", 2, config=config) as platform:
        SmallLife(platform.dashboard, lambda *_: None, random.Random(3)).go_on(60)
        registry = platform.seams.registry
        for name in ("c", "d"):
            begin_new_cell(registry, NewCell(name, "a", 0.3), "test", 1)

        def verified() -> bool:
            found = [read_cell(registry, name).info for name in ("c", "d")]
            return all(info.bootstrap is not None and info.bootstrap.verified_ms for info in found)

        until("two cells are verified by a mover of one move", verified, PATIENCE_S)
        carried = [read_move(registry, i).move for i in open_moves(registry)]
    assert {move.target for move in carried} == {"c", "d"}
    slices = sorted((move.start, move.last) for move in carried)
    assert all(last < start for (_, last), (start, _) in pairwise(slices))


def test_a_sample_that_is_found_wrong_later_is_not_verified_any_more(life: Life) -> None:
    world = life.world
    life.add(sample=1.0)
    life.bring_up(BootstrapStage.VERIFIED, events=0)
    target = world.cells["c"].stores.tables
    for row in target.scan(keys.INBOX, b"\0", b"", 10_000):
        target.put(keys.INBOX, [row._replace(value=keys.GONE)])
    world.clock.ms += AGAIN_MS
    for _ in range(60):
        info = world.bring_up("c")
        life.all_go_on()
    assert "needs a look" in info.bootstrap.waits_for
    with pytest.raises(Refused) as refused:
        check_verified(info, world.clock.now_ms())
    assert refused.value.cause == "not_verified"
