"""Size: bytes on disk per inbox entry, after a major compaction, once the Higgs week is applied.

A stage on which `week` was taken holds the week's posts as often as that had rounds (twice in a
whole run), each time under new ids; on one of its own they are applied once. The line says of how
many entries it is.

All store files of the inbox's regions count, with their indexes and Bloom filters; the write-ahead
log does not. Which encoding is best is measured too: the rows of a quarter of the readers are
copied into a table of each form, flushed, compacted and weighed.
"""

from collections.abc import Iterator

from cell import keys
from cell.tables import FixedRows
from ops.bench import hbase_files
from ops.bench.bench import Bench
from ops.bench.hbase_files import Form
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Trials, figures_of
from ops.bench.measures.week import STAGE, apply_follows, apply_posts, name_of
from ops.bench.stage import Stage

NAME = "size"
BYTES_MAX = 18
READ_ROWS = 200_000
SHARE = 4
FORMS = (
    Form("NONE", "NONE"),
    Form("FAST_DIFF", "NONE"),
    Form("NONE", "GZ"),
    Form("ROW_INDEX_V1", "GZ"),
    Form("PREFIX", "GZ"),
    Form("DIFF", "GZ"),
    Form("FAST_DIFF", "GZ"),
)


def run(bench: Bench) -> list[Figure]:
    """The product's own table, then one of each form."""
    stage = with_week(bench)
    stage.stop_ingest()
    weight = hbase_files.compacted_bytes(stage, bench.hbase_jars(), keys.INBOX)
    entries = sum(len(rows.versions) for rows in rows_of(stage, b""))
    each = weight / entries
    bench.tell(f"{entries:,} entries of {each:.2f} bytes")
    found = of_inbox(each, entries, name_of(bench.week()))
    by_form = {form: weighed(bench, stage, form) for form in FORMS}
    stage.start_ingest()
    return found + [figure for form, size in by_form.items() for figure in _of_form(form, size)]


def of_inbox(each: float, entries: int, week: str) -> list[Figure]:
    """The line of the product's own table: `each` is bytes an entry, `week` what was applied."""
    measure = Measure(
        NAME,
        f"bytes on disk per inbox entry, {entries:,} entries of {week}, compacted",
        "bytes",
        higher_is_better=False,
        goals=(Goal(BYTES_MAX),),
        count=entries,
    )
    return figures_of(measure, Trials({PRODUCT: [each]}))


def _of_form(form: Form, size: float) -> list[Figure]:
    measure = Measure(
        f"{NAME}-{form.encoding}-{form.compression}",
        f"the same as {form.name}, a quarter of the readers",
        "bytes",
        higher_is_better=False,
    )
    return figures_of(measure, Trials({PRODUCT: [size]}))


def with_week(bench: Bench) -> Stage:
    """A stage to which the week was applied once."""
    stage = bench.stage(STAGE)
    if stage.once("week"):
        week = bench.week()
        apply_follows(bench, stage, week)
        apply_posts(bench, stage, week)
    return stage


def rows_of(stage: Stage, stop: bytes) -> Iterator[FixedRows]:
    """The inbox's rows below `stop`, in parts."""
    start = b""
    while True:
        rows = stage.tables.scan_fixed(keys.INBOX, start, stop, READ_ROWS)
        yield rows
        if len(rows.versions) < READ_ROWS:
            return
        start = rows.keys[-1].tobytes() + b"\x00"


def weighed(bench: Bench, stage: Stage, form: Form) -> float:
    """Bytes per entry of a part of the inbox in this form."""
    table = f"bench_size_{form.encoding}_{form.compression}".lower()
    hbase_files.create(stage, table, form)
    entries = 0
    for rows in rows_of(stage, ((1 << 64) // SHARE).to_bytes(8)):
        stage.tables.put_fanout(table, rows)
        entries += len(rows.versions)
    each = hbase_files.compacted_bytes(stage, bench.hbase_jars(), table) / entries
    hbase_files.drop(stage, table)
    bench.tell(f"{form.name}: {each:.2f} bytes per entry of {entries:,}")
    return each
