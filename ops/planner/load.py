"""What comes in, what is kept for how long, and on what machines; values alone."""

import math
from dataclasses import dataclass, replace

from ops.config_settings import PARTITIONS_DEFAULT, Cache

DAY_S = 86_400
YEAR_DAYS = 365


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in. `fan_out`: followers of a post's author, on average over posts.

    `peak`: the busiest second over the mean one. `post_bytes`: a post as it is stored. `follows`:
    whom a user follows, on average. `active`: the share of users who look on one day.
    `largest_author`: followers of whoever has most. `growth_before`: what each of the
    `years_before` has added to it, as a part (above -1).
    """

    users: float
    posts_per_day: float
    fan_out: float
    views_per_day: float
    peak: float
    post_bytes: float
    follows: float
    active: float
    largest_author: float
    growth_before: float = 0.0
    years_before: float = 0.0

    @property
    def readers_per_post(self) -> float:
        """Entries that a post makes: one for each follower, and the author's own."""
        return self.fan_out + 1

    @property
    def deliveries_per_day(self) -> float:
        """Entries a day."""
        return self.posts_per_day * self.readers_per_post

    @property
    def posts_per_s(self) -> float:
        """At peak."""
        return self.posts_per_day / DAY_S * self.peak

    @property
    def deliveries_per_s(self) -> float:
        """At peak."""
        return self.deliveries_per_day / DAY_S * self.peak

    @property
    def pages_per_s(self) -> float:
        """At peak."""
        return self.views_per_day / DAY_S * self.peak

    def times(self, factor: float) -> "Load":
        """The same habits of so many times the users."""
        return replace(
            self,
            users=self.users * factor,
            posts_per_day=self.posts_per_day * factor,
            views_per_day=self.views_per_day * factor,
            largest_author=self.largest_author * factor,
        )

    def after(self, years: float, growth: float) -> "Load":
        """In so many years, `growth` being the part that is added each year (above -1)."""
        grown = self.times((1 + growth) ** years)
        return replace(grown, growth_before=growth, years_before=years)

    def held(self, kept_days: float) -> float:
        """What came at most on one of the days that are kept, over what comes on a day now.

        Above 1 only where the load has shrunk: what is still kept may have come when there was
        more.
        """
        since = min(kept_days / YEAR_DAYS, self.years_before)
        shrunk: float = (1 + self.growth_before) ** -since
        return max(1.0, shrunk)


@dataclass(frozen=True, slots=True)
class Keeping:
    """For how many days the disks hold what, in how many copies (HBase's and Kafka's)."""

    inbox_days: float
    posts_days: float
    firehose_days: float
    replication: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One of equal machines, and how much of it may be used.

    `network`: bytes a second in one direction. `disk_full`: the share of its disks that may be
    used. `headroom`: the share of what was measured that stays free at peak. `bench_cores`: the
    cores of the machine on which the figures were taken.
    """

    cores: float
    memory: float
    disk: float
    network: float
    disk_full: float
    headroom: float
    bench_cores: float

    @property
    def benches(self) -> float:
        """How many of the bench's machines it is at peak: rates grow with cores (assumed)."""
        return self.cores / self.bench_cores * (1 - self.headroom)


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is assumed, since no figure says it."""

    name: str
    value: float
    unit: str
    source: str


BASE_BYTES = 8e9
BLOCK_BYTES = 64 * 1024
PAGE_POSTS = 20
CACHE_S = Cache().expiry_s
PARTITIONS = PARTITIONS_DEFAULT["stack"]
ID_REQUESTS_PER_S = 10_000
SMALL_MACHINES = 3

ASSUMED = (
    Assumed("memory of a machine that is no cache", BASE_BYTES, "B",
            "system, heaps, gateways and services: what their heaps are set to"),
    Assumed("a block of a table", BLOCK_BYTES, "B",
            "HBase's default; a reader's newest page lies in one"),
    Assumed("a page", PAGE_POSTS, "posts", "the API's default limit, which the bench asks for"),
    Assumed("a post stays in the cache", CACHE_S, "s", "the setting cache.expiry_s"),
    Assumed("partitions, with events spread evenly", PARTITIONS, "", "platform.partitions"),
    Assumed("requests that an id server answers", ID_REQUESTS_PER_S, "/s",
            "what it is designed for; no measure"),
    Assumed("small machines for registry and id servers, at least", SMALL_MACHINES, "",
            "a majority outlives one of three; id servers beyond the third have their own"),
)  # fmt: skip
LINEAR = (
    "rates grow with cores: a machine does cores / --bench-cores times what was measured on the "
    "machine of the bench, which ran all servers, all services and the load as well"
)
LEFT_OUT = (
    "notices, likes, follows, marks and removals",
    "logs of HBase and space while it compacts (leave it by --disk-full)",
    "the network of cells' machines, and Kafka's processor time",
    "how long a page takes: plan for half of what was measured, and it stays as in the bench",
)


def kept_share(load: Load) -> float:
    """The part of pages that a dashboard has kept: views / (views + entries).

    A page is kept until an entry comes to its reader. With views and entries of a reader in random
    order, this is how often what came before a view was a view. All readers count as alike.
    """
    return load.views_per_day / (load.views_per_day + load.deliveries_per_day)


def cells_for(load: Load, cells: int | None, cell_users: float) -> int:
    """The number of cells: as given, else by users for each."""
    return cells if cells is not None else max(1, math.ceil(load.users / cell_users))
