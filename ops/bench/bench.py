"""What measures share in one run: the stage of now, how long to measure, whom to tell."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ops.bench.interleave import interleave
from ops.bench.load import Crowd, Week, crowd, higgs_week
from ops.bench.measure import Figure, Measure, Side, Trials, figures_of
from ops.bench.peers_of_stage import PeersOfStage
from ops.bench.stage import Stage
from ops.stack.jars import ensure_jars

THOUSAND = "thousand"
TEN_THOUSAND = "ten thousand"
AVERAGE = "average"
READERS = "readers"
DEEP = "deep"
MILLION = "million"

_SHAPES = {
    # authors, followers of each, readers to draw them from, place
    THOUSAND: (50, 1_000, 50_000, 1),
    TEN_THOUSAND: (10, 10_000, 100_000, 2),
    AVERAGE: (40, 300, 10_000, 3),
    READERS: (200, 200, 2_000, 4),
    DEEP: (1, 10, 10, 5),
    MILLION: (1, 1_000_000, 1_000_000, 6),
}
_GRAPH = (THOUSAND, TEN_THOUSAND, AVERAGE, READERS, DEEP)
"""What every stage with a graph has; a million edges are planted for who needs them."""
_QUICK_GRAPH = (THOUSAND, READERS, DEEP)


def crowd_of(shape: str) -> Crowd:
    """One of the crowds, the same ones in every run."""
    authors, followers, population, place = _SHAPES[shape]
    return crowd(authors, followers, population, place)


@dataclass(frozen=True, slots=True)
class Curve:
    """A plot: x and y of some lines by name."""

    title: str
    file: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]


@dataclass(slots=True)
class Bench:
    """One run. `quick` measures less often and for shorter, and a part only."""

    quick: bool
    cache: Path
    week_folder: Path | None
    curves: list[Curve] = field(default_factory=list)
    _stage: tuple[str, Stage, PeersOfStage] | None = None
    _began: float = field(default_factory=time.monotonic)

    def tell(self, line: str) -> None:
        """Say how far it is, on stderr."""
        print(f"bench {time.monotonic() - self._began:6.0f} s: {line}", file=sys.stderr)

    def stage(self, name: str) -> Stage:
        """The stage of this name: the one that runs, or a new one after that was stopped."""
        return self._on(name)[1]

    def peers(self, name: str) -> PeersOfStage:
        """The peers on the stage of this name."""
        return self._on(name)[2]

    def graph(self) -> Stage:
        """A stage with all crowds but the million."""
        known = self._stage
        if known is not None and known[0] == "graph":
            return known[1]
        stage = self.stage("graph")
        self.tell("planting follows")
        stage.stop_ingest()
        for shape in _QUICK_GRAPH if self.quick else _GRAPH:
            group = crowd_of(shape)
            stage.plant_follows(group.authors, list(group.followers))
        stage.start_ingest()
        return stage

    def week(self) -> Week:
        """The Higgs week; a quick run takes the sample."""
        return higgs_week(None if self.quick else self.week_folder)

    def hbase_jars(self) -> Path:
        """The folder of the jars that HBase runs on."""
        return ensure_jars(self.cache, self.tell).hbase

    def compare(self, measure: Measure, rounds: int, quick_rounds: int = 3) -> list[Figure]:
        """Trials of all sides of a measure in turns, and their figures."""
        return figures_of(measure, self.trials(measure.sides, rounds, quick_rounds))

    def trials(
        self, sides: Sequence[Side], rounds: int, quick_rounds: int = 3, warm_ups: int = 1
    ) -> Trials:
        """Trials of sides in turns."""
        return interleave(sides, quick_rounds if self.quick else rounds, self.tell, warm_ups)

    def close(self) -> None:
        """Stop the stage and its peers."""
        if self._stage is not None:
            _, stage, peers = self._stage
            self._stage = None
            self.tell("stopping the stack")
            peers.close()
            stage.close()

    def _on(self, name: str) -> tuple[str, Stage, PeersOfStage]:
        if self._stage is None or self._stage[0] != name:
            self.close()
            stage = Stage(self.tell)
            self._stage = (name, stage, PeersOfStage(stage, self.cache, self.tell))
        return self._stage
