"""Coverage against plain models: who is left out of a push, and the walk of the index by time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell import by_time, keys
from cell.by_time import index_row, index_rows, posts_by_time
from cell.commands import Filled, Switched
from cell.coverage import Stamps, decode, encode, pulled_events
from cell.cursor import NEWEST, OLDEST, Place
from cell.edges import NO_ONE
from cell.known_coverage import KnownCoverage
from cell.lane_scan import Range
from cell.materialization import Why
from cell.residents import Homes
from cell.side_by_side import SideBySide
from cell.switching import covered_of, named, obey, rows_of
from cell.tables import Row
from firehose.event import Lane
from idgen.ids import U64, spread
from tests.unit.memory_tables import MemoryTables

BAND = 3
HERE = Homes([(0, U64, BAND)])
USERS = range(1, 7)
users = st.integers(1, 6)


class Step(NamedTuple):
    """What happens next: a command, and how many events come before it."""

    command: Switched | Filled
    events: int


switches = st.builds(
    Switched,
    st.booleans(),
    st.sampled_from([*Why]),
    st.lists(users, max_size=4, unique=True).map(tuple),
    st.lists(users, max_size=2, unique=True).map(tuple),
    st.lists(st.tuples(users, users), max_size=3, unique=True).map(tuple),
)
some = st.lists(users, max_size=4, unique=True).map(tuple)
fills = st.builds(Filled, st.integers(0, 12), some, st.just(0))
lives = st.lists(
    st.builds(Step, st.one_of(switches, switches, fills), st.integers(0, 3)), max_size=12
)


class Told:
    """The model: for whom each event was pulled, looked up in the list of all commands."""

    def __init__(self, life: Sequence[Step]) -> None:
        self.ats: list[int] = []
        at = 1
        for step in life:
            at += step.events
            self.ats.append(at)
        self.end = at + 3
        self._life = life

    def spans(self, kind: str, subject: object) -> list[tuple[int, int]]:
        """Pulled from one switch to another (-1: still), as of all commands."""
        found: list[tuple[int, int]] = []
        for switch, (command, _) in enumerate(self._life):
            if isinstance(command, Filled):
                if kind == "readers" and subject in command.readers:
                    found = [s for s in found if s[1] < 0 or s[1] > command.until]
            elif subject in getattr(command, kind):
                pulled = bool(found) and found[-1][1] < 0
                if command.pull and not pulled:
                    found.append((switch, -1))
                elif not command.pull and pulled:
                    found[-1] = (found[-1][0], switch)
        return found

    def has(self, span: tuple[int, int], at: int) -> bool:
        """Whether the event is in a span."""
        return self.ats[span[0]] <= at and (span[1] < 0 or at < self.ats[span[1]])


@given(lives, users, st.integers(0, 40), st.integers(0, 40))
def test_who_is_left_out_is_who_was_pulled_all_the_time(
    life: list[Step], author: int, created: int, later: int
) -> None:
    told = Told(life)
    tables = MemoryTables()
    tables.create(keys.TABLES)
    first, late = KnownCoverage(tables), KnownCoverage(tables)
    for switch, (command, _) in enumerate(life):
        first.put(obey(tables, command, switch, 7, HERE))
        if switch:  # another worker comes to it later, and finds it done
            assert obey(tables, life[switch - 1].command, switch - 1, 7, HERE) is not None
    stamps = [
        (switch, at)
        for (switch, at), step in zip(enumerate(told.ats), life, strict=True)
        if isinstance(step.command, Switched)
    ]
    late.load(len(life), HERE, {0: ()})
    created_at, at = sorted((1 + created % told.end, 1 + later % told.end))
    for known in (first, late):
        known.stamp({0: stamps})
        out = known.left_out(0, (author, spread(author)), created_at, at)
        assert out.before == created_at
        if any(told.has(span, created_at) for span in told.spans("authors", author)):
            assert out.places is None
            continue
        assert out.places is not None
        want = {
            spread(reader)
            for reader in USERS
            for kind, subject in (("readers", reader), ("pairs", (reader, author)))
            for span in told.spans(kind, subject)
            if told.has(span, created_at) and told.has(span, at)
        }
        assert out.places.tolist() == sorted(want)
        assert all(known.has_row(place) for place in want)


@given(lives, users)
def test_pages_are_told_what_workers_did_and_rather_more(life: list[Step], reader: int) -> None:
    """With every stamp known, the same; without some, no event less."""
    told = Told(life)
    tables = MemoryTables()
    tables.create(keys.TABLES)
    for switch, (command, _) in enumerate(life):
        obey(tables, command, switch, 7, HERE)
    (subject,) = named(Filled(0, (reader,), 0), HERE)
    covered = covered_of(rows_of(tables, [subject])[subject])
    assert decode(encode(covered)) == covered
    whole = Stamps(dict(enumerate(told.ats)))
    some = Stamps({switch: at for switch, at in enumerate(told.ats) if switch % 2})
    exact, rather = (pulled_events(covered, [each]) for each in (whole, some))
    for at in range(1, told.end):
        want = any(told.has(span, at) for span in told.spans("readers", reader))
        assert exact.contain(0, at) == want
        assert rather.contain(0, at) or not want
        columns = exact.contained(np.zeros(1, np.uint64), np.array([at], np.uint64))
        assert columns.tolist() == [want]


def test_nobody_is_left_out_before_anything_is_told() -> None:
    tables = MemoryTables()
    tables.create(keys.TABLES)
    known = KnownCoverage(tables)
    assert known.left_out(0, (1, spread(1)), 5, 9).places is NO_ONE
    assert not known.has_row(spread(1))


# -- posts by time ---------------------------------------------------------------------------

posts = st.dictionaries(
    st.tuples(st.integers(1, 30), users),
    st.tuples(st.integers(1, 50), st.integers(0, 7)),
    max_size=60,
)
places = st.builds(Place, st.integers(0, 31), st.just(Lane.POSTS), users)


@pytest.mark.parametrize("rows_first", [1, 3, by_time.ROWS_FIRST])
@given(posts, st.none() | places, st.none() | places, st.booleans(), st.integers(0, 50))
def test_the_index_is_walked_in_the_order_of_a_page(
    rows_first: int,
    stored: dict[tuple[int, int], tuple[int, int]],
    newest: Place | None,
    oldest: Place | None,
    oldest_first: bool,
    floor: int,
) -> None:
    tables = MemoryTables()
    tables.create(keys.TABLES)
    rows = [index_row(author, post, at, kind) for (post, author), (at, kind) in stored.items()]
    tables.put(keys.BY_TIME, rows)
    within = Range(newest or NEWEST, oldest or OLDEST, oldest_first)
    got: list[tuple[int, int]] = []
    side_by_side = SideBySide(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_time, "ROWS_FIRST", rows_first)
        for part in posts_by_time(tables, side_by_side, within, floor):
            got += zip(part.posts.ids.tolist(), part.posts.authors.tolist(), strict=True)
            if part.upto is not None:
                before, after = (part.upto, 1_000) if oldest_first else (1_000, part.upto)
                assert all(post < before and (oldest_first or post > after) for post, _ in got)
    side_by_side.close()
    want = sorted(
        (key for key, (at, kind) in stored.items() if kind and at >= floor),
        reverse=not oldest_first,
    )
    low, high = within.oldest.id, within.newest.id
    inside = [key for key in want if low <= key[0] <= high]
    assert [key for key in got if low < key[0] < high] == [k for k in want if low < k[0] < high]
    assert set(got) <= set(want)
    assert set(inside) <= set(got)
    assert got == sorted(got, reverse=not oldest_first)


def test_rows_of_the_index_follow_from_rows_of_posts() -> None:
    assert index_rows([]) == []
    row = index_row(7, 99, 5, 3)
    assert isinstance(row, Row)
    assert (row.version, row.value, len(row.key)) == (5, b"\x03", 17)
