"""What the processes of a cell count and measure: authors' events, readers' pages, what both cost.

Each process counts for itself and saves all of it now and then, under its own name, in rows of the
cell table: so it survives restarts, and one process can read the counts of all of them. The rows
of processes that are long gone are swept once what they say has decayed.
"""

import struct
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from cell import keys
from cell.materialization import Costs
from cell.measured_costs import CostMeter, CostSums, costs_of
from cell.rates import Floats, Rates, RatesUnreadable
from cell.tables import VERSION_MAX, Row, Tables
from idgen.ids import U64Array

FORMAT: Final = 1
PART_BYTES: Final = 900_000
NEW_PAGES_MAX: Final = 100_000
"""Pages between two looks; more are not counted."""
PROCESSES_MAX: Final = 64
"""Whose rows are kept; beyond, those that were saved longest ago go."""
KEPT_HALF_LIVES: Final = 16
GRAIN: Final = 32
"""Events are counted as of a time that is wrong by at most so small a part of a half-life."""
SCAN_ROWS: Final = 8
"""Of up to PART_BYTES each."""
_PARTS = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class ActivitySettings:
    """Half-lives of the estimates and how many keys have one (24 bytes each, of each kind)."""

    events_half_life_ms: int = 3_600_000
    pages_half_life_ms: int = 86_400_000
    costs_half_life_ms: int = 600_000
    counters_max: int = 200_000
    save_interval_ms: int = 60_000


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """What a process has saved. `since_ms`: since when pages are recorded, 0: they are not.
    `authors` (u64) and `followers` (u32): how many followers authors were last known to have."""

    format: int
    at_ms: int
    since_ms: int
    events: bytes
    pages: bytes
    authors: bytes
    followers: bytes
    costs: CostSums


_DECODER: msgspec.msgpack.Decoder[Saved] = msgspec.msgpack.Decoder(Saved)


class Activity:
    """What one process counts; used by many threads."""

    def __init__(self, settings: ActivitySettings | None = None) -> None:
        self.settings = settings or ActivitySettings()
        self.costs = CostMeter(self.settings.costs_half_life_ms)
        self._events = Rates(self.settings.events_half_life_ms, self.settings.counters_max)
        self._pages = Rates(self.settings.pages_half_life_ms, self.settings.counters_max)
        self._followers: dict[int, int] = {}
        self._brought: Mapping[int, int] = {}
        self._since_ms = 0
        self._new_pages: deque[int] = deque(maxlen=NEW_PAGES_MAX)
        self._lock = threading.Lock()

    def page(self, reader: int) -> None:
        """A reader (by place) was shown a page; it is counted by the next `fold`."""
        self._new_pages.append(reader)

    def fold(self, now_ms: int) -> None:
        """Count the new pages; what is called after it began is recorded from then on."""
        with self._lock:
            self._since_ms = self._since_ms or now_ms
            new = [self._new_pages.popleft() for _ in range(len(self._new_pages))]
            if new:
                self._pages.add(np.array(new, dtype=np.uint64), now_ms)

    def posted(self, events: Sequence[tuple[int, int]], followers: Mapping[int, int]) -> None:
        """Events (author, when in ms) were applied; how many followers some authors have."""
        if not events:
            return
        grain = max(1, self.settings.events_half_life_ms // GRAIN)
        by_time: dict[int, list[int]] = {}
        for author, at_ms in events:
            by_time.setdefault(at_ms // grain, []).append(author)
        newest = dict.fromkeys(by_time, 0)
        for _, at_ms in events:
            newest[at_ms // grain] = max(newest[at_ms // grain], at_ms)
        with self._lock:
            for grain_no in sorted(by_time):
                self._events.add(np.array(by_time[grain_no], dtype=np.uint64), newest[grain_no])
            self._followers.update(followers)
            if len(self._followers) > 2 * self.settings.counters_max:
                self._forget_followers()

    def followers(self, author: int) -> int:
        """How many followers an author was last known to have here; 0: never known."""
        return self._followers.get(author) or self._brought.get(author, 0)

    def know(self, followers: Mapping[int, int]) -> None:
        """Take over what others knew of authors that are not known here."""
        self._brought = followers

    def saved(self, now_ms: int) -> Saved:
        """All of it."""
        with self._lock:
            self._forget_followers()
            known = {a: self.followers(a) for a in self._events.keys.tolist()}
            authors = np.array([a for a in known if known[a]], dtype="<u8")
            counts = [known[author] for author in authors.tolist()]
            return Saved(
                FORMAT,
                now_ms,
                self._since_ms,
                self._events.saved(),
                self._pages.saved(),
                authors.tobytes(),
                np.array(counts, dtype="<u4").tobytes(),
                self.costs.sums(now_ms),
            )

    def _forget_followers(self) -> None:
        """Keep those of authors who are counted."""
        counted = set(self._events.keys.tolist())
        self._followers = {a: n for a, n in self._followers.items() if a in counted}


class Column:
    """A number for each of many keys; 0 for others."""

    def __init__(self, names: U64Array, values: Floats) -> None:
        """Those of a key that is there more than once are added up."""
        self.names, where = np.unique(names, return_inverse=True)
        self.values = np.bincount(where, weights=values, minlength=len(self.names))

    def of(self, names: U64Array) -> Floats:
        """The number of each."""
        if not len(self.names):
            return np.zeros(len(names))
        i = np.minimum(np.searchsorted(self.names, names), len(self.names) - 1)
        return np.where(self.names[i] == names, self.values[i], 0.0)


class Measured(NamedTuple):
    """What all processes of a cell know together: by author events/s and followers, by reader's
    place pages/s and when the last one was, since when pages are recorded (0: not), the costs."""

    events_per_s: Column
    followers: Mapping[int, int]
    pages_per_s: Column
    last_page_ms: Column
    since_ms: int
    costs: Costs


class ActivityRows:
    """The rows in which a cell's processes save; used by one thread. Every verb may raise
    Unavailable."""

    def __init__(self, tables: Tables, process: str, settings: ActivitySettings) -> None:
        self._tables = tables
        self._process = process
        self._settings = settings
        self._version = 0
        self._kept: dict[str, Saved] = {}

    def save(self, saved: Saved) -> None:
        """Write what this process knows in place of what it had saved."""
        data = msgspec.msgpack.encode(saved)
        parts = [data[i : i + PART_BYTES] for i in range(0, len(data), PART_BYTES)]
        self._version = min(max(self._version + 1, saved.at_ms), VERSION_MAX)
        head = _PARTS.pack(len(parts))
        for i, part in enumerate(parts):
            key = keys.activity_key(self._process, i)
            self._tables.put(keys.CELL, [Row(key, self._version, head + part)])

    def read(self) -> dict[str, Saved]:
        """What each process has saved; where one is being written, what was read before."""
        rows = self._rows()
        found: dict[str, Saved] = {}
        for process, parts in rows.items():
            saved = _joined(parts) or self._kept.get(process)
            if saved is not None:
                found[process] = saved
        self._kept = found
        return found

    def sweep(self, now_ms: int, kept_ms: int) -> None:
        """Forget processes that have saved nothing for long: what they say has decayed."""
        half_lives = max(self._settings.events_half_life_ms, self._settings.pages_half_life_ms)
        kept_ms = max(kept_ms, KEPT_HALF_LIVES * half_lives)
        by_age = sorted(self._kept.items(), key=lambda each: -each[1].at_ms)
        old = {name for name, saved in by_age if saved.at_ms < now_ms - kept_ms}
        old |= {name for name, _ in by_age[PROCESSES_MAX:]}
        old.discard(self._process)
        if old:
            rows = self._rows()
            self._tables.sweep(
                keys.CELL,
                [(r.key, r.version) for name in old for r in rows.get(name, {}).values()],
            )

    def _rows(self) -> dict[str, dict[int, Row]]:
        found: dict[str, dict[int, Row]] = {}
        start, stop = keys.ACTIVITY_KEYS
        while True:
            rows = self._tables.scan(keys.CELL, start, stop, SCAN_ROWS)
            for row in rows:
                process, part = keys.parse_activity(row.key)
                found.setdefault(process, {})[part] = row
            if len(rows) < SCAN_ROWS:
                return found
            start = rows[-1].key + b"\0"


def _joined(parts: Mapping[int, Row]) -> Saved | None:
    """What was saved in parts; None where they are not of one save, or of a newer format."""
    first = parts.get(0)
    if first is None:
        return None
    count = _PARTS.unpack_from(first.value)[0]
    rows = [parts.get(i) for i in range(count)]
    data = b"".join(r.value[_PARTS.size :] for r in rows if r and r.version == first.version)
    try:
        saved = _DECODER.decode(data)
    except (msgspec.DecodeError, ValueError):
        return None
    return saved if saved.format == FORMAT else None


def measured(
    all_saved: Iterable[Saved], settings: ActivitySettings, now_ms: int
) -> Measured:
    """What some processes have saved, put together as of now."""
    in_order = sorted(all_saved, key=lambda saved: saved.at_ms)
    events = [_rates(s.events, settings.events_half_life_ms, settings) for s in in_order]
    pages = [_rates(s.pages, settings.pages_half_life_ms, settings) for s in in_order]
    followers: dict[int, int] = {}
    for saved in in_order:  # the newest are right
        authors = np.frombuffer(saved.authors, "<u8").tolist()
        followers.update(zip(authors, np.frombuffer(saved.followers, "<u4").tolist(), strict=True))
    return Measured(
        _per_s(events, now_ms),
        followers,
        _per_s(pages, now_ms),
        _newest(pages),
        min((s.since_ms for s in in_order if s.since_ms), default=0),
        costs_of(s.costs.decayed(now_ms, settings.costs_half_life_ms) for s in in_order),
    )


def _rates(data: bytes, half_life_ms: int, settings: ActivitySettings) -> Rates:
    rates = Rates(half_life_ms, settings.counters_max)
    with suppress(RatesUnreadable):  # begin without
        rates.load(data)
    return rates


def _per_s(all_rates: Sequence[Rates], now_ms: int) -> Column:
    names = _joined_keys(all_rates)
    values = [rates.per_s(rates.keys, now_ms) for rates in all_rates]
    return Column(names, np.concatenate([np.zeros(0), *values]))


def _newest(all_rates: Sequence[Rates]) -> Column:
    """The last time of each key: times are exact in a float for 285,000 years."""
    names = np.unique(_joined_keys(all_rates))
    newest: npt.NDArray[np.int64] = np.zeros(len(names), np.int64)
    for rates in all_rates:
        newest = np.maximum(newest, rates.last_ms(names))
    return Column(names, newest.astype(np.float64))


def _joined_keys(all_rates: Sequence[Rates]) -> U64Array:
    return np.concatenate([np.zeros(0, np.uint64), *(rates.keys for rates in all_rates)])


class Saving:
    """Saves what a process counts each `save_interval_ms`, and when it is told to."""

    def __init__(self, activity: Activity, rows: ActivityRows) -> None:
        self._activity = activity
        self._rows = rows
        self._saved_ms: int | None = None

    def look(self, now_ms: int) -> None:
        """Save if it is time. The first look only begins: what is there is saved by others."""
        if self._saved_ms is None:
            self._saved_ms = now_ms
        elif abs(now_ms - self._saved_ms) >= self._activity.settings.save_interval_ms:
            self.save(now_ms)

    def save(self, now_ms: int) -> None:
        """Save now. Raises Unavailable."""
        self._saved_ms = now_ms
        self._rows.save(self._activity.saved(now_ms))
