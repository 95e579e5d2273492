"""Materialization at work: decides again and again whom a cell pushes to, and tells its workers.

It reads what all processes of the cell have counted (cell.activity), decides (cell.deciding), and
appends what differs from what holds to the command log. What holds is in the rows of coverage, so
it has no state of its own: another one may go on at any time, and of two that tell the same the
second changes nothing.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from cell import coverage, keys
from cell.activity import Activity, ActivityRows, Measured, Saving, measured
from cell.commands import NAMED_MAX, Switched, encode
from cell.coverage import Covered
from cell.deciding import HOT_AUTHOR, Deciding, Ruling, Switch
from cell.filling import Filling
from cell.known_coverage import scanned
from cell.materialization import Bounds
from cell.measured_costs import costs_of
from cell.reader_walk import Part, walk_pulled, walk_readers
from cell.residents import Homes, Residents
from cell.stores import CellStores
from idgen.clock import Clock
from idgen.errors import DashcellError
from idgen.ids import U64Array, unspread

_log = structlog.get_logger(__name__)

LOOK_S = 0.5
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class MaterializerSettings:
    """The bounds of the policy; a pass begins each `interval_ms` and reads `rows_per_s` at most
    (0: as many as go)."""

    hot_entries_per_s: float = 10_000
    wide_follows: int = 100_000
    away_ms: int = 30 * DAY_MS
    band: float = 1.5
    interval_ms: int = 60_000
    rows_per_s: int = 100_000

    @property
    def bounds(self) -> Bounds:
        """Those of the policy."""
        return Bounds(self.hot_entries_per_s, self.wide_follows, self.away_ms, self.band)


@dataclass(slots=True)
class MaterializerStats:
    """What was told since it started, and what the last pass found; read by metrics."""

    passes: int = 0
    switches: int = 0
    pass_s: float = 0.0
    pulled_readers: int = 0
    hot_authors: int = 0
    filled: int = 0


class Materializer:
    """`run` is a thread's whole life in every ingest process; it decides only while `acts()`."""

    def __init__(
        self,
        stores: CellStores,
        activity: Activity,
        process: str,
        ruling: Ruling,
        acts: Callable[[], bool],
        clock: Clock,
        settings: MaterializerSettings | None = None,
    ) -> None:
        self._stores = stores
        self._activity = activity
        self._rows = ActivityRows(stores.tables, process, activity.settings)
        self._saving = Saving(activity, self._rows)
        self._filling = Filling(stores)
        self._ruling = ruling
        self._acts = acts
        self._clock = clock
        self._settings = settings or MaterializerSettings()
        self._pass_at_ms = 0
        self._restored = False
        self.stats = MaterializerStats()
        self.costs = costs_of(())
        """By which the last pass has decided."""

    def run(self, stop: threading.Event) -> None:
        """Save and decide until `stop`; then save once more."""
        while not stop.wait(LOOK_S):
            try:
                self.look(stop)
            except DashcellError as error:
                _log.warning("materialization waits", cell=self._stores.name, error=str(error))
        try:
            self._saving.save(self._clock.now_ms())
        except DashcellError as error:
            _log.warning("estimates were not saved", cell=self._stores.name, error=str(error))

    def look(self, stop: threading.Event) -> None:
        """Save if it is time, and make a pass if it is time: decide, and fill who has come back.
        Raises Unavailable."""
        if not self._restored:
            # Of hot authors no follower set is loaded any more that would tell how large it is.
            saved = self._rows.read().values()
            known = measured(saved, self._activity.settings, self._clock.now_ms())
            self._activity.know(known.followers)
            self._restored = True
        self._saving.look(self._clock.now_ms())
        if self._clock.monotonic_ms() >= self._pass_at_ms and self._acts():
            self._pass_at_ms = self._clock.monotonic_ms() + self._settings.interval_ms
            self.decide(stop)
            self.stats.filled += self._filling.fill_all(
                lambda rows: not self._interrupted(stop, rows)
            )

    def decide(self, stop: threading.Event) -> None:
        """One pass over all authors and readers. Raises Unavailable."""
        began_ms, now_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        state = self._stores.state().read([0])[0]
        if state.commands < self._stores.commands.spans()[0].end:
            return  # what was told last is not in the rows yet
        self._saving.save(now_ms)
        known = measured(self._rows.read().values(), self._activity.settings, now_ms)
        self._rows.sweep(now_ms, self._settings.away_ms)
        self.costs = known.costs
        deciding = Deciding(known, self._ruling, self._settings.bounds, now_ms)
        telling = _Telling(self._stores)
        authors, hot = deciding.authors(dict(self._hot()))
        telling.add("authors", authors)
        pulled = 0
        for part in self._parts(known, Residents(state.residents).now(), hot):
            readers, count = deciding.readers(part)
            telling.add("readers", readers)
            telling.add("pairs", deciding.pairs(part))
            self.stats.switches += telling.tell(NAMED_MAX)
            pulled += count
            if self._interrupted(stop, part.rows):
                break
        else:
            self.stats.hot_authors, self.stats.pulled_readers = len(hot), pulled
            self.stats.passes += 1
            self.stats.pass_s = (self._clock.monotonic_ms() - began_ms) / 1000
        self.stats.switches += telling.tell(1)

    def _interrupted(self, stop: threading.Event, rows: int) -> bool:
        """Wait so long as so many rows take; whether to go no further."""
        rows_per_s = self._settings.rows_per_s
        return stop.wait(rows / rows_per_s if rows_per_s else 0) or not self._acts()

    def _parts(self, known: Measured, homes: Homes, hot: U64Array) -> Iterator[Part]:
        """All readers; while nothing can make one pulled, those who are."""
        if self._ruling.any() & ~HOT_AUTHOR or self._ruling.pins():
            return walk_readers(self._stores.tables, homes, known.events_per_s, hot)
        return walk_pulled(self._stores.tables, homes)

    def _hot(self) -> Iterable[tuple[int, Covered]]:
        """The authors who are pulled by all."""
        for rows in scanned(self._stores.tables, keys.CELL, *keys.HOT_KEYS):
            for row in rows:
                covered = coverage.decode(row.value)
                if covered.pulled:
                    yield unspread(keys.place_of(row.key[1:])), covered


class _Telling:
    """Switches on their way to the command log, in commands as large as may be."""

    def __init__(self, stores: CellStores) -> None:
        self._log = stores.commands
        self._waiting: dict[tuple[Switch, str], list[Any]] = {}

    def add(self, field: str, named: Mapping[Switch, Iterable[object]]) -> None:
        """Whom to name in a field of the command."""
        for switch, some in named.items():
            self._waiting.setdefault((switch, field), []).extend(some)

    def tell(self, least: int) -> int:
        """Tell what fills commands that name at least so many; how many were named."""
        told = 0
        for (switch, field), named in self._waiting.items():
            while len(named) >= least:
                some = tuple(named[:NAMED_MAX])
                del named[:NAMED_MAX]
                command = msgspec.structs.replace(
                    Switched(switch.pull, switch.why), **{field: some}
                )
                self._log.append([(0, encode(command))])
                told += len(some)
        return told
