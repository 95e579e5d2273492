"""A check of a cell finds what is planted, tells it with a command, and takes nothing else for it.

The cells are real ones of the embedded kind; their workers apply a batch when they are told to.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cell import keys
from cell.reader_sample import Range, Sample
from cell.tables import Row
from cell.versions import version_of
from firehose.dead_letters import DeadLetters
from firehose.event import Lane
from idgen.ids import U64, compose, spread
from ops import cell_check
from ops.cell_check import CellChecker
from ops.checks_port import CellCheck
from tests.unit.checked_world import AUTHORS, CTX, READERS, CheckedWorld, drop
from tests.unit.firehose_world import NOW_MS

HOMED: list[Range] = [(0, U64)]


class World(CheckedWorld):
    """With checks of both cells."""

    def check(
        self, name: str, readers: int = 20, pause: Callable[[float], object] | None = None
    ) -> CellCheck:
        stores = self.moves.cells[name].stores
        slices = self.moves.routes.slices()
        homed = [(s.start, slices.end(i) - 1) for i, s in enumerate(slices) if s.cell == name]
        steps: list[tuple[int, int]] = []
        checker = CellChecker(stores, self.moves.clock.now_ms(), pause or self.work)
        found = checker.check(homed, Sample(readers), 1, lambda *done: steps.append(done))
        if found.readers:
            assert steps[-1][0] == steps[-1][1]
        return found

    def both(self) -> list[CellCheck]:
        return [self.check(name) for name in self.moves.cells]

    def findings(self) -> list[tuple[str, str]]:
        return [(f.sentence, f.command) for check in self.both() for f in check.findings]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.moves.close()


def test_a_cell_without_faults_is_verified(world: World) -> None:
    checks = world.both()
    assert [check.findings for check in checks] == [(), ()]
    assert sorted(r for c in checks for r in c.readers) == sorted({*AUTHORS, *READERS})
    assert sum(check.entries for check in checks) == 6 + 6 * len(READERS)
    # Each edge once from the follower's side and once from the author's.
    assert sum(check.edges for check in checks) == 2 * len(AUTHORS) * len(READERS)


def test_a_missing_entry_is_found(world: World) -> None:
    reader, author = 11, 1
    post = world.posts[author][1]
    drop(world.home_of(reader).tables, keys.INBOX, keys.entry_key(spread(reader), post, author))
    ((sentence, command),) = world.findings()
    assert sentence == f"the inbox of reader {reader} lacks 1 entries, newest {author}/{post}"
    assert command == f"cellctl verify-user {reader}"


def test_an_extra_entry_is_found(world: World) -> None:
    reader, post = 12, compose(NOW_MS + 77, 1, 1)
    stores = world.home_of(reader)
    band = next(iter(stores.state().read().values())).residents[0].band
    row = Row(keys.entry_key(spread(reader), post, 99), version_of(band, 1), b"\x01")
    stores.tables.put(keys.INBOX, [row])
    ((sentence, _),) = world.findings()
    assert sentence == f"the inbox of reader {reader} has besides 1 entries, newest 99/{post}"


@pytest.mark.parametrize("table", [keys.FOLLOWERS, keys.FOLLOWING])
def test_an_edge_without_its_mirror_is_found(world: World, table: str) -> None:
    reader, author = 4, 2
    key = keys.pair_key(spread(reader), author)
    lost = key if table == keys.FOLLOWING else keys.exchanged_pair(key)
    drop(world.home_of(reader).tables, table, lost)
    sentences = [sentence for sentence, _ in world.findings()]
    told = [s for s in sentences if s.startswith(f"the edge of reader {reader} to user {author} ")]
    assert len(told) == 1
    assert f"not there in `{table}`" in told[0]
    # Without a row of `following` nobody would expect the author's posts either.
    assert len(sentences) == (1 if table == keys.FOLLOWERS else 2)


def test_a_mark_from_the_future_is_found(world: World) -> None:
    reader, ahead = 10, compose(NOW_MS + 3_600_000, 1, 0)
    row = Row(keys.mark_key(spread(reader), Lane.POSTS), ahead, b"")
    world.home_of(reader).tables.put(keys.MARKS, [row])
    ((sentence, command),) = world.findings()
    assert f"reader {reader} has read the lane posts up to {ahead}" in sentence
    assert command == f"cellctl unread {reader}"
    assert sum(check.marks for check in world.both()) == 1


def test_an_open_dead_letter_is_found_until_it_is_settled(world: World) -> None:
    log = world.moves.cells["a"].stores.firehose
    log.append([(0, b"nothing that can be applied")])
    world.moves.settle()
    (finding,) = world.check("a").findings
    assert finding.sentence == "1 events could not be applied and are open dead letters"
    assert finding.command == "cellctl dead-letters list a"
    letters: DeadLetters = world.moves.cells["a"].stores.dead_letters
    letters.settle(letters.list()[0].id, "discarded")
    assert world.check("a").findings == ()


def test_a_cell_that_does_not_come_to_the_end_is_told_by_how_much(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_check, "WAIT_S", 0.2)
    for _ in range(3):
        world.publish(1)
    check = world.check("b", pause=lambda _: None)
    (finding,) = check.findings
    assert "by partition: 0: 3;" in finding.sentence
    assert (finding.command, check.readers) == ("cellctl status", ())
    assert world.check("b").findings == ()  # its worker works again


def check_while(
    world: World, name: str, every: int, busy: Callable[[], object], table: str = ""
) -> CellChecker:
    """A check that finds nothing, though `busy` comes before every so many-th call (for a
    table)."""
    slices = world.moves.routes.slices()
    homed = [(s.start, slices.end(i) - 1) for i, s in enumerate(slices) if s.cell == name]
    stores = world.interrupted(name, every, busy, table)
    checker = CellChecker(stores, world.moves.clock.now_ms(), world.work)
    found = checker.check(homed, Sample(20), 1, lambda *_: None)
    assert found.findings == ()
    assert found.entries
    return checker


@pytest.mark.parametrize("name", ["a", "b"])
def test_posts_that_are_applied_meanwhile_are_no_findings(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_check, "EDGE_PLACES", 4)
    looks = 0

    def busy() -> None:
        nonlocal looks
        looks += 1
        world.publish(AUTHORS[looks % 2])
        world.work()

    check_while(world, name, 3, busy)
    assert looks > 10


def test_edges_that_come_and_go_meanwhile_are_no_findings(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_check, "EDGE_PLACES", 8)
    flips = 0

    def busy() -> None:
        nonlocal flips
        flips += 1
        for reader in READERS:  # an author without posts, or readers would differ three times
            if flips % 2:
                world.follow(reader, 300)
            else:
                world.moves.router.unfollow(CTX, reader, 300, None)
        world.work()

    # A look at the other row of an edge, and now and then at anything.
    checkers = [
        check_while(world, name, every, busy, table)
        for name in world.moves.cells
        for every, table in ((2, keys.FOLLOWERS), (11, ""))
    ]
    assert any(checker._suspects for checker in checkers)
    assert flips > 10


def test_an_edge_that_is_half_written_is_waited_for(world: World) -> None:
    reader, author = READERS[0], 300
    stores = world.home_of(reader)
    band = next(iter(stores.state().read().values())).residents[0].band
    at = stores.ends()[0] + 1
    world.follow(reader, author)
    key = keys.pair_key(spread(reader), author)
    row = Row(key, version_of(band, at), keys.pack_flagged(True, at))
    stores.tables.put(keys.FOLLOWING, [row])  # and that of `followers` not yet
    checker = CellChecker(stores, world.moves.clock.now_ms(), world.work)
    checker._suspect([key])
    checker._settle()
    assert checker._findings == []
    assert stores.tables.get(keys.FOLLOWERS, [keys.exchanged_pair(key)]) != [None]


def test_who_has_moved_away_is_not_judged(world: World) -> None:
    """The routes that the readers were picked by may be older than what the workers know."""
    stores = world.moves.cells["a"].stores
    checker = CellChecker(stores, world.moves.clock.now_ms(), world.work)
    found = checker.check(HOMED, Sample(20), 1, lambda *_: None)
    assert found.findings == ()
    assert 0 < found.moved_away + len(world.check("a").readers) <= len(found.readers)
