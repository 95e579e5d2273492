"""Python's cyclic garbage collector in a process that holds much for long.

What the product makes has few cycles, but an ingest worker holds hundreds of thousands of edges,
and each full collection walks them all. Left at its defaults the collector took 38 % of the time
in which a worker replayed the Higgs week's first 60,000 activities; with these thresholds 3 %.
"""

import gc
from typing import Final

YOUNG: Final = 50_000
"""Objects made, and not freed, before the young ones are looked at (Python's own: 700)."""
MIDDLE: Final = 20
OLD: Final = 50


def collect_seldom() -> None:
    """Let the collector run seldom in this process."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
