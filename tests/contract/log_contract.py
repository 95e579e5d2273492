"""What every log adapter must do. Subclass it and override `open_log`, nothing else."""

import random
import threading
import time
from collections.abc import Callable
from typing import ClassVar

import pytest

from firehose.log import RECORD_BYTES_MAX, Log, Span
from idgen.errors import BadRequest, Conflict, CursorTooOld, Unavailable
from tests.contract.patience import together, until

OpenLog = Callable[[str, int], Log]


class LogContract:
    """The contract of firehose.log.Log."""

    patience_s: ClassVar[float] = 30.0
    """How long to wait for what must happen some time."""

    @pytest.fixture
    def open_log(self) -> OpenLog:
        """Override: a callable (name, partitions) that opens one more client of a log.

        A name stands for one log within a test, new and empty at first, of its own in every test.
        The fixture closes the clients.
        """
        raise AssertionError("the subclass gives the fixture open_log")

    # -- appending and reading ---------------------------------------------------------------

    def test_a_new_log_is_empty(self, open_log: OpenLog) -> None:
        log = open_log("a", 3)
        assert log.partitions == 3
        assert log.spans() == [Span(0, 0)] * 3
        assert log.offsets_at(0) == [0, 0, 0]
        assert log.offsets_at(4_000_000_000_000) == [0, 0, 0]
        assert log.read(2, 0, 10) == []

    def test_records_read_back_as_appended_whatever_their_bytes(self, open_log: OpenLog) -> None:
        log = open_log("a", 2)
        values = [b"", bytes(range(256)), b"\x00", b"\xff" * 40, "grüße 日本 🎉".encode()]
        records = [(i % 2, value) for i, value in enumerate(values)]
        appended = log.append(records)
        assert [(a.partition, a.offset) for a in appended] == [
            (0, 0),
            (1, 0),
            (0, 1),
            (1, 1),
            (0, 2),
        ]
        found = {p: log.read(p, 0, 10) for p in (0, 1)}
        assert [r.value for r in found[0]] == values[::2]
        assert [r.value for r in found[1]] == values[1::2]
        assert sorted((r.partition, r.offset, r.at_ms) for p in (0, 1) for r in found[p]) == sorted(
            tuple(a) for a in appended
        )
        assert log.spans() == [Span(0, 3), Span(0, 2)]

    def test_a_read_begins_at_its_offset_and_keeps_to_its_limit(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        log.append([(0, b"%d" % i) for i in range(100)])
        assert [r.value for r in log.read(0, 0, 3)] == [b"0", b"1", b"2"]
        assert [r.offset for r in log.read(0, 42, 5)] == [42, 43, 44, 45, 46]
        assert [r.offset for r in log.read(0, 98, 5)] == [98, 99]
        assert log.read(0, 100, 5) == []
        assert log.read(0, 1_000, 5) == []
        # Backwards and again: a reader keeps no place.
        assert [r.offset for r in log.read(0, 7, 2)] == [7, 8]

    def test_an_empty_append_returns_at_once(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        assert log.append([]) == []
        assert log.spans() == [Span(0, 0)]

    def test_many_records_in_one_call(self, open_log: OpenLog) -> None:
        log = open_log("a", 4)
        dice = random.Random(4)
        records = [(dice.randrange(4), b"%d" % i) for i in range(10_000)]
        appended = log.append(records)
        for partition in range(4):
            mine = [value for p, value in records if p == partition]
            found = []
            while page := log.read(partition, len(found), 3_000):
                found += page
            assert [r.value for r in found] == mine
            assert [r.offset for r in found] == list(range(len(mine)))
            assert [a.offset for a in appended if a.partition == partition] == list(
                range(len(mine))
            )

    def test_a_record_of_the_largest_size(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        value = random.Random(1).randbytes(RECORD_BYTES_MAX)
        log.append([(0, value), (0, b"next")])
        assert [r.value for r in log.read(0, 0, 10)][:1] == [value]
        assert [r.value for r in log.read(0, 1, 10)] == [b"next"]

    def test_every_client_sees_every_record(self, open_log: OpenLog) -> None:
        one, other = open_log("a", 2), open_log("a", 2)
        one.append([(0, b"of one")])
        other.append([(0, b"of the other")])
        for log in (one, other):
            assert [r.value for r in log.read(0, 0, 9)] == [b"of one", b"of the other"]

    def test_what_was_appended_is_there_for_a_later_client(self, open_log: OpenLog) -> None:
        log = open_log("a", 2)
        appended = log.append([(1, b"kept")])
        identity = log.identity
        log.close()
        again = open_log("a", 2)
        assert again.identity == identity
        assert [(r.offset, r.at_ms, r.value) for r in again.read(1, 0, 9)] == [
            (appended[0].offset, appended[0].at_ms, b"kept")
        ]

    def test_logs_are_apart_and_their_identities_differ(self, open_log: OpenLog) -> None:
        a, b = open_log("a", 1), open_log("b", 1)
        assert a.identity
        assert a.identity != b.identity
        a.append([(0, b"of a")])
        assert b.read(0, 0, 9) == []

    def test_another_number_of_partitions_is_a_conflict(self, open_log: OpenLog) -> None:
        open_log("a", 2)
        with pytest.raises(Conflict):
            open_log("a", 3)

    # -- waiting -----------------------------------------------------------------------------

    def test_a_read_waits_for_the_first_record(self, open_log: OpenLog) -> None:
        log, writer = open_log("a", 2), open_log("a", 2)
        for client in (log, writer):
            offset = log.spans()[0].end
            begun = threading.Event()
            found: list[bytes] = []

            def read(
                offset: int = offset, begun: threading.Event = begun, found: list[bytes] = found
            ) -> None:
                begun.set()
                found += [r.value for r in log.read(0, offset, 9, timeout_ms=60_000)]

            def write(client: Log = client, begun: threading.Event = begun) -> None:
                begun.wait()
                client.append([(1, b"elsewhere")])
                client.append([(0, b"here")])

            together([read, write], self.patience_s)
            assert found == [b"here"]

    def test_a_read_of_nothing_ends_at_its_time_out(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        begin = time.monotonic()
        assert log.read(0, 0, 9, timeout_ms=200) == []
        assert 0.15 <= time.monotonic() - begin <= self.patience_s

    # -- time --------------------------------------------------------------------------------

    def test_times_lead_to_the_first_record_at_or_after_them(self, open_log: OpenLog) -> None:
        log = open_log("a", 2)
        first = log.append([(0, b"first")])[0]

        def later() -> int:
            (last,) = log.append([(0, b"later")])
            return last.at_ms if last.at_ms > first.at_ms + 1 else 0

        last_ms = until("the clock of the log moves on", later, self.patience_s)
        records = log.read(0, 0, 100_000)
        times = [r.at_ms for r in records]
        assert times == sorted(times)
        for time_ms in {0, 1, first.at_ms - 1, *times, *(t + 1 for t in times), last_ms + 1_000}:
            expected = next((r.offset for r in records if r.at_ms >= time_ms), len(records))
            assert log.offsets_at(time_ms) == [expected, 0], time_ms

    def test_times_are_of_now(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        before_ms = time.time_ns() // 1_000_000
        (appended,) = log.append([(0, b"now")])
        # A minute of grace: the clock may be that of another host.
        assert before_ms - 60_000 <= appended.at_ms <= before_ms + 60_000 + self.patience_s * 1_000
        assert [r.at_ms for r in log.read(0, 0, 1)] == [appended.at_ms]

    # -- retention ---------------------------------------------------------------------------

    def test_trimmed_records_are_too_old_and_the_end_is_remembered(self, open_log: OpenLog) -> None:
        log = open_log("a", 2)
        log.append([(0, b"%d" % i) for i in range(5)])
        log.trim(4_000_000_000_000)
        until("the log is trimmed", lambda: log.spans()[0] == Span(5, 5), self.patience_s)
        assert log.spans() == [Span(5, 5), Span(0, 0)]
        for offset in (0, 4):
            with pytest.raises(CursorTooOld) as caught:
                log.read(0, offset, 9)
            assert caught.value.floor == (5).to_bytes(8)
        assert log.read(0, 5, 9) == []
        assert log.offsets_at(0) == [5, 0]
        assert log.offsets_at(4_000_000_000_000) == [5, 0]
        (appended,) = log.append([(0, b"next")])
        assert appended.offset == 5
        assert [(r.offset, r.value) for r in log.read(0, 5, 9)] == [(5, b"next")]

    def test_trimming_keeps_what_is_not_older(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        first = log.append([(0, b"old")])[0]

        def later() -> int:
            (last,) = log.append([(0, b"new")])
            return last.at_ms if last.at_ms > first.at_ms else 0

        cut_ms = until("the clock of the log moves on", later, self.patience_s)
        kept = log.offsets_at(cut_ms)[0]
        log.trim(cut_ms)
        ((start, end),) = log.spans()
        assert start <= kept < end
        assert [r.value for r in log.read(0, kept, 9)] == [b"new"]
        log.trim(0)
        assert log.spans()[0].end == end

    def test_an_offset_below_zero_is_too_old(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        log.append([(0, b"v")])
        with pytest.raises(CursorTooOld) as caught:
            log.read(0, -1, 9)
        assert caught.value.floor == bytes(8)

    # -- bad input ---------------------------------------------------------------------------

    def test_what_can_never_be_appended_is_refused_and_nothing_written(
        self, open_log: OpenLog
    ) -> None:
        log = open_log("a", 2)
        large = b"v" * (RECORD_BYTES_MAX + 1)
        for bad in ((2, b"v"), (-1, b"v"), (0, large)):
            with pytest.raises(BadRequest) as caught:
                log.append([(0, b"good"), bad])
            assert caught.value.field == "records"
        assert log.spans() == [Span(0, 0), Span(0, 0)]

    def test_an_unknown_partition_cannot_be_read(self, open_log: OpenLog) -> None:
        log = open_log("a", 2)
        for partition in (-1, 2):
            with pytest.raises(BadRequest) as caught:
                log.read(partition, 0, 9)
            assert caught.value.field == "partition"

    # -- many at once ------------------------------------------------------------------------

    def test_appends_at_once_each_get_offsets_of_their_own_in_their_order(
        self, open_log: OpenLog
    ) -> None:
        log, other = open_log("a", 2), open_log("a", 2)

        def append(writer: int) -> list[tuple[int, int, bytes]]:
            client, acked = (log, other)[writer % 2], []
            for batch in range(15):
                records = [(i % 2, b"%d %d %d" % (writer, batch, i)) for i in range(6)]
                appended = client.append(records)
                acked += [
                    (a.partition, a.offset, v) for a, (_, v) in zip(appended, records, strict=True)
                ]
            return acked

        acked = together([lambda w=w: append(w) for w in range(4)])
        for partition in (0, 1):
            found = log.read(partition, 0, 1_000)
            assert [r.offset for r in found] == list(range(180))
            assert [r.at_ms for r in found] == sorted(r.at_ms for r in found)
            placed = {o: v for of_one in acked for p, o, v in of_one if p == partition}
            assert placed == {r.offset: r.value for r in found}
            for of_one in acked:
                mine = [o for p, o, _ in of_one if p == partition]
                assert mine == sorted(mine)

    def test_a_reader_beside_writers_sees_no_gap(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)

        def write() -> None:
            for i in range(60):
                log.append([(0, b"%d" % i), (0, b"")])

        def read() -> int:
            offset = 0
            while offset < 240:
                for record in log.read(0, offset, 7, timeout_ms=10_000):
                    assert record.offset == offset
                    offset += 1
            return offset

        assert together([write, write, read, read])[2:] == [240, 240]  # type: ignore[comparison-overlap]

    def test_a_closed_client_is_unavailable(self, open_log: OpenLog) -> None:
        log = open_log("a", 1)
        log.close()
        with pytest.raises(Unavailable):
            log.append([(0, b"v")])
        with pytest.raises(Unavailable):
            log.read(0, 0, 1)
