"""`make higgs`: the whole Higgs week through the product, on real servers of this machine.

Prints posts, deliveries, seconds by stage, the lag at its worst, and the memory of every process.
One run on one machine is an observation: quote it with the machine, and never as a bound.
"""

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cell.dashboard import Context
from idgen.clock import SystemClock
from idgen.errors import NotFound
from ops.bench.processes import metric_sum, resident_mib
from ops.config import load_config
from ops.higgs import Recording, activities, edges, recording, sample
from ops.load_journal import Journal, fingerprint
from ops.loader import Loader, Source
from ops.metrics import ROWS_WRITTEN
from ops.running_stack import RunningStack
from ops.stack.state import read_state

LOOK_S = 0.5
DEADLINE_MS = 60_000


@dataclass(slots=True)
class Outcome:
    """What a run has shown. Seconds by stage; memory in MiB by process; lag in seconds."""

    cells: int
    follows: int = 0
    posts: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    stages_s: dict[str, float] = field(default_factory=dict)
    lag_s_max: float = 0.0
    memory_mib: dict[str, int] = field(default_factory=dict)


class Run:
    """One run on a platform of its own, in a folder that is deleted afterwards."""

    def __init__(self, running: RunningStack, folder: Path, cells: int) -> None:
        self._running = running
        self._folder = folder
        self.outcome = Outcome(cells)

    def load(self, week: Recording, limit: int | None) -> None:
        """Bring everything, stage by stage, each until every cell has applied it."""
        platform = self._running.platform
        source = Source(
            platform.dashboard(),
            platform.take_ids,
            self._caught_up,
            SystemClock(),
            Context(DEADLINE_MS),
        )
        mark = fingerprint([*week.edges, week.activity])
        with Journal(self._folder / "journal.jsonl", mark) as journal:
            loader = Loader(source, journal)
            self._stage("follows appended", lambda: loader.follows(edges(week.edges)))
            self._stage("follows applied", self._wait)
            self._stage("posts appended", lambda: loader.posts(activities(week.activity, limit)))
            self._stage("posts applied", self._wait)
        self.outcome.follows = loader.counts.follows
        self.outcome.posts = loader.counts.posts
        self.outcome.rows = self._rows()
        self.outcome.memory_mib = self._memory()

    def _stage(self, name: str, work: Callable[[], None]) -> None:
        print(f"higgs: {name} ...", file=sys.stderr)
        began = time.monotonic()
        work()
        self.outcome.stages_s[name] = round(time.monotonic() - began, 1)

    def _caught_up(self) -> bool:
        cells = self._running.platform.status().cells
        lags = [cell.lag_s for cell in cells if cell.lag_s is not None]
        self.outcome.lag_s_max = max([self.outcome.lag_s_max, *lags])
        return all(p.low >= p.end for cell in cells for p in cell.positions)

    def _wait(self) -> None:
        pause = threading.Event()
        while not self._caught_up():
            pause.wait(LOOK_S)

    def _rows(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for service in self._running.platform.status().services:
            if service.name.startswith("ingest"):
                rows = int(metric_sum(service.admin, ROWS_WRITTEN))
                found[service.name] = found.get(service.name, 0) + rows
        return found

    def _memory(self) -> dict[str, int]:
        recorded = read_state(self._folder)
        assert recorded is not None, "the platform runs"
        return {child.name: resident_mib(child.process.pid) for child in recorded.children}


def report(outcome: Outcome) -> str:
    """The outcome for people."""
    lines = [
        f"{outcome.follows} follows, {outcome.posts} posts, {outcome.cells} cell(s)",
        *(f"  {name:18} {seconds:8.1f} s" for name, seconds in outcome.stages_s.items()),
        f"  worst lag seen     {outcome.lag_s_max:8.1f} s",
        "rows written:",
        *(f"  {name:18} {rows:10}" for name, rows in outcome.rows.items()),
        "memory, MiB:",
        *(f"  {name:22} {mib:6}" for name, mib in outcome.memory_mib.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Run once, and print."""
    parser = argparse.ArgumentParser(prog="make higgs", description=__doc__)
    parser.add_argument("--week", type=Path, help="the folder of the Higgs data set")
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--limit", type=int, help="only so many activities")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        week = recording(arguments.week) if arguments.week else sample()
    except NotFound as error:
        print(f"higgs: {error}; the shipped sample is taken", file=sys.stderr)
        week = sample()
    folder = Path(tempfile.mkdtemp(prefix="dashcell-higgs-"))
    overrides = {
        "platform.data": str(folder),
        "platform.profile": "stack",
        "platform.cells": arguments.cells,
    }
    running = RunningStack(load_config(overrides=overrides), lambda _: None)
    try:
        run = Run(running, folder, arguments.cells)
        run.load(week, arguments.limit)
        print(json.dumps(asdict(run.outcome)) if arguments.json else report(run.outcome))
    finally:
        running.platform.close()
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
