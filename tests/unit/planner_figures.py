"""Figures of a bench that never was, round so that plans can be reckoned in the head."""

from ops.bench.measure import Figure
from ops.bench.report import to_json
from ops.planner.figures import Measured
from ops.planner.load import Keeping, Machine

MEASURED = Measured(
    deliveries_per_s=100_000.0,
    posts_per_s=10_000.0,
    kept_pages_per_s=8_000.0,
    read_pages_per_s=2_000.0,
    entry_bytes=16.0,
    edge_bytes=200.0,
    million_s=5.0,
)

KEEPING = Keeping(inbox_days=365, posts_days=365, firehose_days=7, replication=3)
MACHINE = Machine(
    cores=16,
    memory=128e9,
    disk=16e12,
    network=1.25e9,
    disk_full=0.7,
    headroom=0.5,
    bench_cores=2,
)


UNITS = {
    "pages-p99": "ms",
    "fanout-1000": "deliveries/s",
    "pages-most": "pages/s",
    "pages-read": "pages/s",
    "giant-warm": "s",
    "week": "s",
    "size": "bytes",
    "memory": "MiB",
}


def line(measure: str, figure: float | None, **other: object) -> Figure:
    """A line of performance.json."""
    named = {"measure": measure, "what": measure, "unit": UNITS[measure], "better": "higher"}
    return Figure(figure=figure, **(named | other))


def figures() -> list[Figure]:
    """The lines that `MEASURED` is made of, and one that nobody asks for."""
    edges = 200_000
    return [
        line("pages-p99", 7.0),
        line("fanout-1000", 100_000.0, peer="bare loop", peer_figure=120_000.0, ratio=0.83),
        line("fanout-1000", 100_000.0, peer="Java client"),
        line("pages-most", 8_000.0, peer="bare page server", peer_figure=4_000.0, ratio=2.0),
        line("pages-read", 2_000.0, peer="bare page server", peer_figure=1_500.0, ratio=1.33),
        line("giant-warm", 5.0, peer="bare loop", peer_figure=4.0, ratio=1.25),
        line("week", 50.0, count=500_000),
        line("size", 16.0),
        line("memory", 200 * edges / (1 << 20), count=edges),
    ]


def performance(lines: list[Figure] | None = None) -> bytes:
    """The bytes of a performance.json."""
    return to_json(figures() if lines is None else lines)
