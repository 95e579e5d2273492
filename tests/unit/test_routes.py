"""Routes in the registry: one versioned change at a time, followed live, kept on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from idgen.clock import SystemClock
from idgen.errors import Conflict, Corrupt, NotFound, Unavailable
from idgen.ids import spread
from router.registry import Create, Set
from router.routes import (
    ROUTES,
    RouteTable,
    change_routes,
    create_routes,
    read_routes,
)
from router.slices import PLACES, Slice, Slices, even, to_bytes
from tests.contract.patience import together, until
from tests.unit.registry_world import NEVER_MS, PATIENCE_S, FallibleRegistry

TWO = even(["a", "b"])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FallibleRegistry]:
    found = FallibleRegistry(tmp_path / "registry.sqlite")
    yield found
    found.close()


def many(count: int) -> Slices:
    return Slices(Slice(PLACES * i // count, "ab"[i % 2], 1, 1) for i in range(count))


def table(registry: FallibleRegistry, folder: Path, reread_ms: int = NEVER_MS) -> RouteTable:
    return RouteTable(registry, SystemClock(), folder / "routes.copy", reread_ms)


def draw_epoch(registry: FallibleRegistry, start: int, end: int) -> int:
    """An epoch, drawn as a move draws it."""
    change_routes(registry, lambda slices: slices.draw(start, end)[0])
    return read_routes(registry).slices.at(start).drawn


def to_b(slices: Slices) -> Slices:
    cut, epoch = slices.draw(0, 1000)
    return cut.rehome(0, 1000, "b", epoch)


def test_routes_are_created_once_and_read_back(registry: FallibleRegistry) -> None:
    with pytest.raises(NotFound):
        read_routes(registry)
    create_routes(registry, TWO)
    assert read_routes(registry).slices == TWO
    with pytest.raises(Conflict):
        create_routes(registry, even(["c"]))
    assert read_routes(registry).slices == TWO


def test_a_change_is_one_multi_on_what_was_read(registry: FallibleRegistry) -> None:
    create_routes(registry, TWO)
    changed = change_routes(registry, to_b)
    assert changed == read_routes(registry)
    assert changed.slices == to_b(TWO)
    assert changed.version == 1


def test_a_change_meanwhile_is_built_upon(registry: FallibleRegistry) -> None:
    create_routes(registry, TWO)

    def meanwhile() -> None:
        change_routes(registry, lambda s: s.split(5_000))

    registry.before_multi = meanwhile
    change_routes(registry, to_b)
    assert read_routes(registry).slices == to_b(TWO.split(5_000))


def test_changes_by_many_at_once_are_all_kept(registry: FallibleRegistry) -> None:
    create_routes(registry, TWO)
    together([lambda: draw_epoch(registry, 0, PLACES)] * 4)
    assert read_routes(registry).slices.at(0).drawn == 5


def test_drawn_epochs_stay_drawn_although_nothing_moved(registry: FallibleRegistry) -> None:
    create_routes(registry, TWO)
    assert draw_epoch(registry, 10, 20) == 2
    assert draw_epoch(registry, 15, 30) == 3
    assert draw_epoch(registry, 40, 50) == 2
    assert read_routes(registry).slices.at(12).cell == "a"


def test_what_goes_with_a_change_goes_with_it_or_not_at_all(registry: FallibleRegistry) -> None:
    create_routes(registry, TWO)
    registry.create("/moves/1", b"created")
    change_routes(registry, to_b, also=[Set("/moves/1", b"switched", 0)])
    assert registry.get("/moves/1").value == b"switched"
    with pytest.raises(Conflict):
        change_routes(registry, lambda s: s.split(7), also=[Create("/moves/1", b"")])
    assert read_routes(registry).slices == to_b(TWO)


def test_what_a_cell_answers_after_is_in_the_routes_until_it_is_opened(
    registry: FallibleRegistry, tmp_path: Path
) -> None:
    create_routes(registry, TWO)

    def moved(slices: Slices) -> Slices:
        cut, epoch = slices.draw(0, 1000)
        return cut.rehome(0, 1000, "b", epoch, (4, 5))

    assert change_routes(registry, moved) == read_routes(registry)
    found = read_routes(registry).slices
    assert [s.after for s in found] == [(4, 5), (), ()]
    assert registry.get("/routes/0").value == to_bytes(list(to_b(TWO)))
    change_routes(registry, lambda s: s.split(500))
    assert [s.after for s in read_routes(registry).slices] == [(4, 5), (4, 5), (), ()]
    change_routes(registry, lambda s: s.opened(0, 1000))
    assert read_routes(registry).slices == to_b(TWO).split(500)


def test_many_slices_lie_in_pieces_and_a_change_writes_those_it_concerns(
    registry: FallibleRegistry,
) -> None:
    slices = many(3000)
    create_routes(registry, slices)
    names = registry.list(ROUTES)
    assert len(names) > 3
    assert read_routes(registry).slices == slices
    start, end = slices[1500].start, slices.end(1500)
    changed = change_routes(registry, lambda s: s.draw(start, end)[0])
    assert len(registry.changes) == 2  # /routes and one piece
    assert read_routes(registry) == changed


def test_pieces_divide_when_they_grow_and_go_when_they_are_empty(
    registry: FallibleRegistry,
) -> None:
    create_routes(registry, even(["a"]))
    grown = change_routes(registry, lambda s: many(50), piece_bytes_max=800).slices
    assert len(registry.list(ROUTES)) == 5
    assert read_routes(registry).slices == grown
    for i in (3, 17, 33, 49):
        place = grown[i].start + 1
        change_routes(registry, lambda s, at=place: s.split(at), piece_bytes_max=800)
    assert len(read_routes(registry).slices) == 54
    change_routes(registry, lambda s: TWO, piece_bytes_max=800)
    assert read_routes(registry).slices == TWO
    assert len(registry.list(ROUTES)) == 2


def test_a_reader_of_pieces_never_sees_half_a_change(registry: FallibleRegistry) -> None:
    # Two states; a mixture of their pieces would be neither.
    one = many(60)
    two = Slices(Slice(s.start, {"a": "b", "b": "a"}[s.cell], 1, 1) for s in one)
    create_routes(registry, even(["a"]))
    change_routes(registry, lambda s: one, piece_bytes_max=800)

    def write() -> None:
        for i in range(30):
            change_routes(registry, lambda s, i=i: (two, one)[i % 2], piece_bytes_max=800)

    def read() -> None:
        for _ in range(30):
            try:
                assert read_routes(registry).slices in (one, two)
            except Unavailable:
                continue  # refused, because they changed faster than they could be read

    together([write, read])
    assert read_routes(registry).slices == one


def test_a_table_follows_by_watch(registry: FallibleRegistry, tmp_path: Path) -> None:
    create_routes(registry, TWO)
    routes = table(registry, tmp_path)
    routes.start()
    assert routes.home(1) == TWO.at(spread(1))
    change_routes(registry, to_b)
    until("the change", lambda: routes.slices() == to_b(TWO), PATIENCE_S)
    assert routes.status().version == 1
    assert routes.status().trouble == ""
    routes.close()


def test_a_table_without_watches_re_reads(
    registry: FallibleRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_routes(registry, TWO)

    class Deaf:
        def cancel(self) -> None:
            pass

    monkeypatch.setattr(registry, "watch", lambda path, changed: Deaf())
    routes = table(registry, tmp_path, reread_ms=20)
    routes.start()
    change_routes(registry, to_b)
    until("the change", lambda: routes.slices() == to_b(TWO), PATIENCE_S)
    routes.close()


def test_a_table_goes_on_while_the_registry_is_down_and_says_how_old_it_is(
    registry: FallibleRegistry, tmp_path: Path
) -> None:
    create_routes(registry, TWO)
    routes = table(registry, tmp_path, reread_ms=20)
    routes.start()
    registry.down = True
    until("trouble", lambda: "down" in routes.status().trouble, PATIENCE_S)
    assert routes.home(1) == TWO.at(spread(1))
    until("age", lambda: (routes.status().age_ms or 0) > 50, PATIENCE_S)
    with pytest.raises(Unavailable):
        routes.refresh()
    registry.down = False
    change_routes(registry, to_b)
    until("the change", lambda: routes.slices() == to_b(TWO), PATIENCE_S)
    assert routes.status().trouble == ""
    routes.close()


def test_a_table_starts_from_the_copy_on_disk(registry: FallibleRegistry, tmp_path: Path) -> None:
    create_routes(registry, TWO)
    first = table(registry, tmp_path)
    first.start()
    change_routes(registry, to_b)
    until("the change", lambda: first.slices() == to_b(TWO), PATIENCE_S)
    first.close()
    registry.down = True
    second = table(registry, tmp_path, reread_ms=20)
    second.start()
    assert second.slices() == to_b(TWO)
    assert second.status().age_ms is None
    assert "down" in second.status().trouble
    registry.down = False
    until("confirmation", lambda: second.status().age_ms is not None, PATIENCE_S)
    second.close()


@pytest.mark.parametrize("copy", [None, b"", b"0\n[]", b"x\n" + b"[]", b"0\n[[", b"\xff\n"])
def test_without_registry_and_a_readable_copy_nobodys_home_is_known(
    registry: FallibleRegistry, tmp_path: Path, copy: bytes | None
) -> None:
    if copy is not None:
        (tmp_path / "routes.copy").write_bytes(copy)
    registry.down = True
    routes = table(registry, tmp_path)
    with pytest.raises(Unavailable, match="no routes: the registry says 'the registry is down'"):
        routes.start()


def test_a_disk_that_takes_no_copy_is_told_and_stops_nothing(
    registry: FallibleRegistry, tmp_path: Path
) -> None:
    create_routes(registry, TWO)
    (tmp_path / "file").write_bytes(b"")
    routes = RouteTable(registry, SystemClock(), tmp_path / "file" / "routes.copy", NEVER_MS)
    routes.start()
    assert routes.slices() == TWO
    assert "copy of the routes" in routes.status().trouble
    routes.close()


def test_damaged_routes_keep_the_last_good_ones(registry: FallibleRegistry, tmp_path: Path) -> None:
    create_routes(registry, TWO)
    routes = table(registry, tmp_path)
    routes.start()
    registry.set(f"{ROUTES}/0", b"damaged", 0)
    with pytest.raises(Corrupt):
        routes.refresh()
    assert routes.slices() == TWO
    routes.close()
