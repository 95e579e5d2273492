"""Growth: fan-out, pages, size and memory with 1, 2, 4 and 8 million inbox rows.

On a stage of its own posts with 1,000 followers fill the inbox to each mark; the speed of the last
half a million rows before it is its fan-out. At the mark 8 clients ask for pages as in `pages`, all
of them read from the tables, the inbox is compacted and weighed, and the worker's RSS is read. The
readers are the same 5,000 throughout, so dashboards get deeper.

A figure is the one at the largest mark; its peer is the same at the first. Near linear is taken to
mean that speeds keep 0.8 of the first, and bytes per entry and memory are within 1.25 of it.
"""

from dataclasses import dataclass

from cell import keys
from ops.bench import hbase_files
from ops.bench.bench import Bench, Curve
from ops.bench.calls import Pages
from ops.bench.clients import Load, run_load
from ops.bench.load import READERS_FROM, Crowd, crowd, repeated
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Trials, figures_of
from ops.bench.processes import resident_mib
from ops.bench.stage import INGEST, Stage

NAME = "growth"
MARKS = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
LAST_ROWS = 500_000
BODY = "a post that grows, " * 10
PLACE = 7
FIRST_READER = READERS_FROM + PLACE * 10_000_000
READER_COUNT = 5_000
PEER = "the first mark"


@dataclass(frozen=True, slots=True)
class AtMark:
    """What was measured at a mark."""

    rows: int
    fanout: float
    pages: float
    size: float
    memory: float


def run(bench: Bench) -> list[Figure]:
    """All marks, their curves, and the last beside the first."""
    stage = bench.stage(NAME)
    group = crowd(50, 1_000, READER_COUNT, PLACE)
    stage.stop_ingest()
    stage.plant_follows(group.authors, list(group.followers))
    stage.start_ingest()
    found: list[AtMark] = []
    rows = 0
    for mark in MARKS:
        fill(stage, group, mark - rows - LAST_ROWS)
        seconds = fill(stage, group, LAST_ROWS)
        rows = mark
        pages = run_load(
            Load(3.0, processes=2, threads=4),
            Pages(stage.found.router, (FIRST_READER, READER_COUNT), kept=False),
        ).per_s
        memory = float(resident_mib(stage.pid(INGEST)))
        size = hbase_files.compacted_bytes(stage, bench.hbase_jars(), keys.INBOX) / rows
        found.append(AtMark(rows, LAST_ROWS / seconds, pages, size, memory))
        bench.tell(
            f"{rows:,} rows: {found[-1].fanout:,.0f} deliveries/s, {pages:,.0f} pages/s, "
            f"{size:.1f} bytes per entry, {memory:.0f} MiB"
        )
    curves(bench, found)
    return figures(found)


def fill(stage: Stage, group: Crowd, rows: int) -> float:
    """Deliver about so many rows; seconds."""
    return stage.deliver(stage.posts(repeated(group.authors, rows // (group.each + 1)), BODY))


def curves(bench: Bench, found: list[AtMark]) -> None:
    """One plot: everything relative to the first mark."""
    first = found[0]
    lines: dict[str, list[tuple[float, float]]] = {
        "fan-out, deliveries/s": [(x.rows, x.fanout / first.fanout) for x in found],
        "pages/s": [(x.rows, x.pages / first.pages) for x in found],
        "bytes per entry": [(x.rows, x.size / first.size) for x in found],
        "memory of the worker": [(x.rows, x.memory / first.memory) for x in found],
    }
    title = "Growth, relative to the first mark"
    bench.curves.append(Curve(title, "growth.svg", "inbox rows", "relative", lines))


def figures(found: list[AtMark]) -> list[Figure]:
    """The last mark, beside the first."""
    last, first = found[-1], found[0]
    rows = (
        ("fanout", "deliveries/s", True, 0.8, last.fanout, first.fanout),
        ("pages", "pages/s", True, 0.8, last.pages, first.pages),
        ("size", "bytes per entry", False, 1.25, last.size, first.size),
        ("memory", "MiB of the worker", False, 1.25, last.memory, first.memory),
    )
    result: list[Figure] = []
    for name, unit, higher, bound, ours, theirs in rows:
        measure = Measure(
            f"{NAME}-{name}",
            f"growth: {name} at {last.rows:,} rows, of {first.rows:,}",
            unit,
            higher_is_better=higher,
            goals=(Goal(bound, PEER),),
        )
        result += figures_of(measure, Trials({PRODUCT: [ours], PEER: [theirs]}))
    return result
