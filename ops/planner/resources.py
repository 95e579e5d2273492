"""What a load asks of machines: one line for each thing that can run out, with its formula.

Lines of a cell are of one cell out of equal ones; lines of the firehose are of the platform.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ops.planner.amounts import amount as n
from ops.planner.amounts import count, percent
from ops.planner.figures import SOURCES, Measured
from ops.planner.load import (
    BASE_BYTES,
    BLOCK_BYTES,
    CACHE_S,
    DAY_S,
    ID_REQUESTS_PER_S,
    PAGE_POSTS,
    Keeping,
    Load,
    Machine,
    kept_share,
)


class Kind(StrEnum):
    """What of a machine is used. Lines of a kind add up; the kinds stand beside each other."""

    CORES = "cores"
    DISK = "disk"
    MEMORY = "memory"
    NETWORK = "network"
    REQUESTS = "requests"


@dataclass(frozen=True, slots=True)
class Resource:
    """`demand` at peak, and the `capacity` of one machine that may be used, both in `unit`.

    `machines` is the one over the other: a part of a machine may be left for other lines.
    """

    name: str
    kind: Kind
    demand: float
    capacity: float
    unit: str
    formula: str

    @property
    def machines(self) -> float:
        """Demand / capacity, not rounded."""
        return self.demand / self.capacity


@dataclass(frozen=True, slots=True)
class Setting:
    """What does not change while a load grows: figures, disks, machines, and `kept`, the part of
    pages that dashboards have kept (None: `kept_share`)."""

    measured: Measured
    keeping: Keeping
    machine: Machine
    kept: float | None = None

    def kept_of(self, load: Load) -> float:
        """The part of pages that dashboards have kept."""
        return kept_share(load) if self.kept is None else self.kept

    def bench_pages_per_s(self, load: Load) -> float:
        """What the bench's machine would answer of such pages: their times add up."""
        kept = self.kept_of(load)
        figures = self.measured
        return 1 / (kept / figures.kept_pages_per_s + (1 - kept) / figures.read_pages_per_s)


def machines_by_kind(resources: Iterable[Resource]) -> dict[Kind, float]:
    """The sum of each kind, not rounded."""
    sums: dict[Kind, float] = {}
    for each in resources:
        sums[each.kind] = sums.get(each.kind, 0.0) + each.machines
    return sums


def of_cell(setting: Setting, load: Load, cells: int) -> tuple[Resource, ...]:
    """The lines of one of `cells` equal cells."""
    return (
        *_cores(setting, load, cells),
        *_disk(setting, load, cells),
        *_memory(setting, load, cells),
    )


def _cores(setting: Setting, load: Load, cells: int) -> tuple[Resource, ...]:
    measured, machine = setting.measured, setting.machine
    scaled = (
        f"/ {n(machine.bench_cores)} cores x {n(machine.cores)} cores "
        f"x (1 - {percent(machine.headroom)})"
    )

    def line(name: str, demand: float, bench: float, told: str, source: str) -> Resource:
        formula = f"{told}; a machine: {n(bench)}/s ({source}) {scaled}"
        return Resource(name, Kind.CORES, demand, bench * machine.benches, "/s", formula)

    shared = f"/ {count(cells, 'cell')}"
    kept = setting.kept_of(load)
    pages_source = (
        f"1 / ({percent(kept)} kept / {n(measured.kept_pages_per_s)} "
        f"+ {percent(1 - kept)} / {n(measured.read_pages_per_s)})"
    )
    return (
        line(
            "deliveries",
            load.deliveries_per_s / cells,
            measured.deliveries_per_s,
            f"{n(load.posts_per_s)} posts/s x {n(load.readers_per_post)} readers {shared}",
            SOURCES["deliveries_per_s"],
        ),
        line(
            "posts of everybody",
            load.posts_per_s,
            measured.posts_per_s,
            f"{n(load.posts_per_day)} posts/day / {DAY_S:,} s x {n(load.peak)}, in every cell",
            SOURCES["posts_per_s"],
        ),
        line(
            "pages",
            load.pages_per_s / cells,
            setting.bench_pages_per_s(load),
            f"{n(load.views_per_day)} views/day / {DAY_S:,} s x {n(load.peak)} {shared}",
            pages_source,
        ),
    )


def _disk(setting: Setting, load: Load, cells: int) -> tuple[Resource, ...]:
    keeping, machine = setting.keeping, setting.machine
    entry_bytes = setting.measured.entry_bytes
    entries = load.deliveries_per_day * load.held(keeping.inbox_days) * keeping.inbox_days
    inbox = entries / cells * entry_bytes
    came = load.posts_per_day * load.held(keeping.posts_days) * keeping.posts_days
    posts = came * load.post_bytes
    copies = f"x {_copies(keeping)}"
    more_entries, more_posts = (_held(load, x) for x in (keeping.inbox_days, keeping.posts_days))
    entry = f"{n(keeping.inbox_days)} d x {n(entry_bytes)} B ({SOURCES['entry_bytes']}) {copies}"
    post = f"{n(keeping.posts_days)} d x {n(load.post_bytes)} B {copies}"
    per_day = f"{n(load.deliveries_per_day)} entries/day{more_entries}"
    rows = (
        (
            "inbox",
            inbox,
            f"{per_day} / {count(cells, 'cell')} x {entry}",
        ),
        (
            "posts of everybody, kept",
            posts,
            f"{n(load.posts_per_day)} posts/day{more_posts} x {post}, in every cell",
        ),
    )
    return tuple(
        Resource(
            name, Kind.DISK, one_copy * keeping.replication, machine.disk * machine.disk_full, "B",
            f"{told}; {_disk_of(machine)}",
        )
        for name, one_copy, told in rows
    )  # fmt: skip


def _memory(setting: Setting, load: Load, cells: int) -> tuple[Resource, ...]:
    machine = setting.machine
    edge_bytes = setting.measured.edge_bytes
    users = load.users / cells
    readers = users * load.active
    share = f"{n(load.users)} users / {count(cells, 'cell')}"
    expiry = f"{n(CACHE_S / DAY_S)} d"
    active = f"{share} x {percent(load.active)} active"
    rows = (
        (
            "follower sets",
            users * load.follows * edge_bytes,
            f"{share} x {n(load.follows)} follows x {n(edge_bytes)} B ({SOURCES['edge_bytes']})",
        ),
        (
            "block cache",
            readers * BLOCK_BYTES,
            f"{active} x a block of {BLOCK_BYTES:,} B",
        ),
        (
            "post cache",
            load.posts_per_day / DAY_S * CACHE_S * load.post_bytes,
            f"{n(load.posts_per_day)} posts/day x {expiry} x {n(load.post_bytes)} B, in every cell",
        ),
        (
            "kept pages",
            readers * PAGE_POSTS * load.post_bytes,
            f"{active} x {PAGE_POSTS} posts x {n(load.post_bytes)} B",
        ),
    )
    one = f"a machine: {n(machine.memory, 'B')} - {n(BASE_BYTES, 'B')}"
    return tuple(
        Resource(name, Kind.MEMORY, demand, machine.memory - BASE_BYTES, "B", f"{told}; {one}")
        for name, demand, told in rows
    )


def of_firehose(setting: Setting, load: Load, cells: int) -> tuple[Resource, ...]:
    """The lines of the firehose: a disk's and the network's, outwards."""
    keeping, machine = setting.keeping, setting.machine
    days = keeping.firehose_days
    per_day = load.posts_per_day * load.held(days) * load.post_bytes
    coming = load.posts_per_s * load.post_bytes
    readers = cells + keeping.replication - 1
    held = per_day * days * keeping.replication
    return (
        Resource(
            "firehose, kept", Kind.DISK, held, machine.disk * machine.disk_full, "B",
            f"{n(load.posts_per_day)} posts/day{_held(load, days)} x {n(load.post_bytes)} B "
            f"x {n(days)} d x {_copies(keeping)}; "
            f"{_disk_of(machine)}",
        ),
        Resource(
            "firehose, sent", Kind.NETWORK, coming * readers,
            machine.network * (1 - machine.headroom), "B/s",
            f"{n(load.posts_per_s)} posts/s x {n(load.post_bytes)} B "
            f"x ({count(cells, 'cell')} + {_copies(keeping)} - 1); "
            f"a machine: {n(machine.network, 'B')}/s x (1 - {percent(machine.headroom)})",
        ),
    )  # fmt: skip


def of_ids(load: Load) -> tuple[Resource, ...]:
    """The line of the id servers: a post takes an id."""
    return (
        Resource(
            "ids", Kind.REQUESTS, load.posts_per_s, ID_REQUESTS_PER_S, "/s",
            f"{n(load.posts_per_s)} posts/s; a server: {ID_REQUESTS_PER_S:,}/s (assumed)",
        ),
    )  # fmt: skip


def _copies(keeping: Keeping) -> str:
    return f"{keeping.replication} {'copy' if keeping.replication == 1 else 'copies'}"


def _held(load: Load, kept_days: float) -> str:
    held = load.held(kept_days)
    return f" x {n(held)} (more came before)" if held > 1 else ""


def _disk_of(machine: Machine) -> str:
    return f"a machine: {n(machine.disk, 'B')} x {percent(machine.disk_full)}"
