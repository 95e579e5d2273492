"""A manual clock and ids in a row, for tests of writes."""

import itertools
from pathlib import Path

from firehose.log_sqlite import SqliteLog
from idgen.ids import compose

NOW_MS = 1_700_000_000_000


class ManualClock:
    """Both clocks, moved by the test."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms

    def pause(self, ms: int) -> None:
        self.ms += ms


class IdsInARow:
    """Ids of the present millisecond, counted; remembers how many were asked for at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._next = itertools.count(compose(NOW_MS, 1, 0))

    def next_ids(self, n: int) -> list[int]:
        self.asked.append(n)
        return list(itertools.islice(self._next, n))


def open_log(folder: Path, partitions: int, name: str = "events") -> SqliteLog:
    return SqliteLog(folder / "log.sqlite", name, partitions, ManualClock())
