"""The two tables of edges beside each other: what is in one alone is found from both sides."""

import pytest

from cell import keys, verify_edges
from cell.residents import Homes
from cell.tables import Row
from cell.verify_edges import (
    EdgeDifference,
    edges_of_authors,
    edges_of_follower,
    settle_edges,
)
from cell.versions import version_of
from idgen.ids import U64, spread
from tests.unit.memory_tables import MemoryTables

BAND = 3
HOMES = Homes([(0, U64, BAND)])
ENDS = (50, 50, 50)
FOLLOWER, AUTHOR = 7, 88
KEY = keys.pair_key(spread(FOLLOWER), AUTHOR)
MIRROR = keys.pair_key(spread(AUTHOR), FOLLOWER)


def following(
    follower: int, author: int, at: int = 5, band: int = BAND, *, live: bool = True
) -> Row:
    key = keys.pair_key(spread(follower), author)
    return Row(key, version_of(band, at), keys.pack_flagged(live, at))


def mirror_of(row: Row) -> Row:
    return row._replace(key=keys.exchanged_pair(row.key))


def cell_of(rows: list[Row], mirrored: list[Row] | None = None) -> MemoryTables:
    tables = MemoryTables()
    tables.create(keys.TABLES)
    tables.put(keys.FOLLOWING, rows)
    tables.put(keys.FOLLOWERS, [mirror_of(row) for row in (rows if mirrored is None else mirrored)])
    return tables


EDGES = [following(f, a, a) for f in (FOLLOWER, 8, 9) for a in (AUTHOR, *range(1, 20)) if f != a]


def seen(tables: MemoryTables) -> set[bytes]:
    """Suspects from both sides."""
    found = set(edges_of_follower(tables, HOMES, FOLLOWER).suspects)
    return found | set(edges_of_authors(tables, HOMES, 0, U64, 1_000).suspects)


def test_a_whole_pair_of_tables_has_no_suspects(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = cell_of(EDGES)
    assert edges_of_follower(tables, HOMES, FOLLOWER) == (20 - 1, ())
    assert edges_of_authors(tables, HOMES, 0, U64, 1_000) == (len(EDGES), ())
    assert edges_of_authors(tables, HOMES, 0, U64, 3).rows == 3
    own = spread(AUTHOR)
    assert edges_of_authors(tables, HOMES, own, own, 100) == (3, ())
    assert edges_of_authors(tables, HOMES, 0, own - 1, 100).rows == sum(
        spread(keys.parse_pair(row.key)[1]) < own for row in EDGES
    )
    monkeypatch.setattr(verify_edges, "CHUNK", 2)
    assert edges_of_follower(tables, HOMES, FOLLOWER) == (20 - 1, ())


OTHERS = [row for row in EDGES if row.key != KEY]
ROW = following(FOLLOWER, AUTHOR, AUTHOR)
EARLIER = following(FOLLOWER, AUTHOR, 4)
ELSEWHERE = ROW._replace(value=keys.pack_flagged(True, 1))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(ROW, None), (None, ROW), (ROW, EARLIER), (EARLIER, ROW), (ROW, ELSEWHERE)],
    ids=["no mirror", "mirror alone", "older mirror", "newer mirror", "other floor"],
)
def test_a_planted_fault_is_a_difference(ours: Row | None, theirs: Row | None) -> None:
    tables = cell_of([*OTHERS, *([ours] if ours else [])], [*OTHERS, *([theirs] if theirs else [])])
    assert seen(tables) == {KEY}
    ends = (200, 200, 200)
    (found,), unsettled = settle_edges(tables, HOMES, [KEY], ends, 0)
    assert not unsettled
    mirrored = None if theirs is None else mirror_of(theirs)
    assert found == EdgeDifference(FOLLOWER, AUTHOR, ours, mirrored)


def test_what_was_applied_meanwhile_is_no_difference() -> None:
    tables = cell_of([ROW], [])
    suspects = list(seen(tables))
    assert suspects == [KEY]
    tables.put(keys.FOLLOWERS, [mirror_of(ROW)])
    assert settle_edges(tables, HOMES, suspects, (200, 200, 200), 0) == ([], [])


def test_a_row_above_the_end_cannot_be_told_yet() -> None:
    tables = cell_of([following(FOLLOWER, AUTHOR, at=51)], [])
    assert settle_edges(tables, HOMES, [KEY], ENDS, 0) == ([], [KEY])
    of_author = spread(AUTHOR) % 3
    ends = [50, 50, 50]
    ends[of_author] = 51
    assert len(settle_edges(tables, HOMES, [KEY], ends, 0)[0]) == 1
    assert len(settle_edges(tables, HOMES, [KEY], ENDS, 1)[0]) == 1


def test_a_gone_edge_that_was_swept_on_one_side_is_no_difference() -> None:
    gone = following(FOLLOWER, AUTHOR, 5, live=False)
    for tables in (cell_of([gone], []), cell_of([], [gone])):
        assert settle_edges(tables, HOMES, [KEY], ENDS, 0) == ([], [])


def test_rows_of_bands_that_ended_do_not_exist() -> None:
    ended = following(FOLLOWER, AUTHOR, 5, BAND - 1)
    for tables in (cell_of([ended], []), cell_of([], [ended])):
        assert seen(tables) == set()
        assert settle_edges(tables, HOMES, [KEY], ENDS, 0) == ([], [])
    left = Homes([])
    tables = cell_of([ROW], [])
    assert edges_of_follower(tables, left, FOLLOWER) == (0, ())
    assert edges_of_authors(cell_of([], [ROW]), left, 0, U64, 10) == (0, ())
    assert settle_edges(tables, left, [KEY], ENDS, 0) == ([], [])
