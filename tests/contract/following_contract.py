"""What every log adapter must do when it is followed. Subclassed beside LogContract, whose
`open_log` it takes."""

import random
import threading
from collections import defaultdict
from typing import ClassVar

import pytest

from firehose.log import Following, Record
from idgen.errors import BadRequest, CursorTooOld
from tests.contract.log_contract import OpenLog
from tests.contract.patience import together, until


def read_on(following: Following, wanted: int, limit: int = 100) -> dict[int, list[Record]]:
    """The next `wanted` records by partition."""
    found: dict[int, list[Record]] = defaultdict(list)
    count = 0

    def more() -> bool:
        nonlocal count
        for record in following.poll(limit, 100):
            found[record.partition].append(record)
            count += 1
        return count >= wanted

    until(f"{wanted} records", more, 30.0)
    assert count == wanted
    return dict(found)


class FollowingContract:
    """The contract of firehose.log.Following."""

    patience_s: ClassVar[float] = 30.0

    def test_what_is_there_comes_first_and_then_what_comes(self, open_log: OpenLog) -> None:
        log = open_log("a", 3)
        log.append([(i % 3, b"%d" % i) for i in range(30)])
        following = log.follow({0: 0, 1: 4, 2: 10})
        before = read_on(following, 10 + 6)
        assert [r.value for r in before[0]] == [b"%d" % i for i in range(0, 30, 3)]
        assert [r.offset for r in before[1]] == [4, 5, 6, 7, 8, 9]
        assert following.poll(10, 0) == []
        after = log.append([(2, b"new"), (0, b"newer")])
        found = read_on(following, 2)
        assert {(p, r.offset, r.at_ms) for p, rs in found.items() for r in rs} == set(after)
        following.close()

    def test_only_the_partitions_asked_for(self, open_log: OpenLog) -> None:
        log = open_log("a", 4)
        log.append([(p, b"x") for p in range(4)])
        following = log.follow({1: 0, 3: 1})
        assert list(read_on(following, 1)) == [1]
        log.append([(p, b"y") for p in range(4)])
        assert sorted(read_on(following, 2)) == [1, 3]
        following.close()

    def test_a_poll_keeps_to_its_limit(self, open_log: OpenLog) -> None:
        log = open_log("a", 2)
        log.append([(i % 2, b"%d" % i) for i in range(50)])
        following = log.follow({0: 0, 1: 0})
        sizes = []
        while sum(sizes) < 50:
            sizes.append(len(following.poll(7, 1_000)))
        assert max(sizes) <= 7
        following.close()

    def test_many_records_beside_writers_come_once_and_in_order(self, open_log: OpenLog) -> None:
        log = open_log("a", 4)
        rnd = random.Random(5)
        start = [rnd.randrange(0, 50) for _ in range(4)]
        log.append([(p, b"old") for p in range(4) for _ in range(start[p])])
        following = log.follow(dict(enumerate(start)))

        def write(seed: int) -> None:
            own = random.Random(seed)
            for n in range(40):
                log.append([(own.randrange(4), b"%d:%d" % (seed, n)) for _ in range(5)])

        writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
        for writer in writers:
            writer.start()
        found = read_on(following, 3 * 40 * 5)
        for writer in writers:
            writer.join()
        for p, records in found.items():
            assert [r.offset for r in records] == list(range(start[p], log.spans()[p].end))
            assert records == log.read(p, start[p], 10_000)
        assert following.poll(10, 0) == []
        following.close()

    def test_two_follow_without_knowing_of_each_other(self, open_log: OpenLog) -> None:
        log, other = open_log("a", 2), open_log("a", 2)
        log.append([(0, b"x"), (1, b"y")])
        both = [each.follow({0: 0, 1: 0}) for each in (log, other)]
        found = together([lambda f=f: read_on(f, 2) for f in both])
        assert found[0] == found[1]
        for following in both:
            following.close()

    def test_a_wait_ends_with_the_first_record_and_at_its_time_out(self, open_log: OpenLog) -> None:
        log = open_log("a", 2)
        following = log.follow({0: 0, 1: 0})
        assert following.poll(10, 50) == []
        writer = threading.Timer(0.3, lambda: log.append([(1, b"at last")]))
        writer.start()
        records = until("a record", lambda: following.poll(10, 20_000), self.patience_s)
        writer.join()
        assert [r.value for r in records] == [b"at last"]
        following.close()

    def test_what_is_gone_cannot_be_followed(self, open_log: OpenLog) -> None:
        log = open_log("a", 2)
        log.append([(0, b"%d" % i) for i in range(10)])
        log.trim(4_000_000_000_000)
        until("the log is trimmed", lambda: log.spans()[0].start == 10, self.patience_s)
        with pytest.raises(CursorTooOld) as caught:
            log.follow({0: 9, 1: 0})
        assert int.from_bytes(caught.value.floor) == 10
        log.follow({0: 10, 1: 0}).close()

    def test_retention_that_overtakes_is_noticed(self, open_log: OpenLog) -> None:
        """What was fetched before may still come; then a gap is an error and never skipped."""
        log = open_log("a", 1)
        rnd = random.Random(6)  # what compresses well comes in one piece
        log.append([(0, rnd.randbytes(900_000)) for _ in range(20)])
        following = log.follow({0: 0})
        first = following.poll(1, 10_000)
        assert [r.offset for r in first] == [0]
        log.trim(4_000_000_000_000)
        until("the log is trimmed", lambda: log.spans()[0].start == 20, self.patience_s)
        log.append([(0, b"after")])
        offsets: list[int] = []

        def read_to_the_end() -> None:
            while 20 not in offsets:
                offsets.extend(record.offset for record in following.poll(1, 1_000))

        with pytest.raises(CursorTooOld) as caught:
            read_to_the_end()
        assert offsets == list(range(1, len(offsets) + 1))
        assert int.from_bytes(caught.value.floor) == 20
        following.close()

    @pytest.mark.parametrize("offsets", [{}, {2: 0}, {-1: 0}, {0: 1}])
    def test_what_makes_no_sense_is_refused(
        self, open_log: OpenLog, offsets: dict[int, int]
    ) -> None:
        log = open_log("a", 2)
        with pytest.raises(BadRequest, match="offsets"):
            log.follow(offsets)
