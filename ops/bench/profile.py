"""Where processor time goes, by process: what explains a figure."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from ops.bench.stage import Stage

SHOWN_US = 0.05
"""Microseconds below this are not told."""


class Profile:
    """Processor time of a stage's servers and services over trials; clients are not in it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._count = 0.0

    def begin(self) -> dict[str, float]:
        """To be given to `add` when the trial is over."""
        return self._stage.processor_seconds()

    def add(
        self, before: Mapping[str, float], count: float, restarted: Collection[str] = ()
    ) -> None:
        """A trial of `count` things. What was `restarted` in it counts from its beginning."""
        for name, seconds in self._stage.processor_seconds().items():
            self._seconds[name] += seconds - (0.0 if name in restarted else before.get(name, 0.0))
        self._count += count

    def told(self, thing: str) -> str:
        """Microseconds by process for each thing, the most first; and of all together."""
        each = {name: 1e6 * s / max(1.0, self._count) for name, s in self._seconds.items()}
        most = sorted(each.items(), key=lambda item: -item[1])
        parts = [f"{name} {us:,.1f}" for name, us in most if us >= SHOWN_US]
        return (
            f"processor time for each {thing}, clients not counted, in microseconds: "
            f"{sum(each.values()):,.1f}, of which {', '.join(parts)}"
        )
