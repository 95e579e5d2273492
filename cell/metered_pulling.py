"""What pulling costs: `cell.pulling` with its time taken, page by page."""

import heapq
import threading
import time
from collections.abc import Iterator

from cell.freshness import Freshness
from cell.lane_scan import LiveEntry, Range, Reader, Seen
from cell.measured_costs import CostMeter
from cell.page_coverage import Pulled
from cell.pulling import LookUp, Pulling
from cell.snapshot import Snapshot
from cell.tables import Tables


class MeteredPulling(Pulling):
    """Used by many threads; each makes one page at a time."""

    def __init__(
        self, tables: Tables, partitions: int, freshness: Freshness, meter: CostMeter
    ) -> None:
        super().__init__(tables, partitions, freshness)
        self._meter = meter
        self._page = threading.local()

    def look_up(self, reader: Reader, pulled: Pulled | None, asof: Snapshot) -> LookUp | None:
        """What a page of a reader has to look up; None: all was pushed."""
        if pulled is None:
            return None
        began_s = time.perf_counter()
        found = super().look_up(reader, pulled, asof)
        self._page.look_up_s = time.perf_counter() - began_s
        return found

    def entries(
        self, look_up: LookUp, within: Range, wanted: int
    ) -> list[Iterator[LiveEntry | Seen]]:
        """The entries of a range that were not pushed, in its order; one may come twice."""
        return [self._metered(look_up, within, wanted, self._page.look_up_s)]

    def _metered(
        self, look_up: LookUp, within: Range, wanted: int, seconds: float
    ) -> Iterator[LiveEntry | Seen]:
        """All of them, until nobody asks for more: then the page is done."""
        posts = 0
        began_s = time.perf_counter()
        streams = super().entries(look_up, within, wanted)
        stream = heapq.merge(*streams, key=lambda e: e.place, reverse=not within.oldest_first)
        try:
            for item in stream:
                posts += isinstance(item, LiveEntry)
                seconds += time.perf_counter() - began_s
                yield item
                began_s = time.perf_counter()
            seconds += time.perf_counter() - began_s
        finally:
            # Those of hot authors are shared by all, and no cost of this reader.
            timelines = sum(not follow.hot for follow in look_up.follows)
            self._meter.pulled(timelines, posts, seconds, by_time=bool(look_up.events))
