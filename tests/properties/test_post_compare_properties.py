"""Posts of two cells in random worlds: what is told is what was planted, whatever else went on."""

from hypothesis import given
from hypothesis import strategies as st

from cell import keys
from cell.post_compare import compare_posts, settle_posts
from cell.tables import Row
from firehose.codec import encode_gone
from tests.unit.memory_tables import MemoryTables

PARTITIONS = 3
AUTHORS = (1, 2, 3, 88)
events = st.lists(
    st.tuples(st.sampled_from(AUTHORS), st.integers(1, 6), st.booleans()), max_size=40
)
FAULTS = ("missing", "version", "bytes", "swept")


def row_of(number: int, event: tuple[int, int, bool]) -> Row:
    """What the event at offset `number` leaves of a post: offsets grow over all partitions here."""
    author, post_id, removes = event
    return Row(
        keys.post_key(author, post_id),
        number + 1,
        encode_gone(0, ()) if removes else b"post %d" % post_id,
    )


def cell_of(rows: list[Row]) -> MemoryTables:
    tables = MemoryTables()
    tables.create([keys.POSTS])
    tables.put(keys.POSTS, rows)
    return tables


@given(
    lived=events,
    applied=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    limits=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    faults=st.lists(st.tuples(st.integers(0, 39), st.sampled_from(FAULTS)), max_size=4),
    later=st.integers(0, 40),
)
def test_what_is_told_is_what_was_planted(
    lived: list[tuple[int, int, bool]],
    applied: tuple[int, int],
    limits: list[int],
    faults: list[tuple[int, str]],
    later: int,
) -> None:
    rows = [row_of(number, event) for number, event in enumerate(lived)]
    final = {row.key: row for row in rows}
    end = min(later, len(rows))  # the common end; what is behind it, one cell alone has applied
    source, target = (cell_of(rows[:count]) for count in applied)
    # Faults are in rows that nothing touches behind the first look.
    still = min(*applied, end)
    quiet = [r for r in rows[:still] if final[r.key] == r]
    planted, touched = set(), set()
    for place, fault in faults:
        if not quiet:
            break
        row = quiet.pop(place % len(quiet))
        gone = row.value == encode_gone(0, ())
        touched.add(row.key)
        held = target.store.tables[keys.POSTS]
        if fault in ("missing", "swept"):
            held.drop(row.key)
        elif fault == "version":
            held.rows[row.key] = row._replace(version=row.version - 1 or 1)
        else:
            held.rows[row.key] = row._replace(value=b"other bytes")
        if not (gone and fault in ("missing", "swept")) and held.rows.get(row.key) != row:
            planted.add(row.key)

    suspects: list[bytes] = []
    start, turn = b"", 0
    while True:
        piece = compare_posts(source, target, start, b"", limits[turn % len(limits)])
        suspects += piece.suspects
        start, turn = piece.next_key, turn + 1
        if not start:
            break
    source.put(keys.POSTS, rows[:end])
    target.put(keys.POSTS, [row for row in rows[:end] if row.key not in touched])
    source.put(keys.POSTS, rows)  # goes on while the other is read
    real, unsettled = settle_posts(source, target, suspects, [end] * PARTITIONS, 0)
    assert {each.key for each in real} == planted
    assert set(unsettled) <= {row.key for row in rows[end:]}
