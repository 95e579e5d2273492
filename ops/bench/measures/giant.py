"""A post to 1,000,000 followers: from the append of its event to the last inbox row acknowledged.

The end is when the applied position says that this event is done, which is stored behind its last
row. Warm: the worker has the million edges in memory. Cold: it was just started and reads them from
HBase within the time. The peer is the bare loop, which writes a million rows from an array.

Others' posts meanwhile: while giant posts are written one after the other, posts with 300 followers
are published through the router at 10 a second, each timed from when it was due until its last
follower sees it on a page.
"""

import threading

from ops.bench.bench import MILLION, Bench, crowd_of
from ops.bench.clients import run_load
from ops.bench.load import Crowd
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Side, figures_of
from ops.bench.measures.average_post import LOAD, seen
from ops.bench.measures.fanout import fanouts
from ops.bench.measures.pages import percentiles
from ops.bench.peers_of_stage import BARE
from ops.bench.stage import Stage

NAME = "giant"
BODY = "a post for everybody"
WARM_ROUNDS = 5
COLD_ROUNDS = 3


def run(bench: Bench) -> list[Figure]:
    """Warm, cold, and what others feel."""
    stage = bench.graph()
    group = crowd_of(MILLION)
    author = group.authors[0]
    if stage.once("million"):
        bench.tell("planting a million follows")
        stage.stop_ingest()
        stage.plant_follows(group.authors, list(group.followers))
        stage.start_ingest()
    bare = Side(BARE, lambda: bare_seconds(bench, stage, group))
    warm = _measure("warm", 1.3, Side(PRODUCT, lambda: product_seconds(stage, author)), bare)

    def restarted() -> float:
        stage.stop_ingest()
        stage.start_ingest()
        return product_seconds(stage, author)

    cold = _measure("cold", 1.7, Side(PRODUCT, restarted), bare)
    found = figures_of(warm, bench.trials(warm.sides, WARM_ROUNDS))
    found += figures_of(cold, bench.trials(cold.sides, COLD_ROUNDS, warm_ups=0))
    return found + others(bench, stage, author)


def _measure(state: str, bound: float, *sides: Side) -> Measure:
    return Measure(
        f"{NAME}-{state}",
        f"a post to 1,000,000 followers, {state}",
        "s",
        higher_is_better=False,
        sides=sides,
        goals=(Goal(bound, BARE),),
    )


def product_seconds(stage: Stage, author: int) -> float:
    """One post, until its last row is acknowledged."""
    return stage.deliver(stage.posts([author], BODY))


def bare_seconds(bench: Bench, stage: Stage, group: Crowd) -> float:
    """The bare loop's time for as many rows."""
    (fanout,) = fanouts(stage, group, [group.authors[0]])
    return len(fanout.places) / bench.peers("graph").rate(BARE, [fanout])


def others(bench: Bench, stage: Stage, author: int) -> list[Figure]:
    """p50 and p99 of average posts while giant ones are always under way."""
    stop = threading.Event()
    giants: list[float] = []

    def keep_on() -> None:
        while not stop.is_set():
            giants.append(product_seconds(stage, author))

    thread = threading.Thread(target=keep_on, daemon=True)
    thread.start()
    try:
        found = run_load(LOAD, seen(stage)).latencies
    finally:
        stop.set()
        thread.join()
    stage.wait_applied()
    bench.tell(f"others: p50 {found.ms(50):.0f} ms, p99 {found.ms(99):.0f} ms")
    return percentiles(
        f"{NAME}-others",
        "others' posts (300 followers) meanwhile, published to seen",
        {PRODUCT: [found]},
        {99: 500.0},
        f"{len(giants)} giant posts one after the other, "
        f"{sum(giants) / len(giants):.1f} s each on average",
    )
