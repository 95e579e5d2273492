"""The Higgs week: 563,069 posts and their 4,689,169 entries, with notices, by one cell.

The follows of the whole week are in the log first, then the posts; the ingest worker is stopped
while they are appended. It is started, with nothing in its memory, and the clock runs from when it
has begun to apply (its own count of events is above nothing, looked at every few milliseconds)
until its applied position is the log's end. So follower sets are read from HBase within the time.
Stages: follows applied (each writes an edge both ways and a notice), and posts applied.

The peer is the bare week: it reads the same records of the same topic, has the followers in memory
as arrays, and writes post rows and entries into tables of its own: no notices, edges, positions.
A further round appends the same posts once more under new ids.
"""

import time

import numpy as np

from idgen.errors import Corrupt
from ops.bench.bench import Bench
from ops.bench.load import Week
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Side, Trials, figures_of
from ops.bench.peers.bare_week import BareWeek, Followers, followers_of
from ops.bench.peers_of_stage import BARE
from ops.bench.profile import Profile
from ops.bench.stage import INGEST, Stage, full_name
from ops.wiring.seams import FIREHOSE

NAME = "week"
STAGE = "week"
ROUNDS = 2
PEER_TABLES = ("bench_week_inbox", "bench_week_posts")


def run(bench: Bench) -> list[Figure]:
    """Follows once, then posts in turns with the bare week."""
    week = bench.week()
    stage = bench.stage(STAGE)
    stage.once("week")  # who comes later need not bring it again
    name = name_of(week)
    follows_s = apply_follows(bench, stage, week)
    stage.tables.create(PEER_TABLES)
    spans: list[dict[int, tuple[int, int]]] = []
    profile = Profile(stage)
    followers = _followers(week)

    def product() -> float:
        before = profile.begin()
        seconds, span = apply_posts(bench, stage, week)
        profile.add(before, len(week.activities), restarted=[INGEST])
        spans.append(span)
        return seconds

    def bare() -> float:
        return bare_seconds(stage, followers, spans[-1], week.deliveries())

    measure = Measure(
        NAME,
        f"{name}: {len(week.activities):,} posts, {week.deliveries():,} entries",
        "s",
        higher_is_better=False,
        sides=(Side(PRODUCT, product), Side(BARE, bare)),
        goals=(Goal(1.5, BARE),),
        count=len(week.activities),
    )
    trials = bench.trials(measure.sides, ROUNDS, quick_rounds=1, warm_ups=0)
    note = f"{profile.told('post')}; the appending is in it"
    edges = Measure(
        f"{NAME}-follows",
        f"{name}: {len(week.edges):,} follows applied",
        "s",
        higher_is_better=False,
        count=len(week.edges),
    )
    return [
        *figures_of(measure, trials, note),
        *figures_of(edges, Trials({PRODUCT: [follows_s]})),
    ]


def name_of(week: Week) -> str:
    """What people call it: the dataset, or its sample."""
    return "the Higgs week" if week.whole else "a sample of the Higgs week"


def apply_follows(bench: Bench, stage: Stage, week: Week) -> float:
    """Seconds from the first follow applied to the last."""
    bench.tell(f"appending {len(week.edges):,} follows")
    stage.stop_ingest()
    stage.append([stage.record(follow) for follow in week.follows(stage.ids)])
    seconds = from_the_beginning(stage)
    bench.tell(f"follows applied in {seconds:.1f} s")
    return seconds


def from_the_beginning(stage: Stage) -> float:
    """Start the worker; seconds from its first event to the log's end."""
    stage.start_ingest(wait=False)
    began = stage.wait_begun()
    stage.wait_applied(look_s=0.02)
    return time.monotonic() - began


def apply_posts(bench: Bench, stage: Stage, week: Week) -> tuple[float, dict[int, tuple[int, int]]]:
    """Seconds for all posts, and between which offsets they lie by partition.

    Raises Corrupt when the worker has written fewer rows than posts and entries.
    """
    bench.tell(f"appending {len(week.activities):,} posts")
    stage.stop_ingest()
    firsts = stage.ends()
    stage.append([stage.record(post) for post in week.posts(stage.ids)])
    span = {p: (a, b) for p, (a, b) in enumerate(zip(firsts, stage.ends(), strict=True))}
    seconds = from_the_beginning(stage)
    stage.check_rows(week.deliveries() + len(week.activities))
    return seconds, span


def bare_seconds(
    stage: Stage, followers: Followers, span: dict[int, tuple[int, int]], entries: int
) -> float:
    """The bare week's time for the same records. Raises Corrupt when it wrote other rows."""
    inbox, posts = (full_name(table) for table in PEER_TABLES)
    peer = BareWeek(
        stage.found.kafka, stage.found.hbase_thrift2, followers, inbox=inbox, posts=posts
    )
    try:
        done = peer.run(FIREHOSE, span)
    finally:
        peer.close()
    if done.entries != entries:
        raise Corrupt(f"the bare week wrote {done.entries} entries and not {entries}")
    return done.seconds


def _followers(week: Week) -> Followers:
    posting = np.unique(week.authors)
    authors = np.concatenate((week.edges[:, 1], posting))
    return followers_of(authors, np.concatenate((week.edges[:, 0], posting)))
