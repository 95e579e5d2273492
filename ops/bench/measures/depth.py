"""Depth: page 500 against page 50 of readers with 20,000 entries each.

A walk from the newest page on, by next cursors through the router, finds the cursors before both;
then each page is asked for again and again, one request at a time, in turns, and in ways that the
dashboard has not kept: it is read from the tables each time. A trial's figure is the median of its
requests, 20 full posts each, the posts of both pages being in the cache.
"""

import statistics
import time

from cell.dashboard import Context, PageQuery
from idgen.errors import Corrupt
from ops.bench.bench import DEEP, Bench, crowd_of
from ops.bench.calls import DEADLINE_MS, VARIANTS, Framed, check_page, kinds_of, page_frame
from ops.bench.load import repeated
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Side
from ops.bench.stage import Stage
from ops.dashboard_client import DashboardClient

NAME = "depth"
ENTRIES = 20_000
LIMIT = 20
DEEP_PAGE = 500
SHALLOW_PAGE = 50
PEER = f"page {SHALLOW_PAGE}"
REQUESTS = 40


def run(bench: Bench) -> list[Figure]:
    """The ratio of both, round by round."""
    stage = bench.graph()
    group = crowd_of(DEEP)
    if stage.once("depth"):
        bench.tell(f"{ENTRIES:,} entries for {group.each} readers")
        stage.deliver(stage.posts(repeated(group.authors, ENTRIES), "a post of long ago, " * 10))
    readers = [int(reader) for reader in group.followers[0]]
    frames: dict[int, list[bytes]] = {SHALLOW_PAGE: [], DEEP_PAGE: []}
    for reader in readers:
        for page, cursor in cursors_of(stage, reader).items():
            frames[page] += frames_behind(reader, cursor)
    connection = Framed(stage.found.router)
    measure = Measure(
        NAME,
        f"page {DEEP_PAGE} of a reader with {ENTRIES:,} entries",
        "ms",
        higher_is_better=False,
        sides=(
            Side(PRODUCT, lambda: median_ms(connection, frames[DEEP_PAGE])),
            Side(PEER, lambda: median_ms(connection, frames[SHALLOW_PAGE])),
        ),
        goals=(Goal(1.3, PEER),),
    )
    return bench.compare(measure, 9, quick_rounds=5)


def cursors_of(stage: Stage, reader: int) -> dict[int, bytes]:
    """Where both pages begin. Raises Corrupt when the dashboard ends before."""
    found: dict[int, bytes] = {}
    cursor = b""
    context = Context(DEADLINE_MS)
    with DashboardClient([stage.found.router]) as client:
        for page in range(1, DEEP_PAGE + 1):
            if page in (SHALLOW_PAGE, DEEP_PAGE):
                found[page] = cursor
            query = PageQuery(reader, before=cursor, limit=LIMIT, hydrate=False)
            shown = client.page(context, query)
            if len(shown.entries) < LIMIT:
                raise Corrupt(f"page {page} of {reader} has {len(shown.entries)} entries")
            cursor = shown.next_cursor
    return found


def frames_behind(reader: int, cursor: bytes) -> list[bytes]:
    """Requests for the page behind a cursor, each in another way."""
    return [
        page_frame(PageQuery(reader, before=cursor, limit=LIMIT, kinds=kinds_of(turn)))
        for turn in range(VARIANTS)
    ]


def median_ms(connection: Framed, frames: list[bytes]) -> float:
    """The median of REQUESTS requests, drawn evenly; the first is looked at, not timed."""
    check_page(connection.exchange(frames[0]), LIMIT)
    taken = []
    for number in range(1, REQUESTS + 1):
        frame = frames[number * len(frames) // (REQUESTS + 1)]
        began = time.perf_counter()
        connection.exchange(frame)
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)
