"""Machines for a load: those of each cell, of the firehose, and the small ones; now and later."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ops.planner.load import PARTITIONS, SMALL_MACHINES, Load, cells_for
from ops.planner.resources import (
    Resource,
    Setting,
    machines_by_kind,
    of_cell,
    of_firehose,
    of_ids,
)

ROUTERS_OF_BENCH = 2
DASHBOARDS_OF_BENCH = 2
"""Beside one ingest worker (`ops.bench.stage`)."""


@dataclass(frozen=True, slots=True)
class Processes:
    """How many services there have to be, as many as the bench had for such a rate; not bounded by
    what the settings allow on one machine (`ops.config_settings.PROCESSES_MAX`).

    `workers` and `dashboards` are those of a cell (the settings ingest.workers,
    listen.dashboards); `routers` (listen.routers) and `id_servers` the platform's. A router has
    the same work for every page, so it is the rate of kept pages that tells what it can do.
    """

    workers: int
    dashboards: int
    routers: int
    id_servers: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Machines for one load. `cell` are the lines of one of `cells` equal cells.

    `small_machines`: each has one id server at most, and three of them the registry as well.
    """

    load: Load
    kept: float
    cells: int
    cell: tuple[Resource, ...]
    firehose: tuple[Resource, ...]
    ids: tuple[Resource, ...]
    cell_machines: int
    firehose_machines: int
    small_machines: int
    processes: Processes

    @property
    def machines(self) -> int:
        """Of the whole platform, the small ones counted in."""
        return self.cells * self.cell_machines + self.firehose_machines + self.small_machines

    @property
    def resources(self) -> tuple[Resource, ...]:
        """All lines."""
        return (*self.cell, *self.firehose, *self.ids)


def make_plan(setting: Setting, load: Load, cells: int | None, cell_users: float) -> Plan:
    """The machines for `load`; `cells` cells, or with None so many users in each.

    What is of a cell shares that cell's machines: lines of a kind (cores, disk, memory) add up, and
    the kind that takes most decides. No fewer than there are copies.
    """
    count = cells_for(load, cells, cell_users)
    cell = of_cell(setting, load, count)
    processes = _processes(setting, load, count)
    firehose = of_firehose(setting, load, count)
    return Plan(
        load=load,
        kept=setting.kept_of(load),
        cells=count,
        cell=cell,
        firehose=firehose,
        ids=of_ids(load),
        cell_machines=_whole(cell, setting),
        firehose_machines=_whole(firehose, setting),
        small_machines=max(SMALL_MACHINES, processes.id_servers),
        processes=processes,
    )


def deciding(resources: Sequence[Resource], machines: int) -> str:
    """What makes it so many: the kind that takes most, or "copies" where one machine would do."""
    sums = machines_by_kind(resources)
    most = max(sums, key=lambda kind: sums[kind])
    return most if sums[most] > machines - 1 else "copies"


def worker_share(setting: Setting, load: Load, cells: int) -> float:
    """How many workers as busy as the bench's the ingest of one cell takes, not rounded."""
    measured = setting.measured
    return (
        load.deliveries_per_s / cells / measured.deliveries_per_s
        + load.posts_per_s / measured.posts_per_s
    )


def _whole(resources: Sequence[Resource], setting: Setting) -> int:
    most = max(machines_by_kind(resources).values())
    return max(math.ceil(most), setting.keeping.replication)


def _processes(setting: Setting, load: Load, cells: int) -> Processes:
    free = 1 - setting.machine.headroom
    workers = worker_share(setting, load, cells) / free
    pages = load.pages_per_s / setting.bench_pages_per_s(load) / free
    relayed = load.pages_per_s / setting.measured.kept_pages_per_s / free
    (ids,) = of_ids(load)
    return Processes(
        workers=min(PARTITIONS, math.ceil(workers)),
        dashboards=math.ceil(DASHBOARDS_OF_BENCH * pages / cells),
        routers=math.ceil(ROUTERS_OF_BENCH * relayed),
        id_servers=max(2, math.ceil(ids.machines)),
    )
