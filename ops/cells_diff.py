"""Whether two cells hold the same posts, while both go on applying events.

The key space is walked once, in both cells side by side and in bounded pieces; the digests of the
pieces add up to those of sixteen ranges. Rows that are not the same when they are read are read
again after both cells have applied a common end of the log (`cell.post_compare`).
"""

from itertools import pairwise

from cell import keys
from cell.post_compare import Digest, PostDifference, compare_posts, settle_posts
from cell.reader_sample import Range
from cell.stores import CellStores
from idgen.errors import Unavailable
from ops.applied_end import Pause, events_left, system_pause
from ops.checks_port import CellsDiff, PostsOfRange, Steps

RANGES = 16
PIECE_ROWS = 5_000
SUSPECTS_AT_ONCE = 2_000
"""So many rows that differ are settled before the walk goes on."""
KEPT_MAX = 1_000
"""Differences beyond these are counted only."""
ROUNDS_MAX = 20
WAIT_S = 30.0
STEPS = 1_000


class CellsComparison:
    """One comparison of two cells of one platform."""

    def __init__(self, a: CellStores, b: CellStores, pause: Pause = system_pause) -> None:
        self._a = a
        self._b = b
        self._pause = pause
        self._suspects: list[bytes] = []
        self._kept: list[PostDifference] = []
        self._by_range: list[int] = []
        self._ranges: list[Range] = []

    def compare(self, within: Range, moved_on: Steps) -> CellsDiff:
        """Compare what both hold of the authors in a range of places.

        Raises Unavailable when one of them does not come to the end of the log.
        """
        self._wait(self._a.ends())
        self._ranges = _cut(within)
        self._by_range = [0] * len(self._ranges)
        digests = [self._walk(each, within, moved_on) for each in self._ranges]
        for _ in range(ROUNDS_MAX):
            if not self._suspects:
                break
            self._settle()
        ranges = (
            PostsOfRange(*each, *pair, differences)
            for each, pair, differences in zip(self._ranges, digests, self._by_range, strict=True)
        )
        return CellsDiff(
            self._a.name,
            self._b.name,
            tuple(ranges),
            tuple(self._kept),
            sum(self._by_range),
            len(self._suspects),
        )

    def _walk(self, part: Range, within: Range, moved_on: Steps) -> tuple[Digest, Digest]:
        mine, other = Digest(), Digest()
        start, stop = keys.place_bytes(part[0]), keys.after_prefix(part[1])
        while start:
            place = keys.place_of(start)
            moved_on((place - within[0]) * STEPS // (within[1] - within[0] + 1), STEPS)
            piece = compare_posts(self._a.tables, self._b.tables, start, stop, PIECE_ROWS)
            mine, other = mine.plus(piece.source), other.plus(piece.target)
            self._suspects += piece.suspects
            if len(self._suspects) >= SUSPECTS_AT_ONCE:
                self._settle()
            start = piece.next_key
        moved_on((part[1] + 1 - within[0]) * STEPS // (within[1] - within[0] + 1), STEPS)
        return mine, other

    def _settle(self) -> None:
        ends = self._a.ends()
        self._wait(ends)
        real, self._suspects = settle_posts(
            self._a.tables, self._b.tables, self._suspects, ends, self._a.log_base
        )
        for each in real:
            place = keys.place_of(each.key)
            index = next(i for i, (_, last) in enumerate(self._ranges) if place <= last)
            self._by_range[index] += 1
        self._kept += real[: KEPT_MAX - len(self._kept)]

    def _wait(self, ends: tuple[int, ...]) -> None:
        left = events_left([self._a, self._b], ends, WAIT_S, self._pause)
        if left:
            told = " and ".join(f"cell {name} has {count:,}" for name, count in left.items())
            raise Unavailable(
                f"after {WAIT_S:.0f} s {told} events to apply of what both must have applied to be "
                "compared: see `cellctl status`"
            )


def _cut(within: Range) -> list[Range]:
    """RANGES parts of one width; fewer, where there are not so many places."""
    width = within[1] - within[0] + 1
    count = min(RANGES, width)
    bounds = [within[0] + width * i // count for i in range(count + 1)]
    return [(low, high - 1) for low, high in pairwise(bounds)]
