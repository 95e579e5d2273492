"""Reading the firehose by single calls: each begins at a place, and says where the next begins.

The pass over the log that a call leaves behind is kept for a while, for the call that goes on
there: on real servers opening one costs more than reading a thousand events. It is a cache and no
more: any server answers any call.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from firehose.access import Client
from firehose.cursor import Cursor
from firehose.event import Event
from firehose.log import Log, Record
from firehose.places import parse_past_place, resolve
from firehose.reading import Reading
from firehose.receipts import Context
from firehose.selection import Selection
from idgen.clock import Clock
from idgen.errors import BadRequest, CursorTooOld, Throttled

LIMIT_MAX = 1_000
BYTES_MAX = 4 << 20
"""An answer ends with the event that exceeds this. Clients of Apache's take frames of 16 MB."""
READS_MAX = 64
"""Reads under way at once, most of which wait; so others are never out of a server's threads."""
WAIT_MS_MAX = 5_000
"""A call that waits is ended after so long, whatever it says: a server that stops waits for it."""
KEPT_MAX = 16
KEPT_MS = 30_000
POLL_RECORDS = 64
_RETRY_MS = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call wants: from a place (a text as of `firehose.places`) up to `limit` events; where
    there is none yet, it waits for the first up to `wait_ms`, at most WAIT_MS_MAX."""

    start: str
    selection: Selection
    limit: int
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """Events in the order of their offsets in each partition, and the cursor that goes on there.

    `at_end`: all that was in the log when the call began has been looked at.
    """

    events: Sequence[tuple[Record, Event | str]]
    cursor: str
    at_end: bool


class Reads:
    """Answers reads of one log; for any number of threads."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._reading: Counter[str] = Counter()
        self._kept = _Kept(clock)

    def read(self, ctx: Context, client: Client, asked: Asked) -> Found:
        """One call, within nine tenths of its deadline, so that its answer arrives too.

        Raises BadRequest(start|partitions|limit|wait_ms), CursorTooOld with the oldest cursor as
        its floor, Throttled for more reads at once than the client may have streams, Unavailable.
        """
        began = self._clock.monotonic_ms()
        if not 1 <= asked.limit <= LIMIT_MAX:
            raise BadRequest("limit", f"{asked.limit} is not between 1 and {LIMIT_MAX}")
        if asked.wait_ms < 0:
            raise BadRequest("wait_ms", f"{asked.wait_ms} is below 0")
        until = began + ctx.deadline_ms - ctx.deadline_ms // 10
        with self._counted(client):
            ends = [span.end for span in self._log.spans()]
            reading = self._kept.take(asked.start, asked.selection) or self._opened(asked)
            try:
                found, whole = self._collected(reading, asked, ends, began, until)
            except CursorTooOld:
                cursor = reading.cursor
                reading.close()
                resolve("start", cursor, self._log, cursor.offsets)  # tells the floor as a cursor
                raise
            except BaseException:
                reading.close()
                raise
            if whole:
                self._kept.keep(found.cursor, asked.selection, reading)
            else:
                reading.close()
            return found

    def close(self) -> None:
        """Let go of what is kept."""
        self._kept.close()

    @contextmanager
    def _counted(self, client: Client) -> Iterator[None]:
        name = client.name
        with self._lock:
            if self._reading.total() >= READS_MAX:
                raise Throttled(f"{READS_MAX} reads are under way at this server", _RETRY_MS)
            if self._reading[name] >= client.streams_max:
                raise Throttled(
                    f"client {name} may read {client.streams_max} times at once", _RETRY_MS
                )
            self._reading[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._reading[name] -= 1
                if not self._reading[name]:
                    del self._reading[name]

    def _opened(self, asked: Asked) -> Reading:
        wanted = asked.selection.partitions(self._log.partitions)
        place = parse_past_place("start", asked.start, self._clock)
        return Reading(self._log, asked.selection, resolve("start", place, self._log, wanted))

    def _collected(
        self, reading: Reading, asked: Asked, ends: Sequence[int], began: int, until: int
    ) -> tuple[Found, bool]:
        """What is found, and whether it is all that was taken from the log."""
        events: list[tuple[Record, Event | str]] = []
        size = 0
        while len(events) < asked.limit and size < BYTES_MAX:
            at_end = _at_end(reading.cursor, ends)
            if at_end and events:
                break
            last = min(until, began + min(asked.wait_ms, WAIT_MS_MAX)) if at_end else until
            left_ms = last - self._clock.monotonic_ms()
            if left_ms <= 0:
                break
            batch = reading.read(min(POLL_RECORDS, asked.limit - len(events)), left_ms)
            events += batch.events
            size += sum(len(record.value) for record, _ in batch.events)
        cursor, given = reading.cursor, _within(events)
        if given < len(events):
            before = {record.partition: record.offset for record, _ in reversed(events[given:])}
            cursor = replace(cursor, offsets={**cursor.offsets, **before})
        found = Found(events[:given], cursor.text(), _at_end(cursor, ends))
        return found, given == len(events)


def _at_end(cursor: Cursor, ends: Sequence[int]) -> bool:
    return all(offset >= ends[p] for p, offset in cursor.offsets.items())


def _within(events: Sequence[tuple[Record, Event | str]]) -> int:
    """How many of them are an answer: up to the one that exceeds BYTES_MAX."""
    size = 0
    for count, (record, _) in enumerate(events, 1):
        size += len(record.value)
        if size >= BYTES_MAX:
            return count
    return len(events)


class _Kept:
    """Passes by where they stand, each for the one call that goes on there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._readings: OrderedDict[tuple[str, Selection], tuple[Reading, int]] = OrderedDict()

    def take(self, cursor: str, selection: Selection) -> Reading | None:
        """The pass that stands there, if there is one; whose it is from now on."""
        with self._lock:
            found = self._readings.pop((cursor, selection), None)
            stale = self._stale(KEPT_MAX)
        _close(stale)
        return found[0] if found else None

    def keep(self, cursor: str, selection: Selection, reading: Reading) -> None:
        """Keep a pass that stands there."""
        with self._lock:
            before = self._readings.pop((cursor, selection), None)
            self._readings[cursor, selection] = (reading, self._clock.monotonic_ms())
            stale = self._stale(KEPT_MAX)
        _close([*stale, *([before[0]] if before else [])])

    def close(self) -> None:
        with self._lock:
            stale = self._stale(0)
        _close(stale)

    def _stale(self, most: int) -> list[Reading]:
        """Take out those kept for too long, and the oldest above so many."""
        since = self._clock.monotonic_ms() - KEPT_MS
        found = []
        while self._readings:
            oldest, (reading, kept_ms) = next(iter(self._readings.items()))
            if len(self._readings) <= most and kept_ms >= since:
                break
            del self._readings[oldest]
            found.append(reading)
        return found


def _close(readings: Sequence[Reading]) -> None:
    for reading in readings:
        reading.close()
