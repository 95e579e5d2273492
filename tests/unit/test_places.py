"""Places in the firehose: what each text stands for, and what is refused."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firehose.cursor import cursor_of
from firehose.log_sqlite import SqliteLog
from firehose.places import (
    AHEAD_MS,
    AtTime,
    Earliest,
    Latest,
    check_order,
    parse_past_place,
    parse_place,
    resolve,
)
from idgen.errors import BadRequest, CursorTooOld
from tests.unit.firehose_world import ManualClock

NOW_MS = 1_341_403_200_000  # 2012-07-04T12:00:00Z, reckoned with `date -u -d @1341403200`


def at(text: str) -> int:
    place = parse_place("from", text, ManualClock(NOW_MS))
    assert isinstance(place, AtTime)
    return place.ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2012-07-04T12:00:00Z", NOW_MS),
        ("2012-07-04T14:00:00+02:00", NOW_MS),
        ("2012-07-04T12:00:00.250Z", NOW_MS + 250),
        ("2012-07-04T12:00Z", NOW_MS),
        ("1341403200000", NOW_MS),
        ("-2h", NOW_MS - 7_200_000),
        ("-90s", NOW_MS - 90_000),
        ("-7d", NOW_MS - 604_800_000),
        ("-250ms", NOW_MS - 250),
        ("-0s", NOW_MS),
        ("-999999999d", 0),
    ],
)
def test_times(text: str, ms: int) -> None:
    assert at(text) == ms


def test_the_ends() -> None:
    assert parse_place("from", "earliest", ManualClock(NOW_MS)) == Earliest()
    assert parse_place("from", "latest", ManualClock(NOW_MS)) == Latest()


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2285, 12, 31)),  # noqa: DTZ001 - zones are drawn
    st.integers(-14 * 60, 14 * 60),
)
def test_every_zone(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert abs(at(moment.isoformat()) - since / timedelta(milliseconds=1)) <= 1


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("1341403200", "append 000"),
        ("0", "append 000"),
        ("1341403200000000", "microseconds"),
        ("9" * 400, "nanoseconds"),
        ("2012-07-04T12:00:00", "append Z"),
        ("2012-07-04", "append Z"),
        ("2012-07-04T14:00:00 02:00", "%2B"),
        ("2012-07-04T14:00:00.5 0200", "%2B"),
        ("yesterday", "places are"),
        ("", "places are"),
        ("-2", "places are"),
        ("-2h30m", "places are"),
        ("- 2h", "places are"),
        ("+2h", "places are"),
        ("٣٣٣", "places are"),
        ("0001-01-01T00:00:00Z", "1970"),
        ("9999-12-31T23:59:59Z", "2286"),
        ("c1.!!!", "unchanged"),
        ("c1.", "unchanged"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(BadRequest, match=remedy) as refused:
        parse_place("until", text, ManualClock(NOW_MS))
    assert refused.value.field == "until"
    assert len(str(refused.value)) < 300


def test_nobody_reads_from_a_time_that_is_to_come() -> None:
    clock = ManualClock(NOW_MS)
    now = parse_past_place("from", str(NOW_MS + AHEAD_MS), clock)
    assert now == AtTime(NOW_MS + AHEAD_MS), "clocks differ by so much"
    for text in (str(NOW_MS + AHEAD_MS + 1), "2012-07-04T12:00:10.001Z", "2285-01-01T00:00:00Z"):
        with pytest.raises(BadRequest, match=r"future.*latest") as refused:
            parse_past_place("from", text, clock)
        assert refused.value.field == "from"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_only_what_ends_before_it_begins_is_no_range(bounds: list[tuple[int, int]]) -> None:
    start = {p: begin for p, (begin, _) in enumerate(bounds)}
    until = {p: end for p, (_, end) in enumerate(bounds)}
    has_events = any(range(begin, end) for begin, end in bounds)
    if has_events or start == until:
        check_order(start, until)
    else:
        with pytest.raises(BadRequest, match="before from"):
            check_order(start, until)


class World:
    """A log of three partitions; the events of each were appended ten seconds apart."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW_MS)
        self.log = SqliteLog(folder / "log.db", "x", 3, self.clock)
        for n in range(6):
            self.log.append([(p, b"%d" % n) for p in range(3)])
            self.clock.ms += 10_000

    def offsets(self, text: str, *partitions: int) -> dict[int, int]:
        place = parse_place("from", text, self.clock)
        return resolve("from", place, self.log, dict.fromkeys(partitions or range(3)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.log.close()


def test_places_become_offsets(world: World) -> None:
    assert world.offsets("earliest") == {0: 0, 1: 0, 2: 0}
    assert world.offsets("latest", 1) == {1: 6}
    assert world.offsets("2012-07-04T12:00:20Z") == {0: 2, 1: 2, 2: 2}
    assert world.offsets("-15s", 2) == {2: 5}
    assert world.offsets("-1d") == {0: 0, 1: 0, 2: 0}
    cursor = cursor_of(world.log.identity, 3, {0: 1, 1: 6, 2: 0})
    assert world.offsets(cursor.text()) == {0: 1, 1: 6, 2: 0}
    assert world.offsets(cursor.text(), 1) == {1: 6}


def test_a_cursor_that_the_log_has_forgotten_names_what_is_left(world: World) -> None:
    cursor = cursor_of(world.log.identity, 3, {0: 1, 1: 3, 2: 2}).text()
    world.log.trim(NOW_MS + 25_000)
    with pytest.raises(CursorTooOld, match="3 events") as refused:
        world.offsets(cursor)
    assert world.offsets(refused.value.floor.decode()) == {0: 3, 1: 3, 2: 3}
    assert world.offsets(cursor, 1) == {1: 3}


def test_who_accepts_a_gap_gets_nothing_again(world: World) -> None:
    cursor = cursor_of(world.log.identity, 3, {0: 1, 1: 5, 2: 6}).text()
    world.log.trim(NOW_MS + 25_000)
    with pytest.raises(CursorTooOld, match="2 events") as refused:
        world.offsets(cursor)
    assert world.offsets(refused.value.floor.decode()) == {0: 3, 1: 5, 2: 6}


@pytest.mark.parametrize(
    ("identity", "partitions", "offsets", "why"),
    [
        ("another", 3, {0: 0, 1: 0, 2: 0}, "another firehose"),
        ("", 4, {0: 0, 1: 0, 2: 0}, "another firehose"),
        ("", 3, {0: 0, 2: 0}, "nothing of partition 1"),
        ("", 3, {0: 7, 1: 0, 2: 0}, "beyond the end"),
    ],
)
def test_a_cursor_of_something_else_is_refused(
    world: World, identity: str, partitions: int, offsets: dict[int, int], why: str
) -> None:
    cursor = cursor_of(identity or world.log.identity, partitions, offsets)
    with pytest.raises(BadRequest, match=why):
        world.offsets(cursor.text())
