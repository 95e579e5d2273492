"""A new cell: megabytes a second of posts that a mover copies from a donor into a cell that is
added, beside a bare copy of the same table. And of a backup of the donor, and of loading that into
empty tables at the new cell's gateway, as restoring does.

One cell with POSTS posts of a kilobyte each; a second one is added, with servers of its own. The
product's seconds are those of the state bootstrapping, positions and records included; the bare
copy goes from the same donor into tables of its own at the new cell's gateway, and the median of
three is taken. Nothing else goes on.
"""

import base64
import random
import statistics
import threading
import time
from dataclasses import replace

from cell import keys
from cell.backup import Wish
from cell.backup_load import load
from cell.state import homes_now
from cell.tables_hbase import HBaseGateway, HBaseTables
from firehose.event import Draft, PostCreated
from ops.bench.bench import Bench
from ops.bench.load import repeated
from ops.bench.measure import PRODUCT, Figure, Measure, Trials, figures_of
from ops.bench.peers.bare_copy import bare_copy
from ops.bench.stage import CELL, Stage, full_name
from ops.platform_port import NewCell
from router.cells import CellInfo, CellState, read_cell

NAME = "cells"
PEER = "bare copy"
POSTS = 300_000
"""Enough of them that what is the same for any size (a new HBase whose code is not compiled yet,
consumer groups: some 4 s) is a fifth of the time, and not half of it."""
AUTHORS = 2_000
FIRST_AUTHOR = 800_000_000
BODY_BYTES = 700
"""Random ones, in base64: about a kilobyte that does not compress to nothing."""
COPIES = 3
LOOK_S = 0.2
BRING_UP_S = 900.0


def run(bench: Bench) -> list[Figure]:
    """Megabytes a second of both, and their ratio."""
    bench.close()
    stage = Stage(bench.tell)
    try:
        return _added(bench, stage)
    finally:
        bench.tell("stopping the stack")
        stage.close()


def _added(bench: Bench, stage: Stage) -> list[Figure]:
    authors = list(range(FIRST_AUTHOR, FIRST_AUTHOR + AUTHORS))
    bench.tell(f"{POSTS:,} posts of a kilobyte")
    rnd = random.Random(1)
    stage.deliver([_post(stage, author, rnd) for author in repeated(authors, POSTS)])
    info = _dark(bench, stage)
    assert info.bootstrap is not None
    seconds = (_at_ms(info, CellState.DARK) - _at_ms(info, CellState.BOOTSTRAPPING)) / 1000
    ours = info.bootstrap.size / 1e6 / seconds
    bench.tell(f"{info.bootstrap.size / 1e6:,.0f} MB in {seconds:.1f} s")
    theirs = [_bare(bench, stage, info.hbase_thrift2[0], number) for number in range(COPIES)]
    measure = Measure(
        f"{NAME}-bootstrap", "posts copied into a new cell", "MB/s", higher_is_better=True
    )
    found = figures_of(measure, Trials({PRODUCT: [ours], PEER: [statistics.median(theirs)]}))
    return found + _backed_up(bench, stage, info)


def _post(stage: Stage, author: int, rnd: random.Random) -> tuple[int, bytes]:
    """A new post, encoded."""
    body = base64.b64encode(rnd.randbytes(BODY_BYTES)).decode()
    return stage.record(PostCreated(stage.ids.take(1)[0], author, Draft(body=body)))


def _backed_up(bench: Bench, stage: Stage, other: CellInfo) -> list[Figure]:
    """Megabytes of keys and values that a backup writes and that restoring loads in a second."""
    folder = stage.folder / "backup"
    began = time.monotonic()
    manifest = stage.platform.backups.take(CELL, folder, Wish(), lambda _: None)
    assert other.bootstrap is not None
    size = other.bootstrap.size / 1e6
    taken = size / (time.monotonic() - began)
    bench.tell(f"backup of {size:,.0f} MB: {taken:.1f} MB/s")
    empty = HBaseTables([HBaseGateway(other.hbase_thrift1[0], other.hbase_thrift2[0])], "restored_")
    empty.create(keys.TABLES)
    stores = stage.seams.cell(CELL)
    homes = homes_now(stores.state().read().values())
    began = time.monotonic()
    load(replace(stores, tables=empty), folder, manifest, homes)
    loaded = size / (time.monotonic() - began)
    empty.close()
    bench.tell(f"restored: {loaded:.1f} MB/s")
    return [
        *_one("backup", "a cell backed up", taken),
        *_one("restore", "a backup loaded into empty tables", loaded),
    ]


def _one(name: str, what: str, rate: float) -> list[Figure]:
    measure = Measure(f"{NAME}-{name}", what, "MB/s", higher_is_better=True)
    return figures_of(measure, Trials({PRODUCT: [rate]}))


def _dark(bench: Bench, stage: Stage) -> CellInfo:
    """Add a cell, and wait until it is dark."""
    bench.tell("adding a cell")
    registry = stage.seams.registry
    stage.platform.cells.add(NewCell("b"))
    pause = threading.Event()
    for _ in range(int(BRING_UP_S / LOOK_S)):
        info = read_cell(registry, "b").info
        if info.bootstrap is not None and info.bootstrap.trouble:
            raise RuntimeError(info.bootstrap.trouble)
        if info.state is CellState.DARK:
            return info
        pause.wait(LOOK_S)
    raise RuntimeError(f"cell b is not dark after {BRING_UP_S:.0f} s")


def _bare(bench: Bench, stage: Stage, target: str, number: int) -> float:
    name = f"bare{number}"
    stage.seams.cell("b").tables.create((name,))
    began = time.monotonic()
    size = bare_copy(stage.found.hbase_thrift2, full_name("posts"), target, full_name(name))
    rate = size / 1e6 / (time.monotonic() - began)
    bench.tell(f"bare copy: {rate:.1f} MB/s")
    return rate


def _at_ms(info: CellInfo, state: CellState) -> int:
    return next(each.at_ms for each in info.history if each.state == state)
