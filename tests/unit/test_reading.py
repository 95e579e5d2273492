"""Reading the firehose: what is wanted, once and in order, however it is cut."""

import base64
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from firehose.codec import encode, seal
from firehose.cursor import parse_cursor
from firehose.event import (
    Draft,
    Event,
    Followed,
    Lane,
    Liked,
    MarkedRead,
    PostCreated,
    PostKind,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from firehose.event_json import KINDS, document, read_event
from firehose.log import Record
from firehose.log_sqlite import SqliteLog
from firehose.places import parse_place, resolve
from firehose.reading import Reading
from firehose.selection import Selection, parse_selection
from idgen.errors import BadRequest, CursorTooOld
from idgen.ids import at_ms, compose, partition_of
from tests.unit.firehose_world import NOW_MS, ManualClock

ID = compose(NOW_MS, 1, 0)
BIG = 2**63 - 1
EVENTS: list[Event] = [
    PostCreated(ID, BIG, Draft(body="hello", mentions=(BIG, 2), reply_to=PostRef(5, ID))),
    PostCreated(ID + 1, 1, Draft(PostKind.PHOTO, "title", "b", ("tag",), at_ms=12), brought=True),
    PostRemoved(ID + 2, 1, ID),
    Followed(ID + 3, 7, 1, 100),
    Unfollowed(ID + 4, 7, 1),
    Liked(ID + 5, 8, 1, ID),
    Unliked(ID + 6, 8, 1, ID),
    MarkedRead(ID + 7, 9, Lane.NOTICES, ID),
]
PARTITIONS = 4


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    made = SqliteLog(tmp_path / "log.db", "firehose", PARTITIONS, ManualClock())
    yield made
    made.close()


def append(log: SqliteLog, *events: Event) -> None:
    log.append([(partition_of(event.key_user, PARTITIONS), encode(event)) for event in events])


def ids(reading: Reading, limit: int = 3) -> list[int]:
    """All ids up to the end of the log as it is."""
    found: list[int] = []
    while True:
        batch = reading.read(limit, 0)
        assert batch.looked_at <= limit
        if not batch.looked_at:
            return found
        found += [event.id for _, event in batch.events if not isinstance(event, str)]


def everything(log: SqliteLog) -> dict[int, int]:
    return dict.fromkeys(range(log.partitions), 0)


def test_all_kinds_are_read_and_told(log: SqliteLog) -> None:
    append(log, *EVENTS)
    batch = Reading(log, Selection(), everything(log)).read(100, 0)
    told = {d["id"]: d for d in (document(record, event) for record, event in batch.events)}
    assert {told[e.id]["kind"] for e in EVENTS} == set(KINDS.values())
    for event in EVENTS:
        found = json.loads(json.dumps(told[event.id]))
        assert found["id_str"] == str(event.id)
        assert found["appended_ms"] == NOW_MS
        for name, value in found.items():  # every number that JavaScript rounds comes as text too
            if isinstance(value, int) and value > 2**53:
                assert found[f"{name}_str"] == str(value)
    assert told[ID]["author_str"] == "9223372036854775807"
    assert told[ID]["mentions_str"] == ["9223372036854775807", "2"]
    assert told[ID]["reply_to"] == {"author": 5, "author_str": "5", "id": ID, "id_str": str(ID)}
    assert told[ID]["authored_ms"] == at_ms(ID) == NOW_MS
    assert told[ID + 1]["authored_ms"] == 12
    assert told[ID + 1]["post_kind"] == "photo"
    assert told[ID + 7]["lane"] == "notices"


def test_what_cannot_be_read_is_never_left_out(log: SqliteLog) -> None:
    later, damaged = seal(77, b"of a later program"), encode(EVENTS[0])[:-1] + b"\xff"
    log.append([(0, later), (0, damaged), (0, encode(EVENTS[2]))])
    reading = Reading(log, parse_selection("followed", "3", ""), everything(log))
    batch = reading.read(10, 0)
    told = [document(record, event) for record, event in batch.events]
    assert [each["kind"] for each in told] == ["unknown", "damaged"]
    assert [base64.b64decode(each["bytes"]) for each in told] == [later, damaged]
    assert [each["offset"] for each in told] == [0, 1]
    assert reading.cursor.offsets[0] == 3


@pytest.mark.parametrize("kind", sorted(KINDS.values()))
def test_kinds_are_selected(log: SqliteLog, kind: str) -> None:
    append(log, *EVENTS)
    wanted = [event.id for event in EVENTS if KINDS[type(event)] == kind]
    assert sorted(ids(Reading(log, parse_selection(kind, "", ""), everything(log)))) == wanted


def test_authors_are_those_whom_the_event_names(log: SqliteLog) -> None:
    append(log, *EVENTS)
    of_one = ids(Reading(log, parse_selection("", "1, 4", ""), everything(log)))
    assert sorted(of_one) == [ID + n for n in range(1, 7)]
    both = ids(Reading(log, parse_selection("liked,unliked", "1", ""), everything(log)))
    assert sorted(both) == [ID + 5, ID + 6]


def test_readers_that_share_read_all_together_and_nothing_twice(log: SqliteLog) -> None:
    append(log, *EVENTS)
    found: list[int] = []
    for share in ("0/3", "1/3", "2/3"):
        selection = parse_selection("", "", share)
        found += ids(Reading(log, selection, dict.fromkeys(selection.partitions(4), 0)))
    assert sorted(found) == [event.id for event in EVENTS]
    with pytest.raises(BadRequest, match="at most 4"):
        parse_selection("", "", "4/9").partitions(4)


@pytest.mark.parametrize(
    ("field", "texts"),
    [
        ("kinds", ("posts", "", "")),
        ("kinds", ("post_created,,liked", "", "")),
        ("authors", ("", "one", "")),
        ("authors", ("", "0", "")),
        ("authors", ("", "-1", "")),
        ("authors", ("", "9" * 19, "")),
        ("authors", ("", "9" * 5_000, "")),
        ("authors", ("", ",".join(["7"] * 1_001), "")),
        ("partitions", ("", "", "3")),
        ("partitions", ("", "", "4/4")),
        ("partitions", ("", "", "0/0")),
        ("partitions", ("", "", "a/b")),
        ("partitions", ("", "", "-1/2")),
    ],
)
def test_what_makes_no_selection_is_refused(field: str, texts: tuple[str, str, str]) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_selection(*texts)
    assert refused.value.field == field
    assert len(str(refused.value)) < 300


def test_it_ends_where_it_was_told_to(log: SqliteLog) -> None:
    rnd = random.Random(3)
    posts = [PostCreated(ID + n, rnd.randrange(1, 99), Draft(body="x")) for n in range(200)]
    append(log, *posts[:150])
    clock = ManualClock()
    until = resolve("until", parse_place("until", "latest", clock), log, everything(log))
    append(log, *posts[150:])
    reading = Reading(log, Selection(), everything(log), until)
    assert sorted(ids(reading, 7)) == [post.id for post in posts[:150]]
    assert reading.done
    assert reading.cursor.offsets == until
    assert reading.read(10, 60_000).looked_at == 0  # at once
    reading.close()
    assert Reading(log, Selection(), until, until).done


def test_a_reading_cut_anywhere_goes_on_by_its_cursor_while_events_come(log: SqliteLog) -> None:
    """Nothing is lost, doubled or out of order where what was there becomes what comes."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    rnd = random.Random(seed)
    posts = [PostCreated(ID + n, rnd.randrange(1, 99), Draft(body="x")) for n in range(600)]
    append(log, *posts[:200])

    def write() -> None:
        for begin in range(200, 600, 5):
            append(log, *posts[begin : begin + 5])

    writer = threading.Thread(target=write)
    writer.start()
    place, seen = "earliest", []
    while len(seen) < len(posts):
        start = resolve("from", parse_place("from", place, ManualClock()), log, everything(log))
        reading = Reading(log, Selection(), start)
        for _ in range(rnd.randrange(1, 6)):
            seen += [record for record, _ in reading.read(rnd.randrange(1, 40), 200).events]
        place = reading.cursor.text()
        reading.close()
    writer.join()
    for partition in range(PARTITIONS):
        own = [record for record in seen if record.partition == partition]
        assert own == log.read(partition, 0, 10_000)
    assert parse_cursor("from", place).offsets == {p: s.end for p, s in enumerate(log.spans())}


def test_a_reading_that_retention_overtakes_stops(log: SqliteLog) -> None:
    append(log, *EVENTS)
    reading = Reading(log, Selection(), everything(log))
    assert reading.read(1, 0).looked_at == 1
    log.trim(NOW_MS + 1)
    with pytest.raises(CursorTooOld):
        ids(reading)


def test_a_record_is_read_as_what_it_is() -> None:
    for event in EVENTS:
        assert read_event(Record(0, 0, 0, encode(event))) == event
