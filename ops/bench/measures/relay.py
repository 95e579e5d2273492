"""The relay of a group of cells: events a second that it copies from the root into its topic.

A trial appends a backlog of posts of 200 characters to the root while no relay runs, then starts
one, the product's own over the seams of Kafka, in a process of its own. The clock runs from when it
asks for the first record, as a member that knows where it goes on, until the last is acknowledged
by the group's topic and committed at the root. Joining the group (seconds, most of which are
Kafka's own wait for more members) is before it. It must have relayed exactly the backlog.

Peers read the same records in the same round, in the same process: a bare confluent-kafka consumer
that drops them, and one whose values a producer appends to another topic with as many partitions,
in the order of partitions, without envelopes, fingerprints, positions, idempotence and commits.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import monotonic, perf_counter

from firehose.checkpoint_kafka import KafkaCheckpoints
from firehose.log_kafka import KafkaLog
from firehose.relay import Relay
from firehose.relayed import RELAYED_BYTES_MAX
from idgen.clock import SystemClock
from idgen.errors import Corrupt, Unavailable
from ops.bench.bench import Bench
from ops.bench.measure import PRODUCT, Figure, Measure, Side
from ops.bench.measures import streams
from ops.bench.measures.streams import BARE_CONSUMER, backlog
from ops.bench.peers import bare_log
from ops.wiring.seams import FIREHOSE, group_log_name

NAME = "relay"
GROUP = "bench"
BARE_COPY = "bare Kafka consumer and producer"
COPY_TOPIC = "bench-bare-copy"
BACKLOG = 100_000
QUICK_BACKLOG = 20_000
ROUNDS = 5
TRIAL_S_MAX = 300.0


def run(bench: Bench) -> list[Figure]:
    """A relay, a consumer, and a consumer with a producer in turns."""
    stage = bench.stage(streams.STAGE)
    if stage.once("no ingest"):
        stage.stop_ingest()
    kafka, partitions = stage.found.kafka, stage.partitions
    count = QUICK_BACKLOG if bench.quick else BACKLOG
    bare_log.make_topic(kafka, COPY_TOPIC, partitions)
    spans: list[dict[int, tuple[int, int]]] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
        # What is in the root already is none of a trial's.
        held = sum(span.end - span.start for span in stage.seams.firehose().spans())
        child.submit(relay_backlog, kafka, partitions, held).result(TRIAL_S_MAX)

        def product() -> float:
            spans.append(backlog(stage, count))
            work = child.submit(relay_backlog, kafka, partitions, count)
            return count / work.result(TRIAL_S_MAX)

        def consumed() -> float:
            work = child.submit(bare_log.consume, kafka, FIREHOSE, spans[-1])
            return work.result(TRIAL_S_MAX)

        def copied() -> float:
            work = child.submit(bare_log.copy, kafka, FIREHOSE, spans[-1], COPY_TOPIC)
            return work.result(TRIAL_S_MAX)

        measure = Measure(
            NAME,
            f"a backlog of {count:,} events, one relay",
            "events/s",
            higher_is_better=True,
            sides=(
                Side(PRODUCT, product),
                Side(BARE_CONSUMER, consumed),
                Side(BARE_COPY, copied),
            ),
        )
        return bench.compare(measure, ROUNDS)


def relay_backlog(kafka: str, partitions: int, count: int) -> float:
    """Relay so many events; in how many seconds, from before the poll that brought the first.
    Raises Unavailable, and Corrupt when there were more."""
    settings = {"bootstrap.servers": kafka}
    root = KafkaLog(settings, FIREHOSE, partitions)
    name = group_log_name(GROUP)
    topic = KafkaLog(settings, name, partitions, bytes_max=RELAYED_BYTES_MAX, gapless=True)
    groups = KafkaCheckpoints(settings, FIREHOSE, partitions)
    relay = Relay(root, groups, topic, GROUP, "bench", SystemClock())
    until = monotonic() + TRIAL_S_MAX
    member = relay.join()
    began = perf_counter()
    try:
        while relay.stats.records < count:
            if monotonic() > until:
                raise Unavailable(f"the relay has not come to the end in {TRIAL_S_MAX:.0f} s")
            if not relay.stats.records:
                began = perf_counter()
            relay.step(member)
        seconds = perf_counter() - began
    finally:
        member.leave()
        topic.close()
        root.close()
    if relay.stats.records != count:
        raise Corrupt(f"{relay.stats.records} events were relayed of a backlog of {count}")
    return seconds
