"""Readers picked evenly over ranges of the key space, the same ones for the same seed.

The ranges are cut into windows of one width, from a place that the seed gives. Readers are taken
from them in turns: the first of each window, then the second of each, and so on. Users lie in the
key space by a spread of their ids, so that this is a fair sample of them.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from random import Random
from typing import NamedTuple

from cell import keys
from cell.tables import Tables
from idgen.ids import MAX_USER, unspread

SAMPLED_MAX = 10_000
SHARE_WINDOWS = 64
FOUND_BY = (keys.FOLLOWING, keys.INBOX, keys.MARKS)
"""Tables keyed by a reader's place: who has a row in none of them has nothing to be looked at."""

Range = tuple[int, int]
"""Places start..last, both included."""


class Sample(NamedTuple):
    """How many readers; or, with a `share` above 0, all readers of such a part of the key space,
    up to SAMPLED_MAX."""

    readers: int = 20
    share: float = 0.0


def sample_readers(tables: Tables, homed: Sequence[Range], sample: Sample, seed: int) -> list[int]:
    """The readers of a sample, in the order of their places; at most SAMPLED_MAX.

    `homed`: disjoint ranges in order.
    """
    most = SAMPLED_MAX if sample.share else min(sample.readers, SAMPLED_MAX)
    turns = [_readers(tables, window) for window in windows(homed, sample, seed)]
    found: set[int] = set()
    while turns and len(found) < most:
        going: list[Iterator[int]] = []
        for turn in turns:
            place = next(turn, None)
            if place is not None and len(found) < most:
                found.add(place)
                going.append(turn)
        turns = going
    readers = (unspread(place) for place in sorted(found))
    return [reader for reader in readers if 0 < reader <= MAX_USER]


def windows(homed: Sequence[Range], sample: Sample, seed: int) -> list[list[Range]]:
    """The windows of a sample: of each the ranges that it lies on."""
    width = sum(last - start + 1 for start, last in homed)
    if not width:
        return []
    count = min(width, SHARE_WINDOWS if sample.share else sample.readers)
    first = Random(seed).randrange(width)
    bounds = [first + width * i // count for i in range(count + 1)]
    if 0 < sample.share < 1:
        each = max(1, int(width * sample.share) // count)
        return [_on(homed, begin, begin + each, width) for begin in bounds[:-1]]
    return [_on(homed, *pair, width) for pair in pairwise(bounds)]


def _on(homed: Sequence[Range], begin: int, end: int, width: int) -> list[Range]:
    """The ranges under [begin, end), counted in places of `homed`; past their end from the first
    one on."""
    begin, end = begin % width, begin % width + end - begin
    if end > width:
        return [*_on(homed, begin, width, width), *_on(homed, 0, end - width, width)]
    after = list(accumulate(last - start + 1 for start, last in homed))
    found = []
    for (start, last), until in zip(homed, after, strict=True):
        before = until - (last - start + 1)
        low, high = max(begin, before), min(end, until)
        if low < high:
            found.append((start + low - before, start + high - 1 - before))
    return found


def _readers(tables: Tables, window: Sequence[Range]) -> Iterator[int]:
    """The places of those who have rows there, one after the other."""
    for start, last in window:
        place = start
        while place <= last:
            rows = [
                row
                for table in FOUND_BY
                for row in tables.scan(table, keys.place_bytes(place), keys.after_prefix(last), 1)
            ]
            if not rows:
                break
            found = min(keys.place_of(row.key) for row in rows)
            yield found
            place = found + 1
