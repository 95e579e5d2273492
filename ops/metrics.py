"""Every metric of Dashcell, declared once: name, kind, labels, meaning.

Labels have few values, all known beforehand (methods, reasons, kinds, partitions, cells): never a
user's or a post's id. docs/metrics.md is made from `DECLARED`.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector

_log = logging.getLogger("dashcell.metrics")


class Kind(StrEnum):
    """How a metric's values are to be read."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric's declaration; counters' names end in _total, times are in seconds."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str


def _counter(name: str, labels: tuple[str, ...], meaning: str) -> Metric:
    return Metric(f"dashcell_{name}_total", Kind.COUNTER, labels, meaning)


def _gauge(name: str, labels: tuple[str, ...], meaning: str) -> Metric:
    return Metric(f"dashcell_{name}", Kind.GAUGE, labels, meaning)


SECONDS_BUCKETS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0,
)  # fmt: skip

CALLS = _counter("calls", ("method",), "Calls that were answered, with or without an error.")
CALL_ERRORS = _counter(
    "call_errors",
    ("method", "reason"),
    "Calls answered with an error, by its reason (docs/errors.md); unknown_method and "
    "internal_error beside those.",
)
CALL_SECONDS = Metric(
    "dashcell_call_seconds",
    Kind.HISTOGRAM,
    ("method",),
    "From a call's last byte to its answer's first.",
)
CALLS_IN_FLIGHT = _gauge("calls_in_flight", ("method",), "Calls being worked on now.")
CONNECTIONS = _gauge("connections", (), "Connections to the Thrift port that are open now.")
CONNECTIONS_OPENED = _counter("connections_opened", (), "Connections that were taken.")
WIRE_FAULTS = _counter(
    "wire_faults",
    ("kind",),
    "Connections closed for what came over them: wrong_protocol, oversized, truncated, malformed, "
    "too_deep, too_many_values, half_open (a frame begun and not finished), slow_reader (an "
    "answer not taken), too_many_connections, no_memory (too many large calls at once), tls, "
    "reset.",
)
CONNECTIONS_IDLE_CLOSED = _counter(
    "connections_idle_closed", (), "Connections closed because nothing came for very long."
)
READY = _gauge("ready", ("check",), "1 while the check of /readyz by this name is green.")
LAG_SECONDS = _gauge(
    "lag_seconds",
    ("cell",),
    "How far a cell is behind the firehose: the age of the oldest event it has not applied.",
)
EVENTS_APPLIED = _counter("events_applied", ("cell",), "Events that ingest has applied.")
ROWS_WRITTEN = _counter("rows_written", ("cell",), "Rows that ingest has sent to the tables.")
DEAD_LETTERS = _counter(
    "dead_letters", ("cell",), "Events set aside because their content cannot be applied."
)
DEAD_LETTERS_OPEN = _gauge(
    "dead_letters_open",
    ("cell",),
    "Dead letters of a cell that want an operator: neither retried nor discarded. Told by each of "
    "its dashboards, as of the last 5 s.",
)
POST_CACHE_HITS = _counter("post_cache_hits", ("cell",), "Posts of pages that the cache had.")
POST_CACHE_MISSES = _counter("post_cache_misses", ("cell",), "Posts of pages read from the tables.")
PAGE_CACHE_HITS = _counter("page_cache_hits", ("cell",), "Pages given out as they were kept.")
PAGE_CACHE_MISSES = _counter("page_cache_misses", ("cell",), "Pages read from the tables.")
DELIVERIES_SAVED = _counter(
    "deliveries_saved",
    ("cell",),
    "Inbox entries that ingest has not written because they are pulled; of a hot author as many as "
    "it last knew followers, those who have left among them.",
)
PAGES_PULLED = _counter(
    "pages_pulled", ("cell",), "Pages that looked up posts which were not pushed to the reader."
)
TIMELINES_PULLED = _counter(
    "timelines_pulled", ("cell",), "Authors, but for hot ones, whom such pages asked one by one."
)
POSTS_PULLED = _counter("posts_pulled", ("cell",), "Posts that such pages looked up.")
PULLED_READERS = _gauge(
    "pulled_readers", ("cell",), "Readers who pull, by the last pass of decisions."
)
HOT_AUTHORS = _gauge(
    "hot_authors", ("cell",), "Authors whom everybody pulls, by the last pass of decisions."
)
SWITCHES = _counter(
    "switches", ("cell",), "Readers, authors and pairs that were told to be pulled or pushed."
)
READERS_FILLED = _counter(
    "readers_filled", ("cell",), "Readers whose inbox was filled with what they had to look up."
)
MATERIALIZE_PASS_SECONDS = _gauge(
    "materialize_pass_seconds", ("cell",), "How long the last pass of decisions took."
)
PUSH_COST_SECONDS = _gauge(
    "push_cost_seconds", ("cell",), "What an inbox entry costs, as measured (H)."
)
PULL_PAGE_COST_SECONDS = _gauge(
    "pull_page_cost_seconds", ("cell",), "What a page that pulls costs, as measured (part of L)."
)
PULL_TIMELINE_COST_SECONDS = _gauge(
    "pull_timeline_cost_seconds",
    ("cell",),
    "What each timeline of such a page costs, as measured (part of L).",
)
MOVES_CARRIED = _gauge("moves_carried", (), "Moves of readers that this mover carries now.")
RELAY_EVENTS = _counter(
    "relay_events", ("group",), "Events that this relay has brought to its group's log."
)
RELAY_LAG_SECONDS = _gauge(
    "relay_lag_seconds",
    ("group",),
    "How far this relay is behind the firehose in its partitions: the age of the oldest event that "
    "it has not brought to its group's log. None where it has stopped.",
)
RELAY_STOPPED = _gauge(
    "relay_stopped",
    ("group",),
    "1 where the relay must not go on: events are missing, or its group's log is damaged. "
    "Readiness and log say which, and what to do.",
)
RELAY_REPETITIONS = _counter(
    "relay_repetitions",
    ("cell",),
    "Events of its group's log that a cell has passed over, because it had them: what relays that "
    "were killed or overtaken have brought twice.",
)
IDS_GIVEN = _counter("ids_given", (), "Ids that this id server has given.")
LEASE_LEFT_SECONDS = _gauge(
    "lease_left_seconds",
    (),
    "For so long this id server gives ids although the registry is away; 0: it gives none.",
)
CLOCK_OFFSET_SECONDS = _gauge(
    "clock_offset_seconds",
    (),
    "The clocks of the other id servers less this one's, as last compared; none without others.",
)
STREAMS = _gauge("streams", (), "Streams of the firehose over HTTP that are open now.")
STREAM_EVENTS = _counter("stream_events", (), "Events sent over streams.")
STREAM_BYTES = _counter("stream_bytes", (), "Bytes of frames sent over streams.")
STREAM_SLOW_READERS = _counter(
    "stream_slow_readers", (), "Streams cut off because their clients did not take what was sent."
)
STREAM_WINDOW_EVENTS = _gauge(
    "stream_window_events", (), "The newest events, kept once for all streams; 0 without any."
)
STREAM_WINDOW_BYTES = _gauge("stream_window_bytes", (), "The size of their JSON.")

DECLARED: Final[tuple[Metric, ...]] = (
    CALLS,
    CALL_ERRORS,
    CALL_SECONDS,
    CALLS_IN_FLIGHT,
    CONNECTIONS,
    CONNECTIONS_OPENED,
    CONNECTIONS_IDLE_CLOSED,
    WIRE_FAULTS,
    READY,
    LAG_SECONDS,
    EVENTS_APPLIED,
    ROWS_WRITTEN,
    DEAD_LETTERS,
    DEAD_LETTERS_OPEN,
    POST_CACHE_HITS,
    POST_CACHE_MISSES,
    PAGE_CACHE_HITS,
    PAGE_CACHE_MISSES,
    DELIVERIES_SAVED,
    PAGES_PULLED,
    TIMELINES_PULLED,
    POSTS_PULLED,
    PULLED_READERS,
    HOT_AUTHORS,
    SWITCHES,
    READERS_FILLED,
    MATERIALIZE_PASS_SECONDS,
    PUSH_COST_SECONDS,
    PULL_PAGE_COST_SECONDS,
    PULL_TIMELINE_COST_SECONDS,
    MOVES_CARRIED,
    RELAY_EVENTS,
    RELAY_LAG_SECONDS,
    RELAY_STOPPED,
    RELAY_REPETITIONS,
    IDS_GIVEN,
    LEASE_LEFT_SECONDS,
    CLOCK_OFFSET_SECONDS,
    STREAMS,
    STREAM_EVENTS,
    STREAM_BYTES,
    STREAM_SLOW_READERS,
    STREAM_WINDOW_EVENTS,
    STREAM_WINDOW_BYTES,
)


@dataclass(frozen=True)
class Sample:
    """A value of a declared metric, now; `labels` in the order of its declaration."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


Source = Callable[[], Iterable[Sample]]
"""What a part of the platform has to say when metrics are read; called at each scrape."""


@dataclass(frozen=True)
class CallMetrics:
    """The metrics of one method's calls."""

    method: str
    calls: Counter
    errors: Counter
    seconds: Histogram
    in_flight: Gauge

    def begin(self) -> None:
        """A call is being worked on."""
        self.in_flight.inc()

    def end(self) -> None:
        """It no longer is."""
        self.in_flight.dec()

    def done(self, seconds: float, reason: str) -> None:
        """A call was answered; `reason` is its error's, "" for none."""
        self.calls.inc()
        self.seconds.observe(seconds)
        if reason:
            self.errors.labels(self.method, reason).inc()


class Metrics:
    """One process's (or one embedded server's) metrics, in a registry of their own."""

    def __init__(self, *, process: bool = False) -> None:
        """`process`: also tell the process's memory, processor time and open files."""
        self._registry = CollectorRegistry()
        if process:
            ProcessCollector(registry=self._registry)
        self._calls = self._make_counter(CALLS)
        self._errors = self._make_counter(CALL_ERRORS)
        self._seconds = Histogram(
            CALL_SECONDS.name,
            CALL_SECONDS.meaning,
            CALL_SECONDS.labels,
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            CALLS_IN_FLIGHT.name,
            CALLS_IN_FLIGHT.meaning,
            CALLS_IN_FLIGHT.labels,
            registry=self._registry,
        )
        self.connections = Gauge(CONNECTIONS.name, CONNECTIONS.meaning, registry=self._registry)
        self.connections_opened = self._make_counter(CONNECTIONS_OPENED)
        self.idle_closed = self._make_counter(CONNECTIONS_IDLE_CLOSED)
        self._wire_faults = self._make_counter(WIRE_FAULTS)
        self._sources = _Sources()
        self._registry.register(self._sources)

    def calls(self, method: str) -> CallMetrics:
        """The metrics of one method; `method` is a name out of an IDL, never a client's word."""
        return CallMetrics(
            method,
            self._calls.labels(method),
            self._errors,
            self._seconds.labels(method),
            self._in_flight.labels(method),
        )

    def wire_fault(self, kind: str) -> None:
        """A connection was closed for what came over it."""
        self._wire_faults.labels(kind).inc()

    def add_source(self, source: Source) -> None:
        """Have `source` asked at every scrape; one that raises is logged and left out of it."""
        self._sources.sources.append(source)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)

    def value(self, metric: Metric, *labels: str) -> float:
        """One value now, 0 where there is none yet; of a histogram the number of observations."""
        name = metric.name + ("_count" if metric.kind is Kind.HISTOGRAM else "")
        found = self._registry.get_sample_value(name, dict(zip(metric.labels, labels, strict=True)))
        return found or 0.0

    def _make_counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.meaning, metric.labels, registry=self._registry)


class _Sources:
    """Samples of all sources as families, which is how the registry wants them."""

    def __init__(self) -> None:
        self.sources: list[Source] = []

    def describe(self) -> Sequence[GaugeMetricFamily]:
        """Nothing: so that registering asks no source."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for source in self.sources:
            for sample in _samples(source):
                metric = sample.metric
                family = families.get(metric.name)
                if family is None:
                    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
                    family = make(metric.name, metric.meaning, labels=metric.labels)
                    families[metric.name] = family
                family.add_metric(sample.labels, sample.value)
        yield from families.values()


def _samples(source: Source) -> list[Sample]:
    try:
        return list(source())
    except Exception:  # noqa: BLE001 - one part's trouble must not hide all other metrics
        _log.exception("a source of metrics failed")
        return []
