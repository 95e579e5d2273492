"""Every setting there is: its section, type, bounds, default and meaning.

docs/configuration.md is made from this; `ops.config` reads the values. Times and sizes carry
their unit as the last part of their names.
"""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

WEEK_MS: Final = 7 * 24 * 3600 * 1000
_NAMES: Final = "abcdefghijklmnopqrstuvwxyz"
_ADDRESS: Final = r"^[^\s:]+:[0-9]{1,5}$|^\[[0-9a-fA-F:]+\]:[0-9]{1,5}$|^$"

PROCESSES_MAX: Final = 64
"""Of one kind, on one machine: routers, and a cell's dashboards and ingest workers."""
PARTITIONS_DEFAULT: Final = {"stack": 64, "embedded": 8}


class Secret:
    """A password: told to servers and to nobody else, so it does not print itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The password itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "***" if self._text else "''"

    __str__ = __repr__


Port = Annotated[int, Meta(ge=0, le=65535)]
CellName = Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,31}$")]
Address = Annotated[str, Meta(pattern=_ADDRESS)]
Positive = Annotated[int, Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all sections; a section's docstring is its paragraph in the reference."""


class Platform(Section, frozen=True, kw_only=True):
    """What the platform is and where it keeps its data."""

    data: Annotated[
        str,
        Meta(description="The platform's folder; DASHCELL_DATA for short, or `--data`."),
    ] = "dashcell-data"
    profile: Annotated[
        Literal["embedded", "stack"],
        Meta(
            description="`embedded`: all in one process over SQLite. `stack`: real ZooKeeper, "
            "Kafka, HBase and Redis, and a process for each service."
        ),
    ] = "embedded"
    cells: Annotated[
        Annotated[int, Meta(ge=1, le=26)] | Annotated[tuple[CellName, ...], Meta(min_length=1)],
        Meta(description="The cells: how many (they are named a, b, c and so on), or their names."),
    ] = 1
    partitions: Annotated[
        int,
        Meta(
            ge=0,
            le=1024,
            description="Partitions of the firehose, fixed for the platform's life; 0: 64 for the "
            "stack profile, 8 for the embedded one.",
        ),
    ] = 0

    log_base: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 47,
            description="Added to all offsets in versions of rows: a new log goes on above those "
            "of a platform whose backups are restored. Written down when a platform is made; 0: "
            "as it was made, 0 for a new one. `cellctl backup-cell` says which to take.",
        ),
    ] = 0

    groups: Annotated[
        dict[CellName, tuple[CellName, ...]],
        Meta(
            description="Cells of a new platform that are behind a relay, by group: `[platform."
            'groups]` with `east = ["b", "c"]`. The others read the firehose itself; `cellctl '
            "add-cell --group` adds more."
        ),
    ] = {}

    @property
    def cell_groups(self) -> dict[str, str]:
        """The group of each cell that has one."""
        return {cell: group for group, cells in self.groups.items() for cell in cells}

    @property
    def cell_names(self) -> tuple[str, ...]:
        """The cells' names."""
        return tuple(_NAMES[: self.cells]) if isinstance(self.cells, int) else self.cells

    @property
    def partition_count(self) -> int:
        """Partitions of the firehose, the profile's default filled in."""
        return self.partitions or PARTITIONS_DEFAULT[self.profile]


class Listen(Section, frozen=True, kw_only=True):
    """Where services listen. Port 0 is one that is free; other commands find it in the platform's
    folder. With several cells on one machine leave the cells' ports at 0."""

    host: Annotated[str, Meta(description="The address that all services listen on.")] = "127.0.0.1"
    router: Annotated[Port, Meta(description="The router's Thrift port.")] = 0
    routers: Annotated[
        int,
        Meta(
            ge=1,
            le=PROCESSES_MAX,
            description="Routers that `cellctl up` starts under the stack profile, on one port: "
            "the kernel shares out the connections. One process uses one core at most.",
        ),
    ] = 1
    dashboard: Annotated[Port, Meta(description="A cell's dashboard's Thrift port.")] = 0
    dashboards: Annotated[
        int,
        Meta(
            ge=1,
            le=PROCESSES_MAX,
            description="Dashboards per cell that `cellctl up` starts under the stack profile, all "
            "but the first on free ports: routers ask always the same for a reader.",
        ),
    ] = 1
    idgen: Annotated[Port, Meta(description="idgen's Thrift port.")] = 0
    firehose: Annotated[Port, Meta(description="The firehose's Thrift port.")] = 0
    stream: Annotated[Port, Meta(description="The firehose's HTTP port, for streams.")] = 0
    admin: Annotated[
        Port, Meta(description="The admin HTTP port of a service run by `cellctl serve`.")
    ] = 0
    stack: Annotated[
        dict[str, Port],
        Meta(
            description="Ports of servers that `cellctl up` starts, by child (`zookeeper`, "
            "`kafka`, `hbase-a-thrift2`, `redis-a`), or child/purpose (`kafka/controller`)."
        ),
    ] = {}


class ListenTls(Section, frozen=True, kw_only=True):
    """TLS on every listener of every service. Without `cert` the listeners are plain."""

    cert: Annotated[str, Meta(description="PEM file of the certificate and its chain.")] = ""
    key: Annotated[str, Meta(description="PEM file of its private key.")] = ""
    client_ca: Annotated[
        str,
        Meta(
            description="PEM file of the authorities whose client certificates are accepted; if "
            "set, a client has to have one."
        ),
    ] = ""


class CellServers(Section, frozen=True, kw_only=True):
    """The servers of one cell that run already."""

    hbase_thrift1: Annotated[Address, Meta(description="HBase's Thrift 1 gateway.")] = ""
    hbase_thrift2: Annotated[Address, Meta(description="HBase's Thrift 2 gateway.")] = ""
    redis: Annotated[Address, Meta(description="Redis.")] = ""


class Servers(Section, frozen=True, kw_only=True):
    """Addresses (`host:port`) of servers that run already; `cellctl up` starts what is left out."""

    zookeeper: Annotated[str, Meta(description="ZooKeeper's addresses, separated by commas.")] = ""
    kafka: Annotated[str, Meta(description="Kafka's bootstrap addresses, separated by commas.")] = (
        ""
    )
    kafka_replication: Annotated[
        int,
        Meta(ge=1, le=7, description="Replicas of each Kafka topic; 3 where there are 3 brokers."),
    ] = 1
    groups: Annotated[
        dict[CellName, str],
        Meta(
            description="Kafka's bootstrap addresses, by group, for groups of cells whose topic is "
            'in a Kafka of their own: `[servers.groups]` with `east = "host:9092"`.'
        ),
    ] = {}
    cells: Annotated[
        dict[CellName, CellServers],
        Meta(description="By cell: `[servers.cells.a]` with hbase_thrift1, hbase_thrift2, redis."),
    ] = {}

    def left_out(self, cells: Iterable[str]) -> frozenset[str]:
        """The kinds of servers of which `cellctl up` starts at least one, for these cells."""
        given = [self.cells.get(cell, CellServers()) for cell in cells]
        all_given = {
            "zookeeper": bool(self.zookeeper),
            "kafka": bool(self.kafka),
            "hbase": all(cell.hbase_thrift1 and cell.hbase_thrift2 for cell in given),
            "redis": all(cell.redis for cell in given),
        }
        return frozenset(kind for kind, there in all_given.items() if not there)


class Access(Section, frozen=True, kw_only=True):
    """How to be let in by a server."""

    user: Annotated[str, Meta(description="The user's name; empty: no authentication.")] = ""
    password: Annotated[Secret, Meta(description="The user's password.")] = Secret()
    tls: Annotated[bool, Meta(description="Whether to speak TLS.")] = False
    ca: Annotated[
        str, Meta(description="PEM file of the authorities to trust; empty: the system's.")
    ] = ""
    cert: Annotated[str, Meta(description="PEM file of our own certificate, if asked for.")] = ""
    key: Annotated[str, Meta(description="PEM file of its private key.")] = ""
    verify: Annotated[
        bool, Meta(description="Whether the server's certificate and name are checked.")
    ] = True


class Kafka(Access, frozen=True, kw_only=True):
    """How to be let in by Kafka."""

    mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        Meta(description="The SASL mechanism, where there is a user."),
    ] = "SCRAM-SHA-512"


class Redis(Access, frozen=True, kw_only=True):
    """How to be let in by Redis, the same for every cell."""


class ZooKeeper(Access, frozen=True, kw_only=True):
    """How to be let in by ZooKeeper, and where our nodes are."""

    root: Annotated[
        str, Meta(pattern="^(/[A-Za-z0-9._-]+)+$", description="The node above all of ours.")
    ] = "/dashcell"
    session_ms: Annotated[int, Meta(ge=1000, le=120_000, description="The session's time-out.")] = (
        10_000
    )


class Limits(Section, frozen=True, kw_only=True):
    """What one service takes at once from its clients."""

    connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Connections; one more is closed at once.")
    ] = 1024
    in_flight: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Calls worked on; one more is answered by Throttled."),
    ] = 256
    cell_in_flight: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Calls that a router has out to one cell, so that a slow cell is not felt "
            "in others. Pages that wait for a write (`at_least`) have at most half of it.",
        ),
    ] = 64
    frame_bytes: Annotated[
        int,
        Meta(ge=4096, le=16_384_000, description="A request's frame."),
    ] = 1024 * 1024
    deadline_default_ms: Annotated[
        int, Meta(ge=1, le=60_000, description="A call's deadline where the client names none.")
    ] = 1000
    idle_s: Annotated[
        int, Meta(ge=1, le=86_400, description="A connection on which nothing comes is closed.")
    ] = 600
    drain_s: Annotated[
        int, Meta(ge=0, le=600, description="For calls in flight to finish when told to stop.")
    ] = 10


class Ingest(Section, frozen=True, kw_only=True):
    """How a cell takes in the firehose."""

    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=PROCESSES_MAX,
            description="Ingest workers per cell that `cellctl up` starts under the stack profile; "
            "they share the partitions.",
        ),
    ] = 1
    batch_events: Annotated[
        int, Meta(ge=1, le=100_000, description="Events applied together at most.")
    ] = 5000
    chunk_rows: Annotated[
        int,
        Meta(
            ge=100,
            le=1_000_000,
            description="Rows of an event with very many readers that are written between other "
            "events: others' posts wait for that many at most.",
        ),
    ] = 8_000
    followers_max: Annotated[
        int,
        Meta(
            ge=1000,
            description="Edges of follower sets kept in memory, about 25 bytes each in large sets, "
            "200 in small ones; the least recently used go first.",
        ),
    ] = 20_000_000
    backfill: Annotated[
        int,
        Meta(
            ge=0, le=1000, description="Newest posts a follow brings along if it names no number."
        ),
    ] = 100


class Materialization(Section, frozen=True, kw_only=True):
    """Who is pushed to and who pulls, and what is counted for that. Flags `materialize.*` turn the
    rules on."""

    hot_entries_per_s: Annotated[
        float,
        Meta(
            gt=0,
            description="An author is hot, and pulled by all, above so many entries a second: "
            "events/s times followers homed in the cell.",
        ),
    ] = 10_000.0
    wide_follows: Annotated[
        Positive, Meta(description="Who follows more authors than that is pulled.")
    ] = 100_000
    away_s: Annotated[
        Positive, Meta(description="Who was shown no page for longer than that is pulled.")
    ] = 30 * 86_400
    band: Annotated[
        float,
        Meta(
            ge=1,
            le=100,
            description="A decision is changed where the other is cheaper by this factor.",
        ),
    ] = 1.5
    events_half_life_s: Annotated[
        Positive, Meta(description="The half-life of authors' events/s.")
    ] = 3_600
    pages_half_life_s: Annotated[
        Positive, Meta(description="The half-life of readers' pages/s.")
    ] = 86_400
    costs_half_life_s: Annotated[
        Positive, Meta(description="The half-life of what a push and a pull were measured to cost.")
    ] = 600
    counters_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Authors, and readers, of whom a process keeps a rate: 24 bytes each, "
            "which are saved too.",
        ),
    ] = 200_000
    save_interval_ms: Annotated[
        int, Meta(ge=100, description="How often each process saves what it has counted.")
    ] = 60_000
    pass_interval_ms: Annotated[
        int, Meta(ge=100, description="From the begin of one pass of decisions to the next.")
    ] = 60_000
    rows_per_s: Annotated[
        int, Meta(ge=0, description="Rows that a pass reads in a second; 0: as many as go.")
    ] = 100_000


class Mover(Section, frozen=True, kw_only=True):
    """How readers are moved between cells."""

    moves_at_once: Annotated[
        int, Meta(ge=1, le=64, description="Moves that one mover carries at a time.")
    ] = 8
    rows_per_s: Annotated[
        int, Meta(ge=0, description="Rows that each move copies in a second; 0: as many as go.")
    ] = 0


class Cache(Section, frozen=True, kw_only=True):
    """The cache of posts, in process or in Redis, and pages kept by dashboards. Neither changes an
    answer."""

    entries: Annotated[
        int, Meta(ge=0, description="Posts kept in process by the embedded profile.")
    ] = 100_000
    expiry_s: Annotated[int, Meta(ge=1, description="How long a post stays.")] = 86_400
    timeout_ms: Annotated[
        int, Meta(ge=1, le=10_000, description="Longer than this nobody waits for Redis.")
    ] = 100
    page_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 40,
            description="Memory of each dashboard for pages that it keeps; 0 keeps none.",
        ),
    ] = 134_217_728


class Firehose(Section, frozen=True, kw_only=True):
    """The log of all events."""

    retention_ms: Annotated[
        int, Meta(ge=60_000, description="How long events are kept, by when they were appended.")
    ] = WEEK_MS


class Logs(Section, frozen=True, kw_only=True):
    """What services say on stderr, one JSON object a line."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is said.")
    ] = "info"


class Stack(Section, frozen=True, kw_only=True):
    """Memory of the servers that `cellctl up` starts, and where their programs are kept."""

    zookeeper_mb: Annotated[int, Meta(ge=32, description="ZooKeeper's heap.")] = 128
    kafka_mb: Annotated[int, Meta(ge=128, description="Kafka's heap.")] = 512
    hbase_master_mb: Annotated[int, Meta(ge=128, description="The heap of an HBase master.")] = 256
    hbase_region_server_mb: Annotated[
        int, Meta(ge=256, description="The heap of an HBase region server.")
    ] = 1024
    hbase_gateway_mb: Annotated[
        int, Meta(ge=64, description="The heap of each HBase Thrift gateway.")
    ] = 512
    redis_mb: Annotated[int, Meta(ge=16, description="What Redis may keep.")] = 128
    jars: Annotated[
        str,
        Meta(description="The cache of jars; empty: `dashcell` in XDG_CACHE_HOME or ~/.cache."),
    ] = ""
    java_home: Annotated[
        str, Meta(description="A Java of 17 to 23; empty: JAVA_HOME, or what PATH has.")
    ] = ""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings."""

    platform: Platform = Platform()
    listen: Listen = Listen()
    listen_tls: ListenTls = ListenTls()
    servers: Servers = Servers()
    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    zookeeper: ZooKeeper = ZooKeeper()
    limits: Limits = Limits()
    ingest: Ingest = Ingest()
    materialization: Materialization = Materialization()
    mover: Mover = Mover()
    cache: Cache = Cache()
    firehose: Firehose = Firehose()
    log: Logs = Logs()
    stack: Stack = Stack()
