"""Pages: 20 full posts of 600 bytes, through router and cell, of 2,000 readers with hundreds of
entries each, popular ones asked for more often (Zipf, exponent 1).

At 500 a second: an open loop with Poisson arrivals from two client processes; a page's time begins
when it was due and ends when its last byte is there. Clients send bytes made beforehand and decode
one answer in a hundred whole, to see that it holds 20 posts. Warm: the newest posts are in the
cache, blocks and connections are used. p50 and p99 are taken per round. The peer has no goal, it
shows where the floor is: two bare hops, which pass on and answer the same bytes unread.

At most: 8 clients (2 processes of 4 threads) that ask again as soon as they are answered; pages a
second. The peer is asked by the same clients: a bare server that scans HBase for each page and
takes the posts from Redis, several processes on one port.

The readers' pages are kept by the dashboard, since nothing comes to them meanwhile. Read: the same
clients ask in ways that it has not kept, so every page is read from the tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ops.bench.bench import READERS, Bench, crowd_of
from ops.bench.calls import Pages
from ops.bench.clients import Load, run_load
from ops.bench.load import READERS_FROM, repeated
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Side, Trials, figures_of
from ops.bench.open_loop import Latencies
from ops.bench.peers.bare_hops import BareHops
from ops.bench.peers_of_stage import BARE_PAGES
from ops.bench.profile import Profile
from ops.bench.stage import Stage

NAME = "pages"
RATE_PER_S = 500
POSTS_EACH = 20
BODY = "a page's post, " * 40
READER_COUNT = 2_000
BARE_HOPS = "two bare hops"
FIRST_READER = READERS_FROM + 4 * 10_000_000
ROUNDS = 3
QUICK_WITHOUT = (
    (f"{NAME}-p50", BARE_HOPS),
    (f"{NAME}-p99", BARE_HOPS),
    (f"{NAME}-read", BARE_PAGES),
)
"""Lines and peers that a quick run leaves out."""


def prepare(bench: Bench) -> Stage:
    """A stage whose readers have dashboards."""
    stage = bench.graph()
    if stage.once("dashboards"):
        bench.tell("filling dashboards")
        group = crowd_of(READERS)
        stage.deliver(stage.posts(repeated(group.authors, len(group.authors) * POSTS_EACH), BODY))
    return stage


def calls(stage: Stage, *, kept: bool = True) -> Pages:
    """What a client asks of the router."""
    return Pages(stage.found.router, (FIRST_READER, READER_COUNT), kept=kept)


def run(bench: Bench) -> list[Figure]:
    """At a rate, then at most; a quick run has the latter, against the peer."""
    stage = prepare(bench)
    run_load(Load(2.0 if bench.quick else 5.0), calls(stage))  # fills the cache
    if bench.quick:
        return at_most(bench, stage, kept=True)
    return [
        *at_a_rate(bench, stage),
        *at_most(bench, stage, kept=True),
        *at_most(bench, stage, kept=False),
    ]


def at_a_rate(bench: Bench, stage: Stage) -> list[Figure]:
    """p50 and p99 at RATE_PER_S, beside those of two bare hops."""
    load = Load(12.0, RATE_PER_S)
    asked = calls(stage)
    hops = BareHops(asked.answer())
    sides = {PRODUCT: asked, BARE_HOPS: replace(asked, address=hops.address)}
    found: dict[str, list[Latencies]] = {name: [] for name in sides}
    try:
        for _ in range(ROUNDS):
            for name, pages in sides.items():
                found[name].append(run_load(load, pages).latencies)
                p50, p99 = found[name][-1].ms(50), found[name][-1].ms(99)
                bench.tell(f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    finally:
        hops.close()
    sent = max(each.closed_ms(99) for each in found[PRODUCT])
    note = f"a closed loop would have said p99 {sent:.2f} ms"
    what = f"a page of 20 posts, {RATE_PER_S} pages/s"
    return percentiles(NAME, what, found, {50: 1.0, 99: 10.0}, note)


def percentiles(
    name: str,
    what: str,
    found: Mapping[str, Sequence[Latencies]],
    bounds: Mapping[int, float],
    note: str = "",
) -> list[Figure]:
    """p50 and p99 of each side's rounds in milliseconds, with a goal where there is a bound."""
    figures: list[Figure] = []
    for percentile in (50, 99):
        measure = Measure(
            f"{name}-p{percentile}",
            f"{what}: p{percentile}",
            "ms",
            higher_is_better=False,
            goals=(Goal(bounds[percentile]),) if percentile in bounds else (),
        )
        trials = Trials(
            {side: [f.ms(percentile) for f in rounds] for side, rounds in found.items()}
        )
        figures += figures_of(measure, trials, note if percentile == 99 else "")
    return figures


def at_most(bench: Bench, stage: Stage, *, kept: bool) -> list[Figure]:
    """Pages a second of 8 clients, against the bare server."""
    load = Load(4.0, processes=2, threads=4, warm_s=1.0)
    asked = calls(stage, kept=kept)

    def bare() -> float:
        return run_load(load, bench.peers("graph").page_calls(FIRST_READER, READER_COUNT)).per_s

    profile = Profile(stage)

    def ours() -> float:
        before = profile.begin()
        per_s = run_load(load, asked).per_s
        profile.add(before, per_s * (load.warm_s + load.seconds))
        return per_s

    how = "kept in memory" if kept else "read from the tables"
    measure = Measure(
        f"{NAME}-most" if kept else f"{NAME}-read",
        f"pages of 20 posts at most, 8 clients, {how}",
        "pages/s",
        higher_is_better=True,
        sides=(Side(PRODUCT, ours), Side(BARE_PAGES, bare)),
        goals=(Goal(2.0, BARE_PAGES),) if kept else (),
    )
    trials = bench.trials(measure.sides, 5)
    return figures_of(measure, trials, profile.told("page"))
