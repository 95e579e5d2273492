"""Versions of rows: where in the log a row came from, and under which band.

`version = band * 2^48 + log_base + offset + 1`. The lower part is `at`:
the same for every row that one event writes. `band` is 0 for what every cell holds, else the epoch
under which the reader's slice arrived in this cell.
"""

import numpy as np

from cell.tables import Versions

BAND_BITS = 15
AT_BITS = 48
BAND_MAX = (1 << BAND_BITS) - 1
AT_MAX = (1 << AT_BITS) - 1

_AT_MASK = np.uint64(AT_MAX)
_AT_SHIFT = np.uint64(AT_BITS)


def at_of_offset(log_base: int, offset: int) -> int:
    """The lower part of the version of what the event at `offset` writes."""
    at = log_base + offset + 1
    if not 0 < at <= AT_MAX:
        raise ValueError(f"log_base {log_base} + offset {offset} leaves the 48 bits of a version")
    return at


def version_of(band: int, at: int) -> int:
    """The version of a row of `band` written by the event `at`."""
    return band << AT_BITS | at


def band_of(version: int) -> int:
    """The band of a version."""
    return version >> AT_BITS


def at_of(version: int) -> int:
    """The lower part of a version."""
    return version & AT_MAX


def floor_of(band: int) -> int:
    """The lowest version of a band: the bound of every read of a reader's rows."""
    return band << AT_BITS


def bands_of(versions: Versions) -> Versions:
    """`band_of` of each."""
    return versions >> _AT_SHIFT


def ats_of(versions: Versions) -> Versions:
    """`at_of` of each."""
    return versions & _AT_MASK
