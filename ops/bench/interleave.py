"""Trials of several sides in turns: A B C, A B C, and so on, after a warm-up of each.

What else the machine does (a compaction, a neighbour, a warmer JVM) then falls on all sides alike,
and a ratio is taken within a round, between trials that lie seconds apart.
"""

import gc
from collections.abc import Callable, Sequence

from ops.bench.measure import PRODUCT, Side, Trials

Progress = Callable[[str], None]


def interleave(sides: Sequence[Side], rounds: int, progress: Progress, warm_ups: int = 1) -> Trials:
    """`rounds` figures of every side; those of `warm_ups` rounds before are not kept.

    A peer whose trial raises is left out from then on, with the reason, and what it had measured
    is dropped: half of a comparison is none. What the product's own trial raises is raised.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: at least one figure is needed")
    trials = Trials({side.name: [] for side in sides})
    for number in range(-warm_ups, rounds):
        label = f"round {number + 1} of {rounds}" if number >= 0 else "warm-up"
        for side in sides:
            if side.name in trials.absent:
                continue
            gc.collect()  # none of a trial's time goes into what the one before left behind
            figure = _tried(side, trials)
            if figure is not None:
                progress(f"{label}: {side.name} {figure:,.4g}")
                if number >= 0:
                    trials.by_side[side.name].append(figure)
    return trials


def _tried(side: Side, trials: Trials) -> float | None:
    if side.name == PRODUCT:
        return side.trial()
    try:
        return side.trial()
    except Exception as error:  # noqa: BLE001 - a peer is foreign code; the report tells why
        trials.absent[side.name] = f"{type(error).__name__}: {error}"
        trials.by_side.pop(side.name, None)
        return None
