"""Fan-out: deliveries a second, from Kafka through the product's ingest, acknowledged by HBase.

A trial of the product appends posts of authors with 1,000 (or 10,000) followers to the firehose in
one go and waits until the cell's applied position is behind the last of them: it then has read,
decoded and evaluated every event, written the post and an entry for each follower and the author
(write-ahead log on), had all of them acknowledged, and stored position and checkpoint. The clock
runs from before the append to after the position. Only entries count as deliveries; the worker's
own count of rows has to agree. Follower sets are warm after the warm-up; the router is not in it.

A peer is given posts of the same authors, with their readers as arrays: it has no log to read, no
edges to keep and no positions. It writes entries only (the bare loop, the Java client and happybase
into a table like the product's; Redis and stream-framework into timelines in memory). How many
posts a side gets follows from its speed, so that a trial takes a few seconds on every side.
"""

from functools import partial

from ops.bench.bench import TEN_THOUSAND, THOUSAND, Bench, crowd_of
from ops.bench.load import Crowd, repeated
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Side, figures_of
from ops.bench.peers.writer import Fanout
from ops.bench.peers_of_stage import (
    BARE,
    HAPPYBASE,
    JAVA,
    PACKED,
    REDIS,
    STREAM_FRAMEWORK,
    WRITERS,
    PeersOfStage,
)
from ops.bench.profile import Profile
from ops.bench.stage import Stage
from ops.metrics import ROWS_WRITTEN

NAME = "fanout"
BODY = "a post for many, " * 12
TRIAL_S = 2.5
ROUNDS = 7
RATES = {
    PRODUCT: 160_000,
    BARE: 200_000,
    JAVA: 100_000,
    HAPPYBASE: 60_000,
    REDIS: 120_000,
    PACKED: 200_000,
    STREAM_FRAMEWORK: 10_000,
}
"""About how many rows a second a side writes: for the size of its trials only."""
GOALS = (Goal(0.85, BARE), Goal(1.5, JAVA), Goal(1.2, REDIS), Goal(12.0, STREAM_FRAMEWORK))


QUICK_WITHOUT = (
    *((f"{NAME}-1000", peer) for peer in WRITERS if peer != BARE),
    *((f"{NAME}-10000", peer) for peer in WRITERS),
)
"""Lines and peers that a quick run leaves out."""


def run(bench: Bench) -> list[Figure]:
    """Both sizes; a quick run has 1,000 followers and the bare loop."""
    stage = bench.graph()
    peers = bench.peers("graph")
    found: list[Figure] = []
    shapes = (THOUSAND,) if bench.quick else (THOUSAND, TEN_THOUSAND)
    for shape in shapes:
        group = crowd_of(shape)
        names = (BARE,) if bench.quick else WRITERS
        profile = Profile(stage)
        sides = [Side(PRODUCT, partial(product_rate, stage, group, profile))]
        sides += [peer_side(peers, stage, name, group) for name in names]
        measure = Measure(
            f"{NAME}-{group.each}",
            f"fan-out, posts with {group.each:,} followers",
            "deliveries/s",
            higher_is_better=True,
            sides=tuple(sides),
            goals=tuple(goal for goal in GOALS if goal.peer in names),
        )
        trials = bench.trials(measure.sides, ROUNDS)
        found += figures_of(measure, trials, profile.told("entry"))
    return found


def posts_for(side: str, group: Crowd) -> list[int]:
    """The authors of a trial's posts, one each."""
    return repeated(group.authors, max(1, round(RATES[side] * TRIAL_S / (group.each + 1))))


def product_rate(stage: Stage, group: Crowd, profile: Profile) -> float:
    """One trial: deliveries a second. Raises Corrupt when fewer rows were written than posts
    have readers."""
    authors = posts_for(PRODUCT, group)
    records = stage.posts(authors, BODY)
    deliveries = len(authors) * (group.each + 1)
    before = stage.counted(ROWS_WRITTEN)
    used = profile.begin()
    seconds = stage.deliver(records)
    profile.add(used, deliveries)
    stage.check_rows(before + deliveries)
    return deliveries / seconds


def fanouts(stage: Stage, group: Crowd, authors: list[int]) -> list[Fanout]:
    """The same posts as a peer takes them; versions grow with every call, as offsets do."""
    ids = stage.ids.take(len(authors))
    return [
        Fanout(post_id, author, post_id, group.places(author))
        for post_id, author in zip(ids, authors, strict=True)
    ]


def peer_side(peers: PeersOfStage, stage: Stage, name: str, group: Crowd) -> Side:
    """A peer's side of the measure."""

    def trial() -> float:
        return peers.rate(name, fanouts(stage, group, posts_for(name, group)))

    return Side(name, trial)
