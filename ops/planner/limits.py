"""What breaks first: by which factor a load may grow until each limit is reached.

The load grows by users with the same habits (`Load.times`), the machines and the cells stay those
of the plan. Every demand grows in proportion, so a factor is what there is over what is used.
Headroom counts as free here: at the factor the machines do all that was measured.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from idgen.ids import SEQUENCES, WORKERS
from ops.planner.amounts import amount as n
from ops.planner.amounts import count
from ops.planner.load import PARTITIONS, Machine
from ops.planner.plan import Plan, worker_share
from ops.planner.resources import Kind, Resource, Setting, machines_by_kind

IDS_PER_S = WORKERS * SEQUENCES * 1000
MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Limit:
    """`factor`: of today's load, at which it is reached; 1: now, and it is just enough.

    `years` until then at the growth that was given, 0 when it is passed; None: not at this growth.
    `machines_help`: whether more machines of the same kind move it; `remedy` says what does.
    """

    name: str
    factor: float
    years: float | None
    formula: str
    machines_help: bool
    remedy: str

    @property
    def passed(self) -> bool:
        """Whether what there is is not enough for the load of now."""
        return self.factor < 1


def limits(
    setting: Setting, plan: Plan, growth: float, deliver_within_s: float
) -> tuple[Limit, ...]:
    """All limits, the first to break first."""
    found: list[_Found] = [
        *_of_machines("a cell", plan.cell, plan.cell_machines, setting.machine),
        *_of_machines("the firehose", plan.firehose, plan.firehose_machines, setting.machine),
        *_of_machines("the id servers", plan.ids, plan.processes.id_servers, setting.machine),
        *_of_partitions(setting, plan),
        _of_author(setting, plan, deliver_within_s),
        _of_ids(plan),
    ]
    dated = [
        Limit(each.name, each.factor, years_until(each.factor, growth), each.formula,
              each.machines_help, each.remedy)
        for each in found
    ]  # fmt: skip
    return tuple(sorted(dated, key=lambda limit: limit.factor))


def years_until(factor: float, growth: float) -> float | None:
    """When (1 + growth)^years is the factor; None: never."""
    if factor < 1:
        return 0.0
    return math.log(factor) / math.log1p(growth) if growth > 0 else None


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    factor: float
    formula: str
    remedy: str
    machines_help: bool = False


_REMEDIES = {
    Kind.CORES: "machines with more cores, or more of them",
    Kind.DISK: "more disks, or keep less; posts are in every cell, so fewer and larger cells help",
    Kind.MEMORY: "more memory; with less, caches miss and follower sets are read anew",
    Kind.NETWORK: "more machines for Kafka, or fewer and larger cells",
    Kind.REQUESTS: "more id servers",
}


def _of_machines(
    whose: str, resources: tuple[Resource, ...], machines: int, machine: Machine
) -> Iterator[_Found]:
    for kind, used in machines_by_kind(resources).items():
        # The headroom of rates is not lost: what was measured is the limit.
        free = 1 - machine.headroom if kind in (Kind.CORES, Kind.NETWORK) else 1.0
        there = f"{machines} / (1 - {machine.headroom:g})" if free < 1 else f"{machines}"
        yield _Found(
            f"{whose}: {kind}",
            machines / free / used,
            f"{there} / {n(used)} machines used",
            _REMEDIES[kind],
            machines_help=True,
        )


def _of_partitions(setting: Setting, plan: Plan) -> Iterator[_Found]:
    """Where machines do not help and, in the end, cells neither."""
    load = plan.load
    busy = worker_share(setting, load, plan.cells)
    alone = load.posts_per_s / setting.measured.posts_per_s
    sent = load.posts_per_s * load.post_bytes * (plan.cells + setting.keeping.replication - 1)
    network = setting.machine.network
    yield _Found(
        "a cell's ingest: one worker for each partition",
        PARTITIONS / busy,
        f"{PARTITIONS} partitions / {n(busy)} workers as busy as the bench's",
        "more cells: each has workers of its own, though everybody's posts come to all",
    )
    yield _Found(
        "ingest of everybody's posts, however many cells",
        PARTITIONS / alone,
        f"{PARTITIONS} partitions / {n(alone)} workers for the posts alone",
        "more partitions, which are fixed for a platform's life",
    )
    yield _Found(
        "the firehose to all cells: one machine for each partition",
        PARTITIONS * network / sent,
        f"{PARTITIONS} partitions x {n(network, 'B')}/s / {n(sent, 'B')}/s",
        "fewer and larger cells, or a faster network",
    )


def _of_author(setting: Setting, plan: Plan, within_s: float) -> _Found:
    """The largest author's post: every cell writes its share of the entries at the same time."""
    followers = plan.load.largest_author / plan.cells
    million_s = setting.measured.million_s
    largest = n(plan.load.largest_author)
    return _Found(
        f"the largest author's post within {n(within_s)} s",
        within_s / (million_s * followers / MILLION),
        f"{n(within_s)} s / ({n(million_s)} s (giant-warm) x {largest} followers "
        f"/ {count(plan.cells, 'cell')} / 1 M)",
        "more cells, which share such a post, or a longer time for it",
    )


def _of_ids(plan: Plan) -> _Found:
    asked = plan.load.posts_per_s
    return _Found(
        "ids of all workers",
        IDS_PER_S / asked,
        f"{WORKERS:,} worker ids x {SEQUENCES:,} x 1,000/s / {n(asked)} posts/s",
        "none: it is the form of ids",
    )
