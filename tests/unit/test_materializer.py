"""Decisions at work on a cell in memory, by a manual clock."""

from cell import keys
from cell.activity import Activity, ActivityRows, ActivitySettings, Saved, measured
from cell.commands import Switched, decode
from cell.materialization import Pin, Why
from cell.materializer import Materializer, MaterializerSettings
from cell.measured_costs import USUAL, CostMeter, costs_of
from idgen.ids import spread
from tests.unit.materialize_world import NEVER, MaterializeWorld

HOUR_MS = 3_600_000
COUNTS = ActivitySettings(HOUR_MS, HOUR_MS, HOUR_MS, 1_000, 60_000)
BOUNDS = MaterializerSettings(
    hot_entries_per_s=0.1, wide_follows=3, away_ms=HOUR_MS, interval_ms=1_000, rows_per_s=0
)
HOT, QUIET = 500, 501
READERS = range(1, 31)


def made(settings: MaterializerSettings = BOUNDS) -> MaterializeWorld:
    """HOT is followed by 30 and posts often, QUIET by one and hardly ever."""
    world = MaterializeWorld(settings, COUNTS)
    for reader in READERS:
        world.follow(reader, HOT)
    world.follow(1, QUIET)
    world.run()
    for _ in range(30):
        world.clock.ms += 30_000
        world.post(HOT, 3)
        world.run()
    world.post(QUIET)
    world.run()
    return world


def decided(world: MaterializeWorld, materializer: Materializer) -> list[Switched]:
    """What a pass tells, obeyed."""
    before = len(world.cell.commands.records[0])
    materializer.decide(NEVER)
    told = [decode(record.value) for record in world.cell.commands.records[0][before:]]
    world.run()
    assert all(isinstance(command, Switched) for command in told)
    return [command for command in told if isinstance(command, Switched)]


def entries(world: MaterializeWorld, reader: int) -> int:
    start, stop = keys.place_bytes(spread(reader)), keys.after_prefix(spread(reader))
    return len(world.cell.tables.scan(keys.INBOX, start, stop, 1_000, skip=keys.GONE))


def posts(world: MaterializeWorld) -> int:
    return len(world.cell.tables.scan(keys.POSTS, b"", b"", 1_000))


def test_with_every_rule_off_nothing_is_told() -> None:
    world = made()
    assert decided(world, world.materializer()) == []


def test_a_hot_author_is_pulled_told_once_and_comes_back_when_it_has_cooled_down() -> None:
    world = made()
    world.said.on = {"hot_author"}
    materializer = world.materializer()
    assert decided(world, materializer) == [Switched(True, Why.HOT, authors=(HOT,))]
    assert world.hot(HOT).pulled
    assert decided(world, materializer) == []
    saved = world.worker.worker.stats.not_pushed
    world.post(HOT, 2)
    world.run()
    assert world.worker.worker.stats.not_pushed == saved + 2 * len(READERS)
    world.clock.ms += 10 * HOUR_MS
    assert decided(world, materializer) == [Switched(False, Why.USUAL, authors=(HOT,))]
    assert not world.hot(HOT).pulled


def test_estimates_survive_a_restart() -> None:
    world = made()
    world.said.on = {"hot_author"}
    decided(world, world.materializer())
    world.worker = world.start("worker-2")
    world.run()
    assert world.activity.followers(HOT) == 0
    materializer = world.materializer("worker-2")
    materializer.look(NEVER)
    assert world.activity.followers(HOT) == len(READERS)
    world.run()
    assert decided(world, materializer) == []
    assert world.hot(HOT).pulled


def test_of_two_materializers_at_once_the_second_changes_nothing() -> None:
    world = made()
    world.said.on = {"hot_author"}
    one, other = world.materializer(), world.materializer("worker-2", Activity(COUNTS))
    one.look(NEVER)
    # The other had looked whether all is obeyed before the first one told.
    world.cell.commands.append([(0, world.cell.commands.records[0][-1].value)])
    world.run()
    row = world.hot(HOT)
    assert row.pulled
    assert len(row.spans) == 1
    assert decided(world, other) == []


def test_an_away_reader_is_pulled_and_one_that_looks_comes_back() -> None:
    world = made()
    world.said.on = {"away"}
    materializer = world.materializer()
    rows = ActivityRows(world.cell.tables, "dashboard", COUNTS)

    def look(*readers: int) -> None:
        for reader in readers:
            world.dashboard.page(spread(reader))
        world.dashboard.fold(world.clock.ms)
        rows.save(world.dashboard.saved(world.clock.ms))

    look(1)
    assert decided(world, materializer) == []  # nobody was away since pages are recorded
    world.clock.ms += HOUR_MS // 2
    look(2)
    world.clock.ms += HOUR_MS // 2 + 1
    look()
    (told,) = decided(world, materializer)
    assert (told.pull, told.why) == (True, Why.AWAY)
    assert sorted(told.readers) == [1, *READERS[2:]]
    assert materializer.stats.pulled_readers == len(READERS) - 1
    world.post(HOT, 2)
    world.run()
    look(1)
    assert decided(world, materializer) == [Switched(False, Why.USUAL, (1,))]
    assert entries(world, 1) == posts(world) - 2
    materializer.look(NEVER)
    world.run()
    assert (entries(world, 1), world.row(1).spans) == (posts(world), ())
    assert materializer.stats.filled == 1
    world.said.on = set()
    (told,) = decided(world, materializer)
    assert (told.pull, sorted(told.readers)) == (False, list(READERS[2:]))
    assert decided(world, materializer) == []


def test_a_wide_reader_stays_so_within_the_band() -> None:
    world = made()
    world.said.on = {"wide_reader"}
    for author in range(600, 602):
        world.follow(1, author)
    world.run()
    assert decided(world, world.materializer()) == [Switched(True, Why.WIDE, (1,))]
    assert decided(world, world.materializer()) == []


def test_pins_are_above_all_and_end() -> None:
    world = made()
    world.said.on = {"hot_author"}
    world.said.pinned = {HOT: Pin.PUSH, 7: Pin.PULL}
    materializer = world.materializer()
    (of_author, of_reader) = decided(world, materializer)
    assert of_author == Switched(True, Why.PINNED, authors=(7,))
    assert of_reader == Switched(True, Why.PINNED, readers=(7,))
    world.said.pinned = {}
    told = decided(world, materializer)
    assert Switched(True, Why.HOT, authors=(HOT,)) in told
    assert Switched(False, Why.USUAL, authors=(7,)) in told
    assert Switched(False, Why.USUAL, readers=(7,)) in told
    assert decided(world, materializer) == []


def test_pairs_are_told_where_the_rule_is_on_and_end_with_it() -> None:
    world = made()
    world.said.on = {"per_pair"}
    materializer = world.materializer()
    told = decided(world, materializer)
    assert {c.why for c in told} == {Why.RATES}
    assert sum(len(c.pairs) for c in told) == len(READERS) + 1
    assert world.row(5, HOT).pulled
    assert decided(world, materializer) == []
    world.said.on = set()
    told = decided(world, materializer)
    assert {(c.pull, c.why) for c in told} == {(False, Why.USUAL)}
    assert not world.row(5, HOT).pulled


def test_a_replay_counts_nothing_twice() -> None:
    world = made()
    before = world.activity.saved(world.clock.ms)
    world.worker.worker._forget()
    world.worker.worker._owned = {}
    world.run()
    assert world.activity.saved(world.clock.ms).events == before.events


def test_rows_are_in_parts_and_one_that_is_being_written_is_as_it_was(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("cell.activity.PART_BYTES", 50)
    world = made()
    rows = ActivityRows(world.cell.tables, "worker-1", COUNTS)
    rows.save(world.activity.saved(world.clock.ms))
    reader = ActivityRows(world.cell.tables, "reader", COUNTS)
    first = reader.read()["worker-1"]
    assert isinstance(first, Saved)
    assert measured([first], COUNTS, world.clock.ms).followers[HOT] == len(READERS)
    world.post(QUIET)
    world.run()
    newer = ActivityRows(world.cell.tables, "worker-1", COUNTS)
    put, count = world.cell.tables.put, []

    def put_one(table, some):  # type: ignore[no-untyped-def]
        count.append(1)
        if len(count) == 1:
            put(table, some)

    monkeypatch.setattr(world.cell.tables, "put", put_one)
    world.clock.ms += 1
    newer.save(world.activity.saved(world.clock.ms))
    assert reader.read()["worker-1"] == first


def test_who_is_long_gone_is_swept() -> None:
    world = made()
    rows = ActivityRows(world.cell.tables, "gone", COUNTS)
    rows.save(world.activity.saved(world.clock.ms))
    mine = ActivityRows(world.cell.tables, "here", COUNTS)
    later = world.clock.ms + 17 * HOUR_MS
    mine.save(world.activity.saved(later))
    assert set(mine.read()) == {"gone", "here"}
    mine.sweep(later, 0)
    assert set(mine.read()) == {"here"}


def test_costs_are_as_usual_until_they_are_measured() -> None:
    usual = costs_of(())
    for name in ("push", "page", "timeline"):
        assert abs(getattr(usual, name) / getattr(USUAL, name) - 1) < 1e-9
    meter = CostMeter(HOUR_MS)
    meter.pushed(10_000_000, 20.0)
    for k in (1, 10, 40):
        for _ in range(2_000):
            meter.pulled(k, 0, 0.002 + 0.0005 * k, by_time=False)
    found = costs_of([meter.sums(1)])
    assert abs(found.push - 2e-6) < 1e-7
    assert abs(found.page - 0.002) < 1e-4
    assert abs(found.timeline - 0.0005) < 1e-5
