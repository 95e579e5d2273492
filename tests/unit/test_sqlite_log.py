"""What the SQLite log promises beyond the log contract."""

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firehose import log_sqlite
from firehose.log import Span
from firehose.log_sqlite import SqliteLog
from idgen.errors import BadRequest, CursorTooOld
from tests.unit.firehose_world import NOW_MS, ManualClock

Open = Callable[..., SqliteLog]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_one(tmp_path: Path, clock: ManualClock) -> Iterator[Open]:
    opened: list[SqliteLog] = []

    def open_one(name: str = "events", partitions: int = 2) -> SqliteLog:
        opened.append(SqliteLog(tmp_path / "log.db", name, partitions, clock))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


def test_append_times_never_fall_when_the_clock_does(open_one: Open, clock: ManualClock) -> None:
    log = open_one()
    for ms in (NOW_MS, NOW_MS - 5_000, NOW_MS + 1, NOW_MS - 1):
        clock.ms = ms
        log.append([(0, b"v")])
    log.append([(1, b"elsewhere")])
    assert [r.at_ms for r in log.read(0, 0, 9)] == [NOW_MS, NOW_MS, NOW_MS + 1, NOW_MS + 1]
    # Partitions are apart: the other one was never ahead.
    assert log.read(1, 0, 9)[0].at_ms == NOW_MS - 1
    log.trim(NOW_MS + 10)
    assert log.append([(0, b"v")])[0].at_ms == NOW_MS + 1


def test_trimming_is_exact_and_each_partition_has_its_own_cut(
    open_one: Open, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_sqlite, "_TRIM_ROWS", 7)
    log = open_one()
    dice = random.Random(1)
    times: dict[int, list[int]] = {0: [], 1: []}
    for _ in range(200):
        clock.ms += dice.randrange(3)
        partition = dice.randrange(2)
        times[partition].append(clock.ms)
        log.append([(partition, b"v")])
    for cut_ms in (NOW_MS, NOW_MS + 60, NOW_MS + 61, NOW_MS + 30, clock.ms, clock.ms + 1):
        expected = [sum(t < cut_ms for t in times[p]) for p in (0, 1)]
        if cut_ms != NOW_MS + 30:
            assert log.offsets_at(cut_ms) == expected
        log.trim(cut_ms)
        starts = [span.start for span in log.spans()]
        if cut_ms != NOW_MS + 30:
            assert starts == expected
        assert log.offsets_at(0) == starts
        for partition, start in enumerate(starts):
            rest = log.read(partition, start, 999)
            assert [r.at_ms for r in rest] == times[partition][start:]
            if start:
                with pytest.raises(CursorTooOld):
                    log.read(partition, start - 1, 1)
    assert log.spans() == [Span(len(times[p]), len(times[p])) for p in (0, 1)]


def test_one_file_holds_several_logs_apart(open_one: Open) -> None:
    events, commands = open_one("events", 2), open_one("commands", 1)
    events.append([(0, b"event"), (1, b"event")])
    commands.append([(0, b"command")])
    events.trim(NOW_MS + 1)
    assert [r.value for r in commands.read(0, 0, 9)] == [b"command"]
    assert events.spans() == [Span(1, 1), Span(1, 1)]


def test_a_read_is_bounded_in_bytes_too(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sqlite, "READ_BYTES_MAX", 100_000)
    monkeypatch.setattr(log_sqlite, "_READ_ROWS", 4)
    log = open_one()
    log.append([(0, bytes([i]) * 20_000) for i in range(40)])
    found = []
    while page := log.read(0, len(found), 40):
        assert sum(len(r.value) for r in page) <= 100_000 + 4 * 20_000
        found += page
    assert [r.value[0] for r in found] == list(range(40))


@pytest.mark.parametrize("partitions", [0, -1, 1_025])
def test_a_senseless_number_of_partitions_is_refused(open_one: Open, partitions: int) -> None:
    with pytest.raises(BadRequest, match="partitions"):
        open_one("events", partitions)


def test_a_reader_that_was_overtaken_by_trimming_is_told(
    open_one: Open, clock: ManualClock
) -> None:
    log = open_one()
    log.append([(0, b"%d" % i) for i in range(1_000)])
    clock.ms += 1
    log.append([(0, b"last")])
    trimmed = threading.Thread(target=log.trim, args=(clock.ms,))
    trimmed.start()
    offset = 0
    while offset < 1_001:
        try:
            page = log.read(0, offset, 10)
        except CursorTooOld as error:
            offset = int.from_bytes(error.floor)
            continue
        assert [r.offset for r in page] == list(range(offset, offset + len(page)))
        assert page
        offset = page[-1].offset + 1
    trimmed.join()
    assert log.spans()[0] == Span(1_000, 1_001)
