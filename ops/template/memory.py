"""Memory of a process that holds much for long: when it is looked through, and given back.

What the product makes has few cycles, but an ingest worker holds hundreds of thousands of edges,
and each full collection walks them all. Left at its defaults the collector took 38 % of the time
in which a worker replayed the Higgs week's first 60,000 activities; with these thresholds 3 %.
"""

import contextlib
import ctypes
import gc
from typing import Final

YOUNG: Final = 50_000
"""Objects made, and not freed, before the young ones are looked at (Python's own: 700)."""
MIDDLE: Final = 20
OLD: Final = 50

LARGE_BYTES: Final = 1 << 20
ARENAS: Final = 2
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Of malloc.h, glibc; see mallopt(3)."""


def hold_much() -> None:
    """For this process: let the collector run seldom, and give back what was large at once.

    The arrays of a batch are tens of MiB. glibc learns from the first of them to keep such memory,
    in as many arenas as there are threads.
    """
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    with contextlib.suppress(AttributeError):  # another C library, which has no such call
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_ARENA_MAX, ARENAS)
