"""An average post: 300 followers, from the call of publish to when the last follower sees it.

A request publishes through the router (id server, firehose), then asks for the page of the
follower whose row is the last of the post's in the table, with the receipt's token: the page is
answered when the cell has applied the post, and the post must be on it. Requests are due at random
times (Poisson), 10 a second, and timed from when they were due.

Idle: nothing else happens. Beside: posts with 1,000 followers make 50,000 deliveries a second, put
straight into the log at an even pace; what the worker wrote meanwhile is a figure of its own.
"""

from collections.abc import Sequence

from ops.bench.bench import AVERAGE, THOUSAND, Bench, crowd_of
from ops.bench.calls import PostsSeen
from ops.bench.clients import Load, run_load
from ops.bench.feed import Feed
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Trials, figures_of
from ops.bench.measures.pages import percentiles
from ops.bench.stage import Stage

NAME = "average_post"
RATE_PER_S = 10
DELIVERIES_PER_S = 50_000
ENOUGH = 0.97
"""Of the deliveries wanted: bursts end outside of the window that is counted."""
LOAD = Load(20.0, RATE_PER_S, processes=1, threads=16)
ROUNDS = 2


def run(bench: Bench) -> list[Figure]:
    """Idle, then beside deliveries."""
    stage = bench.graph()
    idle = [run_load(LOAD, seen(stage)).latencies for _ in range(ROUNDS)]
    found = percentiles(
        f"{NAME}-idle",
        "a post with 300 followers, published to seen, idle",
        {PRODUCT: idle},
        {50: 20.0},
    )
    bench.tell(f"idle: p50 {idle[0].ms(50):.1f} ms, p99 {idle[0].ms(99):.1f} ms")
    beside = []
    achieved = []
    with Feed(stage, crowd_of(THOUSAND), DELIVERIES_PER_S) as feed:
        for _ in range(ROUNDS):
            feed.mark()
            beside.append(run_load(LOAD, seen(stage)).latencies)
            achieved.append(feed.achieved())
            bench.tell(f"beside {achieved[-1]:,.0f}/s: p99 {beside[-1].ms(99):.1f} ms")
    stage.wait_applied()
    found += percentiles(
        f"{NAME}-beside",
        f"the same beside {DELIVERIES_PER_S:,} deliveries/s",
        {PRODUCT: beside},
        {99: 250.0},
    )
    return found + deliveries_meanwhile(NAME, achieved, DELIVERIES_PER_S)


def seen(stage: Stage) -> PostsSeen:
    """What is asked: posts of the average authors, each seen by its last follower."""
    group = crowd_of(AVERAGE)
    return PostsSeen(
        stage.found.router, group.authors, tuple(group.last(author) for author in group.authors)
    )


def deliveries_meanwhile(name: str, achieved: Sequence[float], wanted: float) -> list[Figure]:
    """Whether the load beside was what it should have been."""
    measure = Measure(
        f"{name}-meanwhile",
        f"rows/s written meanwhile, of {wanted:,.0f} deliveries/s asked",
        "rows/s",
        higher_is_better=True,
        goals=(Goal(ENOUGH * wanted),),
    )
    return figures_of(measure, Trials({PRODUCT: list(achieved)}))
