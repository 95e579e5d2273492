"""Dead letters: kept with their origin, folded from the log, settled once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from firehose.codec import UnknownKind, seal
from firehose.dead_letters import VALUE_BYTES_MAX, Counts, DeadLetter, DeadLetters, Outcome
from firehose.log_sqlite import SqliteLog
from idgen.errors import BadRequest, Conflict, Corrupt, NotFound
from tests.unit.firehose_world import NOW_MS, ManualClock, open_log


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    found = open_log(tmp_path, 1, "dead_letters-a")
    yield found
    found.close()


def test_a_letter_reads_back_with_reason_and_origin(log: SqliteLog) -> None:
    value = bytes(range(256))
    letter_id = DeadLetters(log).add(3, 44, 1_234, "id: -1 is no id", value)
    expected = DeadLetter(3, 44, 1_234, "id: -1 is no id", value)
    assert letter_id == expected.id == "3-44"
    # another process sees the same
    assert DeadLetters(log).show("3-44") == expected
    assert DeadLetters(log).list() == [expected]


def test_adding_again_adds_nothing_open_or_settled(log: SqliteLog) -> None:
    letters, other = DeadLetters(log), DeadLetters(log)
    letters.add(0, 1, 5, "first", b"v")
    other.add(0, 1, 6, "again", b"v")
    assert letters.counts() == Counts(1, 0, 0)
    assert letters.show("0-1").reason == "first"
    letters.settle("0-1", "discarded")
    other.add(0, 1, 7, "replayed", b"v")
    assert other.counts() == Counts(0, 0, 1)
    assert log.spans()[0].end == 2


def test_settled_letters_leave_the_list_and_stay_to_be_shown(log: SqliteLog) -> None:
    letters = DeadLetters(log)
    for offset in range(4):
        letters.add(0, offset, 5, "why", b"v")
    letters.settle("0-1", "retried")
    letters.settle("0-2", Outcome.DISCARDED)
    letters.settle("0-2", "discarded")
    for seen in (letters, DeadLetters(log)):
        assert [letter.id for letter in seen.list()] == ["0-0", "0-3"]
        assert seen.counts() == Counts(2, 1, 1)
        assert seen.show("0-1").outcome is Outcome.RETRIED
    with pytest.raises(Conflict, match="discarded already"):
        letters.settle("0-2", "retried")


def test_the_list_is_paged_in_the_order_of_arrival(log: SqliteLog) -> None:
    letters = DeadLetters(log)
    names = [letters.add(p, 9 - p, 5, "why", b"v") for p in range(10)]
    seen: list[str] = []
    while page := letters.list(after=seen[-1] if seen else "", limit=3):
        seen += [letter.id for letter in page]
    assert seen == names
    letters.settle(names[2], "discarded")
    assert [letter.id for letter in letters.list(after=names[2], limit=2)] == names[3:5]


def test_what_is_asked_wrongly_is_named(log: SqliteLog) -> None:
    letters = DeadLetters(log)
    letters.add(0, 1, 5, "why", b"v")
    with pytest.raises(NotFound, match="0-2"):
        letters.show("0-2")
    with pytest.raises(NotFound):
        letters.settle("0-2", "retried")
    with pytest.raises(BadRequest, match=r"^id:"):
        letters.show("zero")
    with pytest.raises(BadRequest, match=r"^after:"):
        letters.list(after="-")
    with pytest.raises(BadRequest, match=r"^outcome:.*retried, discarded"):
        letters.settle("0-1", "forgotten")
    for limit in (0, 1001):
        with pytest.raises(BadRequest, match=r"^limit:"):
            letters.list(limit=limit)


def test_a_value_that_fits_no_record_is_cut_and_says_so(log: SqliteLog) -> None:
    letters = DeadLetters(log)
    letters.add(0, 1, 5, "r" * 5000, b"v" * (VALUE_BYTES_MAX + 1))
    letters.add(0, 2, 5, "\u65e5" * 1000, b"v" * VALUE_BYTES_MAX)
    cut, whole = letters.list()
    assert (len(cut.value), cut.cut) == (VALUE_BYTES_MAX, True)
    assert (len(whole.value), whole.cut) == (VALUE_BYTES_MAX, False)


def test_letters_that_the_log_forgot_are_forgotten(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    log = SqliteLog(tmp_path / "log.sqlite", "dead_letters-a", 1, clock)
    letters = DeadLetters(log)
    letters.add(0, 1, 5, "old", b"v")
    assert letters.counts().open == 1
    clock.pause(1000)
    DeadLetters(log).add(0, 2, 5, "new", b"v")
    log.trim(NOW_MS + 500)
    assert [letter.id for letter in letters.list()] == ["0-2"]
    with pytest.raises(NotFound):
        letters.show("0-1")
    log.close()


def test_foreign_records_stop_it_loudly(log: SqliteLog) -> None:
    log.append([(0, seal(200, b"x"))])
    with pytest.raises(UnknownKind):
        DeadLetters(log).counts()
    log.append([(0, b"x")])
    with pytest.raises((UnknownKind, Corrupt)):
        DeadLetters(log).counts()


def test_a_dead_letter_log_has_one_partition(tmp_path: Path) -> None:
    log = open_log(tmp_path, 2)
    with pytest.raises(ValueError, match="one partition"):
        DeadLetters(log)
    log.close()
