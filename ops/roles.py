"""The services, each as what the template hosts: joined from the seams of one platform."""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from msgspec import UNSET

from cell.activity import Activity
from cell.dashboard import Build
from cell.handler import CellHandler
from cell.ingest import IngestWorker
from cell.materializer import Materializer
from cell.stores import CellStores
from firehose.log_relayed import RelayedLog
from firehose.relay import Relay, RelaySettings
from idgen.clock_watch import ClockWatch
from idgen.errors import BadRequest, DashcellError, NotFound
from idgen.snowflake import Snowflake
from ops.applying import ApplyingWorker
from ops.cell_clients import WireCells
from ops.config import Config
from ops.dashboard_service import dashboard_service
from ops.firehose_service import firehose_parts
from ops.idgen_service import IdGenClients, RegisteredPeers, idgen_service
from ops.letter_watch import LetterWatch
from ops.materializing import Materializing
from ops.metrics import (
    CLOCK_OFFSET_SECONDS,
    DEAD_LETTERS,
    DELIVERIES_SAVED,
    EVENTS_APPLIED,
    HOT_AUTHORS,
    IDS_GIVEN,
    LAG_SECONDS,
    LEASE_LEFT_SECONDS,
    MATERIALIZE_PASS_SECONDS,
    MOVES_CARRIED,
    PAGE_CACHE_HITS,
    PAGE_CACHE_MISSES,
    PAGES_PULLED,
    POST_CACHE_HITS,
    POST_CACHE_MISSES,
    POSTS_PULLED,
    PULL_PAGE_COST_SECONDS,
    PULL_TIMELINE_COST_SECONDS,
    PULLED_READERS,
    PUSH_COST_SECONDS,
    READERS_FILLED,
    RELAY_REPETITIONS,
    ROWS_WRITTEN,
    SWITCHES,
    TIMELINES_PULLED,
    Sample,
    Source,
)
from ops.relaying import RelayWorker
from ops.release import VERSION
from ops.settings_of import activity_settings, ingest_settings, mover_settings
from ops.template.host import Endpoints, ServiceParts
from ops.template.tls import peer_context
from ops.wiring.seams import Seams, agreed, holder_name
from router.cells import groups_of, read_cells
from router.cluster import check, values_of
from router.handler import Router
from router.homes import Homes
from router.mover import Mover
from router.moves import Refused
from router.routes import RouteTable
from router.services import ServiceInfo, ServiceTable, register

ROLES_OF_A_CELL = ("dashboard", "ingest")


def parts_of(role: str, cell: str, config: Config, seams: Seams, group: str = "") -> ServiceParts:
    """One service of a platform that was created; `group`: the cells that a relay is for.

    Raises BadRequest(role|cell|group), NotFound for an unknown cell or group, and Conflict for a
    process that does not fit the platform's agreed values.
    """
    if (role in ROLES_OF_A_CELL) != bool(cell):
        wanted = "needs a cell: --cell NAME" if not cell else "is no role of a cell"
        raise BadRequest("cell", f"{role} {wanted}")
    if (role == "relay") != bool(group):
        wanted = "needs a group of cells: --group NAME" if not group else "is of no group"
        raise BadRequest("group", f"{role} {wanted}")
    makers: dict[str, Callable[[_Joint], ServiceParts]] = {
        "idgen": _idgen,
        "router": _router,
        "dashboard": _dashboard,
        "ingest": _ingest,
        "mover": _mover,
        "firehose": _firehose,
        "relay": _relay,
    }
    if role not in makers:
        raise BadRequest("role", f"{role!r} is not one of {', '.join(makers)}")
    joint = _Joint(role, cell, config, seams, group)
    try:
        if role != "idgen":
            log_base = config.platform.log_base or agreed(seams.registry, config)[1]
            check(seams.registry, values_of(seams.firehose(), log_base))
        return makers[role](joint)
    except BaseException:
        joint.close()
        raise


class _Joint:
    """What the services share while they are joined, and what to let go of at their end."""

    def __init__(self, role: str, cell: str, config: Config, seams: Seams, group: str = "") -> None:
        self.role = role
        self.cell = cell
        self.group = group
        self.config = config
        self.seams = seams
        self.id = holder_name()
        self._closing = ExitStack()
        self._closing.callback(seams.close)

    def at_end(self, close: Callable[[], object]) -> None:
        self._closing.callback(close)

    def close(self) -> None:
        self._closing.close()

    def listening(self, endpoints: Endpoints) -> Callable[[], None]:
        """Make the service known; returns how to take that back."""
        info = info_of(self.role, self.id, endpoints, self.cell, self.group)
        return register(self.seams.registry, info)

    def services(self, role: str) -> ServiceTable:
        table = ServiceTable(self.seams.registry, role, self.seams.clock)
        table.start()
        self.at_end(table.close)
        return table

    def ids(self) -> IdGenClients:
        clients = IdGenClients(self.services("idgen"), peer_context(self.config.listen_tls))
        self.at_end(clients.close)
        return clients

    def own_ids(self) -> tuple[Snowflake, ClockWatch]:
        """Ids of a worker id of this process's own, which has started. Raises Refused for a clock
        that is off those of the id servers."""
        seams = self.seams
        peers = RegisteredPeers(seams.registry, self.id, peer_context(self.config.listen_tls))
        watch = ClockWatch(peers, seams.clock)
        if trouble := watch.compare().trouble:
            raise Refused("clock", trouble)
        snowflake = Snowflake(seams.leases, seams.clock, self.id)
        self.at_end(snowflake.stop)
        snowflake.start()
        return snowflake, watch

    def homes(self) -> tuple[RouteTable, WireCells]:
        copies = Path(self.config.platform.data) / "routes"
        copies.mkdir(parents=True, exist_ok=True)
        name = f"{self.role}-{self.cell}" if self.cell else self.role
        routes = RouteTable(self.seams.registry, self.seams.clock, copies / f"{name}.copy")
        routes.start()
        self.at_end(routes.close)
        limits = self.config.limits
        tls = peer_context(self.config.listen_tls)
        cells = WireCells(self.services("dashboard"), tls, limits.cell_in_flight)
        self.at_end(cells.close)
        return routes, cells


def _idgen(joint: _Joint) -> ServiceParts:
    snowflake, watch = joint.own_ids()
    return ServiceParts(
        service=idgen_service(snowflake, watch),
        port=joint.config.listen.idgen,
        worker=watch,
        readiness={"lease": snowflake.obstacle},
        sources=[id_source(snowflake, watch)],
        listening=joint.listening,
        close=joint.close,
    )


def _router(joint: _Joint) -> ServiceParts:
    routes, cells = joint.homes()
    config, seams = joint.config, joint.seams
    router = Router(
        routes,
        cells,
        seams.firehose(),
        joint.ids(),
        seams.clock,
        Build(VERSION, "router"),
        backfill_default=config.ingest.backfill,
        in_flight_per_cell=config.limits.cell_in_flight,
    )
    return ServiceParts(
        service=dashboard_service(router),
        port=config.listen.router,
        shared_port=config.listen.routers > 1,
        readiness={"routes": lambda: _trouble(routes.slices)},
        listening=joint.listening,
        close=joint.close,
    )


def _dashboard(joint: _Joint) -> ServiceParts:
    routes, cells = joint.homes()
    stores = joint.seams.cell(joint.cell)
    homes = Homes(routes, cells)
    handler = CellHandler(
        stores,
        joint.ids(),
        joint.seams.clock,
        homes,
        Build(VERSION, "dashboard", joint.cell),
        joint.config.ingest.backfill,
        joint.config.cache.page_bytes,
        Activity(activity_settings(joint.config)),
        joint.id,
    )
    letters = LetterWatch(joint.cell, stores.dead_letters)
    return ServiceParts(
        service=dashboard_service(handler),
        port=joint.config.listen.dashboard,
        worker=CellWatcher(handler, letters),
        readiness={"tables": lambda: _trouble(handler.snapshots.now)},
        sources=dashboard_sources(stores, handler, letters),
        listening=joint.listening,
        close=joint.close,
    )


def _ingest(joint: _Joint) -> ServiceParts:
    stores = joint.seams.cell(joint.cell)
    seams = joint.seams

    def worker() -> IngestWorker:
        settings = ingest_settings(joint.config)
        checkpoints = seams.checkpoints(joint.cell)
        return IngestWorker(stores, checkpoints, joint.id, seams.clock, settings, activity)

    activity = Activity(activity_settings(joint.config))
    materializing = Materializing(
        seams.registry, stores, joint.id, seams.clock, joint.config, activity
    )
    applying = ApplyingWorker(seams.registry, joint.cell, seams.clock, worker, materializing)
    return ServiceParts(
        worker=applying,
        readiness={"ingest": lambda: applying.trouble},
        sources=[ingest_source(stores, applying)],
        listening=joint.listening,
        close=joint.close,
    )


def _mover(joint: _Joint) -> ServiceParts:
    seams = joint.seams
    settings = mover_settings(joint.config)
    mover = Mover(seams.registry, seams.cell, seams.checkpoints, seams.clock, joint.id, settings)
    return ServiceParts(
        worker=mover,
        readiness={"moves": lambda: mover.trouble},
        sources=[mover_source(mover)],
        listening=joint.listening,
        close=joint.close,
    )


def _relay(joint: _Joint) -> ServiceParts:
    seams, group = joint.seams, joint.group
    if group not in groups_of(read_cells(seams.registry)):
        raise NotFound(f"no cell is behind group {group!r}: `cellctl list-cells` has the groups")
    worker = RelayWorker(group, relay_of(seams, group, joint.id))
    return ServiceParts(
        worker=worker,
        readiness={"relay": lambda: worker.trouble},
        sources=[worker.samples],
        listening=joint.listening,
        close=joint.close,
    )


def relay_of(seams: Seams, group: str, client: str, settings: RelaySettings | None = None) -> Relay:
    """A relay of a group of cells. Raises Conflict where its log has other partitions."""
    root, topic = seams.firehose(), seams.group_log(group)
    return Relay(root, seams.checkpoints(), topic, group, client, seams.clock, settings)


def _firehose(joint: _Joint) -> ServiceParts:
    # Asking an id server would cost as much as all else of appending one event.
    snowflake, watch = joint.own_ids()
    parts = firehose_parts(joint.config, joint.seams, snowflake)
    joint.at_end(parts.close)
    return replace(
        parts,
        worker=watch,
        readiness={**parts.readiness, "lease": snowflake.obstacle},
        sources=[*parts.sources, id_source(snowflake, watch)],
        listening=joint.listening,
        close=joint.close,
    )


def info_of(
    role: str, service_id: str, at: Endpoints, cell: str = "", group: str = ""
) -> ServiceInfo:
    """What the registry is told of a service of this process."""
    beside = dict(at.beside) or UNSET
    own, pid = group or UNSET, os.getpid()
    return ServiceInfo(role, service_id, at.thrift, at.admin, cell, pid, VERSION, beside, own)


class CellWatcher:
    """Keeps a dashboard's knowledge of its cell's changes, of the log's end and of dead letters, as
    the template's worker."""

    def __init__(self, handler: CellHandler, letters: LetterWatch) -> None:
        self._handler = handler
        self._letters = letters

    def run(self, stop: threading.Event) -> None:
        """Read and sample until `stop`."""
        beside = [
            threading.Thread(target=target, args=(stop,), name=name, daemon=True)
            for name, target in (
                ("changes", self._handler.freshness.follow),
                ("dead letters", self._letters.run),
            )
        ]
        for thread in beside:
            thread.start()
        self._handler.look_after(stop)
        for thread in beside:
            thread.join()


def dashboard_sources(
    stores: CellStores, handler: CellHandler, letters: LetterWatch
) -> Sequence[Source]:
    """The metrics of a cell's dashboard."""
    cell = (stores.name,)

    def lag() -> Iterable[Sample]:
        return [Sample(LAG_SECONDS, cell, handler.snapshots.lag_ms() / 1000)]

    def cache() -> Iterable[Sample]:
        counts = getattr(stores.cache, "counts", None)
        if counts is None:
            return []
        return [
            Sample(POST_CACHE_HITS, cell, counts.hits),
            Sample(POST_CACHE_MISSES, cell, counts.misses),
        ]

    def pages() -> Iterable[Sample]:
        return [
            Sample(PAGE_CACHE_HITS, cell, handler.page_cache.hits),
            Sample(PAGE_CACHE_MISSES, cell, handler.page_cache.misses),
        ]

    def pulled() -> Iterable[Sample]:
        costs = handler.activity.costs
        return [
            Sample(PAGES_PULLED, cell, costs.pages),
            Sample(TIMELINES_PULLED, cell, costs.timelines),
            Sample(POSTS_PULLED, cell, costs.posts),
        ]

    return [lag, cache, pages, pulled, letters.samples]


def ingest_source(stores: CellStores, applying: ApplyingWorker) -> Source:
    """The metrics of an ingest worker."""
    cell, log = stores.name, stores.firehose

    def source() -> Iterable[Sample]:
        stats = applying.worker.stats
        found = [
            Sample(EVENTS_APPLIED, (cell,), stats.events),
            Sample(ROWS_WRITTEN, (cell,), stats.rows),
            Sample(DEAD_LETTERS, (cell,), stats.dead_letters),
            Sample(DELIVERIES_SAVED, (cell,), stats.not_pushed),
        ]
        if isinstance(log, RelayedLog):
            found.append(Sample(RELAY_REPETITIONS, (cell,), log.dropped))
        if applying.materializing is not None:
            found += _decided(cell, applying.materializing.materializer)
        return found

    return source


def _decided(name: str, materializer: Materializer) -> list[Sample]:
    """What decides who is pushed to; none of a process that has not decided."""
    stats, costs, cell = materializer.stats, materializer.costs, (name,)
    if not stats.passes:
        return []
    return [
        Sample(PULLED_READERS, cell, stats.pulled_readers),
        Sample(HOT_AUTHORS, cell, stats.hot_authors),
        Sample(SWITCHES, cell, stats.switches),
        Sample(READERS_FILLED, cell, stats.filled),
        Sample(MATERIALIZE_PASS_SECONDS, cell, stats.pass_s),
        Sample(PUSH_COST_SECONDS, cell, costs.push),
        Sample(PULL_PAGE_COST_SECONDS, cell, costs.page),
        Sample(PULL_TIMELINE_COST_SECONDS, cell, costs.timeline),
    ]


def mover_source(mover: Mover) -> Source:
    """The metrics of a mover."""

    def source() -> Iterable[Sample]:
        return [Sample(MOVES_CARRIED, (), mover.carried)]

    return source


def _trouble(ask: Callable[[], object]) -> str:
    try:
        ask()
    except DashcellError as error:
        return str(error)
    return ""


def id_source(snowflake: Snowflake, watch: ClockWatch) -> Source:
    """The metrics of an id server."""

    def source() -> Iterable[Sample]:
        status, offset_ms = snowflake.status(), watch.last.offset_ms
        found = [
            Sample(IDS_GIVEN, (), status.ids_given),
            Sample(LEASE_LEFT_SECONDS, (), status.lease_left_ms / 1000),
        ]
        if offset_ms is not None:
            found.append(Sample(CLOCK_OFFSET_SECONDS, (), offset_ms / 1000))
        return found

    return source
