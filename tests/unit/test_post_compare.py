"""Comparing the posts of two cells: each planted fault is found, and nothing else is told."""

import pytest

from cell import keys, post_rows
from cell.post_compare import Digest, compare_posts, digest, settle_posts
from cell.post_rows import CALL_ROWS
from cell.tables import Row, Tables
from firehose.codec import encode_gone
from idgen.ids import spread
from tests.unit.memory_tables import MemoryTables

PARTITIONS = 4
LOG_BASE = 1_000
ENDS = (50,) * PARTITIONS
AUTHORS = (1, 2, 88, 1_000_003)


def post(author: int, number: int, offset: int, text: bytes = b"text") -> Row:
    return Row(keys.post_key(author, number), LOG_BASE + offset + 1, b"%d %b" % (number, text))


def gone(author: int, number: int, offset: int, created: int = 0) -> Row:
    return Row(keys.post_key(author, number), LOG_BASE + offset + 1, encode_gone(created, ()))


def cell_of(*rows: Row) -> MemoryTables:
    tables = MemoryTables()
    tables.create([keys.POSTS])
    tables.put(keys.POSTS, rows)
    return tables


POSTS = [post(author, n, n) for author in AUTHORS for n in range(1, 20)]
FAULTY = POSTS[7].key


def without(key: bytes) -> list[Row]:
    return [row for row in POSTS if row.key != key]


def suspects_of(
    source: Tables, target: Tables, limit: int = 7, start: bytes = b"", stop: bytes = b""
) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(10_000):
        piece = compare_posts(source, target, start, stop, limit)
        found += piece.suspects
        assert piece.rows <= limit
        assert not piece.next_key or piece.next_key > start
        start = piece.next_key
        if not start:
            return found
    raise AssertionError("it does not come to an end")


def test_what_is_the_same_has_equal_digests_and_no_suspects() -> None:
    piece = compare_posts(cell_of(*POSTS), cell_of(*reversed(POSTS)), b"", b"", 1_000)
    assert piece.next_key == b""
    assert piece.source == piece.target == digest(POSTS)
    assert piece.rows == len(POSTS)
    assert piece.bytes == sum(len(row.key) + len(row.value) for row in POSTS)
    assert piece.suspects == ()


@pytest.mark.parametrize("limit", [1, 7, 1_000])
@pytest.mark.parametrize(
    "faulty",
    [
        without(FAULTY),
        [*without(FAULTY), POSTS[7]._replace(version=POSTS[7].version - 1)],
        [*without(FAULTY), POSTS[7]._replace(value=POSTS[7].value + b"!")],
        [*without(FAULTY), POSTS[7]._replace(value=encode_gone(0, ()))],
    ],
    ids=["missing", "other version", "other bytes", "gone"],
)
def test_a_planted_fault_in_one_cell_is_a_difference(faulty: list[Row], limit: int) -> None:
    cells = cell_of(*POSTS), cell_of(*faulty)
    for source, target in (cells, cells[::-1]):
        assert suspects_of(source, target, limit) == [FAULTY]
        real, unsettled = settle_posts(source, target, [FAULTY], ENDS, LOG_BASE)
        assert not unsettled
        (found,) = real
        assert (found.author, found.post_id) == (AUTHORS[0], 8)
        assert found.source != found.target


def test_a_difference_tells_what_each_cell_holds() -> None:
    source = cell_of(post(88, 5, 3))
    target = cell_of(gone(88, 5, 4, created=LOG_BASE + 4))
    key = keys.post_key(88, 5)
    ((_, mine, other),), _ = settle_posts(source, target, [key], ENDS, LOG_BASE)
    assert mine is not None
    assert other is not None
    assert (mine.version, mine.gone) == (LOG_BASE + 4, False)
    assert (other.version, other.gone) == (LOG_BASE + 5, True)
    ((_, mine, other),), _ = settle_posts(source, cell_of(), [key], ENDS, LOG_BASE)
    assert mine is not None
    assert other is None


@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_a_gone_row_that_was_swept_in_one_cell_is_no_difference(limit: int) -> None:
    cells = cell_of(*POSTS, gone(88, 500, 3)), cell_of(*POSTS)
    for source, target in (cells, cells[::-1]):
        assert suspects_of(source, target, limit) == []
        assert settle_posts(source, target, [keys.post_key(88, 500)], ENDS, LOG_BASE) == ([], [])


def test_gone_rows_of_both_cells_must_be_the_same() -> None:
    source, target = cell_of(gone(88, 5, 3)), cell_of(gone(88, 5, 4))
    assert suspects_of(source, target) == [keys.post_key(88, 5)]
    real, _ = settle_posts(source, target, suspects_of(source, target), ENDS, LOG_BASE)
    assert len(real) == 1


def test_what_one_cell_has_applied_meanwhile_is_no_difference() -> None:
    new, removed = post(88, 400, 49), gone(1, 8, 48)
    source, target = cell_of(*POSTS, new, removed), cell_of(*POSTS)
    suspects = suspects_of(source, target)
    assert sorted(suspects) == sorted([new.key, removed.key])
    target.put(keys.POSTS, [new, removed])  # it comes to the end as well
    assert settle_posts(source, target, suspects, ENDS, LOG_BASE) == ([], [])


def test_a_row_above_the_common_end_cannot_be_told_yet() -> None:
    beyond = post(88, 400, 50)
    source, target = cell_of(*POSTS, beyond), cell_of(*POSTS)
    assert settle_posts(source, target, [beyond.key], ENDS, LOG_BASE) == ([], [beyond.key])
    later = [*ENDS]
    later[spread(88) % PARTITIONS] = 51
    real, unsettled = settle_posts(source, target, [beyond.key], later, LOG_BASE)
    assert (len(real), unsettled) == (1, [])
    # ... which the end of another author's partition says nothing of.
    others = [51] * PARTITIONS
    others[spread(88) % PARTITIONS] = 50
    assert settle_posts(source, target, [beyond.key], others, LOG_BASE)[1] == [beyond.key]


def test_one_cell_may_hold_all_and_the_other_nothing() -> None:
    everything = sorted(row.key for row in POSTS)
    for limit in (1, 7, 1_000):
        assert suspects_of(cell_of(*POSTS), cell_of(), limit) == everything
        assert suspects_of(cell_of(), cell_of(*POSTS), limit) == everything


def test_only_the_range_is_compared() -> None:
    source, target = cell_of(*POSTS), cell_of()
    start, stop = keys.prefix(1), keys.after_prefix(spread(1))
    own = sorted(row.key for row in POSTS if row.key.startswith(start))
    assert suspects_of(source, target, 7, start, stop) == own
    piece = compare_posts(source, target, start, stop, 1_000)
    assert (piece.source.rows, piece.target) == (len(own), Digest())


def test_digests_of_pieces_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_rows, "CALL_ROWS", 3)
    source, target, start = cell_of(*POSTS), cell_of(*without(FAULTY)), b""
    mine, other = Digest(), Digest()
    while True:
        piece = compare_posts(source, target, start, b"", 10)
        mine, other = mine.plus(piece.source), other.plus(piece.target)
        start = piece.next_key
        if not start:
            break
    assert (mine, other) == (digest(POSTS), digest(without(FAULTY)))


def test_a_piece_is_bounded_by_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    large = [post(88, n, n, b"x" * 65_536) for n in range(400)]
    monkeypatch.setattr(post_rows, "PIECE_BYTES", 1_000_000)
    source = cell_of(*large)
    piece = compare_posts(source, cell_of(*large), b"", b"", 100_000)
    assert piece.rows == CALL_ROWS
    assert piece.next_key
    assert suspects_of(source, cell_of(*large[1:]), 100_000) == [large[0].key]


def test_many_suspects_are_read_in_bounded_calls() -> None:
    many = [post(88, n, 3) for n in range(3 * CALL_ROWS + 1)]
    suspects = [row.key for row in many]
    real, unsettled = settle_posts(cell_of(*many), cell_of(), suspects, ENDS, LOG_BASE)
    assert [each.key for each in real] == suspects
    assert not unsettled
