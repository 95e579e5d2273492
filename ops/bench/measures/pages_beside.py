"""Pages beside 100,000 deliveries a second: 200 pages a second as in `pages`.

Posts with 1,000 followers are put straight into the log at an even pace; what the worker really
wrote meanwhile is a figure of its own. The readers of the pages are not those of the deliveries.
"""

from ops.bench.bench import THOUSAND, Bench, crowd_of
from ops.bench.clients import Load, run_load
from ops.bench.feed import Feed
from ops.bench.measure import PRODUCT, Figure
from ops.bench.measures.average_post import deliveries_meanwhile
from ops.bench.measures.pages import calls, percentiles, prepare

NAME = "pages_beside"
RATE_PER_S = 200
DELIVERIES_PER_S = 100_000
LOAD = Load(15.0, RATE_PER_S)
ROUNDS = 2


def run(bench: Bench) -> list[Figure]:
    """p50 and p99, and the rate of deliveries that there was."""
    stage = prepare(bench)
    run_load(Load(3.0), calls(stage))
    latencies = []
    achieved = []
    with Feed(stage, crowd_of(THOUSAND), DELIVERIES_PER_S) as feed:
        for _ in range(ROUNDS):
            feed.mark()
            found = run_load(LOAD, calls(stage)).latencies
            achieved.append(feed.achieved())
            latencies.append(found)
            bench.tell(
                f"beside {achieved[-1]:,.0f}/s: p50 {found.ms(50):.2f}, p99 {found.ms(99):.2f} ms"
            )
    stage.wait_applied()
    figures = percentiles(
        NAME,
        f"a page of 20 posts, {RATE_PER_S} pages/s beside {DELIVERIES_PER_S:,} deliveries/s",
        {PRODUCT: latencies},
        {50: 2.0, 99: 30.0},
    )
    return figures + deliveries_meanwhile(NAME, achieved, DELIVERIES_PER_S)
