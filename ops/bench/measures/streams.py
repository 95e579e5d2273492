"""Streams over HTTP: the memory of their server, live events on 50 of 1,050, and one replay.

1,000 streams are idle (they ask for an author who never publishes) and 50 are busy (all events);
all of them are held by three client processes and stay open while it is measured. A trial of the
live part appends 10,000 posts of 200 characters to the log in one go, and the clock runs from
before the append until the last of the 50 has the last event: events/s of each, and of all of them.
Every stream has to have exactly as many events. Memory is the most that the RSS of the server's
process has been until then (VmHWM), in which all 1,050 streams were open.

In a trial of the replay one stream reads a backlog between two cursors, all of it, as NDJSON,
from its request to its last frame. The peer is a bare confluent-kafka consumer without a group that
reads the same records in the same round, as bytes, from when it asks for the first. Either reader
is in a process of its own; clients count events and decode nothing. The cell's ingest worker does
not run meanwhile.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from firehose.access import Role
from firehose.cursor import cursor_of
from idgen.errors import Corrupt, Unauthenticated, Unavailable
from ops.bench.bench import Bench
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Side, Trials, figures_of
from ops.bench.peers import bare_log
from ops.bench.processes import peak_mib
from ops.bench.stage import Stage
from ops.bench.stream_readers import Readers, Stream, Taken, opened, replay
from ops.wiring.seams import FIREHOSE
from router.tokens import Wanted

NAME = "streams"
STAGE = "streams"
IDLE = 1_000
IDLE_PROCESSES = 2
BUSY = 50
LIVE_EVENTS = 10_000
"""Half of what the server keeps for streams at the log's end, so that none is left behind."""
BACKLOG = 200_000
QUICK_BACKLOG = 20_000
ROUNDS = 5
MIB_MAX = 400
BARE_CONSUMER = "bare Kafka consumer"
SERVER = "firehose"
BODY = "x" * 200
NOBODY = 9_000_000_000
AUTHORS = 10_000
KNOWN_S = 10.0
"""A new token is known to a server within a second."""
REPLAY_S_MAX = 300.0


def run(bench: Bench) -> list[Figure]:
    """Live and memory with all streams open; then a replay beside the bare consumer."""
    stage = bench.stage(STAGE)
    if stage.once("no ingest"):
        stage.stop_ingest()
    server, token = let_in(stage)
    found = live(bench, stage, Stream(server, token, ""))
    return found + replayed(bench, stage, Stream(server, token, ""))


def let_in(stage: Stage) -> tuple[str, str]:
    """Where the stage's streams are, and a token that is known there. Raises Unavailable."""
    (service,) = [s for s in stage.platform.status().services if s.name == SERVER]
    server = service.beside["stream"]
    token = stage.platform.tokens.create(Wanted(NAME, {Role.READ}, streams_max=2 * (IDLE + BUSY)))
    until = time.monotonic() + KNOWN_S
    while time.monotonic() < until:
        try:
            first_frame(Stream(server, token, ""))
        except Unauthenticated:
            time.sleep(0.1)
        else:
            return server, token
    raise Unavailable(f"the stream's server does not know a new token after {KNOWN_S:.0f} s")


def first_frame(stream: Stream) -> None:
    """Ask for a stream, and leave it once it has begun."""
    taken = Taken()
    with opened(stream) as connection:
        while not taken.started:
            data = connection.recv(4_096)
            if not data:
                raise Unavailable("a stream ended before its first frame")
            taken.feed(data)


def live(
    bench: Bench, stage: Stage, stream: Stream, counts: tuple[int, int] = (IDLE, BUSY)
) -> list[Figure]:
    """Events a second of each busy stream and of all, and the server's memory; `counts`: idle
    streams and busy ones."""
    idle_count, busy_count = counts
    asleep = stream._replace(query=f"authors={NOBODY}")
    with (
        Readers(asleep, idle_count, IDLE_PROCESSES) as idle,
        Readers(stream, busy_count, 1) as busy,
    ):

        def trial() -> float:
            records = stage.posts(range(1, LIVE_EVENTS + 1), BODY)
            busy.expect(LIVE_EVENTS)
            began = time.monotonic()
            stage.append(records)
            return LIVE_EVENTS / (busy.last_at() - began)

        trials = bench.trials((Side(PRODUCT, trial),), ROUNDS)
        idle.check()
        peak = float(peak_mib(stage.pid(SERVER)))
    what = f"{busy_count} busy streams and {idle_count:,} idle"
    each = Measure(
        f"{NAME}-each", f"live events of one of {what}", "events/s", higher_is_better=True
    )
    total = Measure(f"{NAME}-all", f"live events of {what}", "events/s", higher_is_better=True)
    memory = Measure(
        f"{NAME}-memory",
        f"most RSS of the server of {what}",
        "MiB",
        higher_is_better=False,
        goals=(Goal(MIB_MAX),),
    )
    rates = trials.by_side[PRODUCT]
    return [
        *figures_of(each, trials),
        *figures_of(total, Trials({PRODUCT: [rate * busy_count for rate in rates]})),
        *figures_of(memory, Trials({PRODUCT: [peak]})),
    ]


def replayed(bench: Bench, stage: Stage, stream: Stream) -> list[Figure]:
    """One stream over a backlog beside the bare consumer over the same records."""
    count = QUICK_BACKLOG if bench.quick else BACKLOG
    spans = backlog(stage, count)
    log, partitions = stage.seams.firehose().identity, stage.partitions
    first = cursor_of(log, partitions, {p: span[0] for p, span in spans.items()}).text()
    end = cursor_of(log, partitions, {p: span[1] for p, span in spans.items()}).text()
    asked = stream._replace(query=f"from={first}&until={end}")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:

        def product() -> float:
            return child.submit(replay, asked, count).result(REPLAY_S_MAX)

        def bare() -> float:
            work = child.submit(bare_log.consume, stage.found.kafka, FIREHOSE, spans)
            return work.result(REPLAY_S_MAX)

        measure = Measure(
            f"{NAME}-replay",
            f"a backlog of {count:,} events, one stream",
            "events/s",
            higher_is_better=True,
            sides=(Side(PRODUCT, product), Side(BARE_CONSUMER, bare)),
        )
        return bench.compare(measure, ROUNDS)


def backlog(stage: Stage, count: int) -> dict[int, tuple[int, int]]:
    """Append so many posts of many authors; where they lie. Raises Corrupt when somebody else
    appends too."""
    before = stage.ends()
    stage.append(stage.posts((1 + n % AUTHORS for n in range(count)), BODY))
    spans = dict(enumerate(zip(before, stage.ends(), strict=True)))
    if sum(end - first for first, end in spans.values()) != count:
        raise Corrupt(f"the log has not grown by the {count} events of a backlog")
    return spans
