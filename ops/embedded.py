"""The embedded platform: all of it in one process and one folder, durable, on PyPI packages alone.

The same handlers and rules as on real servers; each cell's ingest is a thread here.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from cell.activity import Activity
from cell.dashboard import Build
from cell.handler import CellHandler
from cell.ingest import IngestWorker, group_of
from cell.stores import CellStores
from firehose.relay import RelaySettings
from idgen.clock import Clock
from idgen.errors import Unavailable
from idgen.snowflake import Snowflake
from ops.applying import ApplyingWorker
from ops.cell_clients import LocalCells
from ops.config import Config
from ops.config_settings import Platform
from ops.creation import Progress, create_platform
from ops.followed_cells import FollowedCells
from ops.letter_watch import LetterWatch
from ops.materializing import Materializing
from ops.relaying import HostedRelay
from ops.release import VERSION
from ops.roles import CellWatcher, relay_of
from ops.settings_of import activity_settings, ingest_settings, mover_settings
from ops.table_hash import table_hash
from ops.wiring.embedded import EmbeddedSeams
from ops.wiring.seams import holder_name
from router.cells import RUNNING, CellInfo, groups_of, read_cells
from router.handler import Router
from router.homes import Homes
from router.mover import Mover
from router.routes import RouteTable

_log = structlog.get_logger(__name__)

STOP_S = 30.0
LOOK_S = 0.01
SESSION_MS = 2_000
"""After a kill -9 the next process waits for so long before it owns the partitions."""


def silent(_: str) -> None:
    """The progress of a caller that does not want any."""


class EmbeddedCell:
    """One cell of this process: its handler, and its ingest thread while it runs."""

    def __init__(
        self, stores: CellStores, handler: CellHandler, make_applying: Callable[[], ApplyingWorker]
    ) -> None:
        self.stores = stores
        self.handler = handler
        self.letters = LetterWatch(stores.name, stores.dead_letters)
        self.applying = make_applying()
        self.failure: Exception | None = None
        self._make_applying = make_applying
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to apply the firehose, and to follow the log's end."""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ingest, name=f"ingest {self.stores.name}", daemon=True),
            threading.Thread(
                target=CellWatcher(self.handler, self.letters).run,
                args=(self._stop,),
                name=f"watch {self.stores.name}",
                daemon=True,
            ),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop applying; what was not acknowledged is applied again later."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_S)
        self._threads = []

    def restart(self) -> None:
        """Stop, forget all memory, and start a new worker."""
        self.stop()
        self.applying = self._make_applying()
        self.failure = None
        self.start()

    def wait_begun(self, timeout_s: float) -> None:
        """Return when ingest has begun to apply or has failed, at the latest after `timeout_s`."""
        pause = threading.Event()
        deadline = time.monotonic() + timeout_s
        while not (self.applying.worker.ready or self.failure) and time.monotonic() < deadline:
            pause.wait(LOOK_S)

    def trouble(self) -> str:
        """Why the cell is not ready; empty when it is."""
        if self.failure is not None:
            return f"ingest of cell {self.stores.name} stopped: {self.failure}"
        return self.applying.trouble

    def _ingest(self) -> None:
        try:
            self.applying.run(self._stop)
        except Exception as error:  # noqa: BLE001 - told by readiness, whatever it is
            self.failure = error
            _log.exception("ingest stopped", cell=self.stores.name)


def ignored(_name: str, _cell: EmbeddedCell) -> None:
    """What a caller does with a cell that starts, who does nothing with it."""


class Embedded:
    """A whole platform; a context manager, or `start` and `stop`."""

    def __init__(
        self,
        folder: Path,
        cells: int | tuple[str, ...] = 1,
        *,
        config: Config | None = None,
        clock: Clock | None = None,
        progress: Progress = silent,
        begun: Callable[[str, EmbeddedCell], None] = ignored,
    ) -> None:
        """`begun` is called with every cell that starts, also with those that are added later."""
        platform = Platform(data=str(folder), cells=cells)
        self._config = config or Config(platform=platform)
        self._cell_names = platform.cell_names
        self._progress = progress
        self._begun = begun
        self._followed: FollowedCells | None = None
        self.seams = EmbeddedSeams(self._config, clock)
        self.snowflake = Snowflake(self.seams.leases, self.seams.clock, holder_name())
        self.cells: dict[str, EmbeddedCell] = {}
        self.relays: dict[str, HostedRelay] = {}
        self._handlers: dict[str, CellHandler] = {}
        self.routes = RouteTable(self.seams.registry, self.seams.clock, folder / "routes.copy")
        self.clients = LocalCells(self._handlers)
        self._dashboard: Router | None = None
        self._stop = threading.Event()
        self._mover_thread: threading.Thread | None = None

    @property
    def dashboard(self) -> Router:
        """The dashboard API of the whole platform. Raises Unavailable before it is started."""
        if self._dashboard is None:
            raise Unavailable("the platform is not started")
        return self._dashboard

    def start(self) -> Self:
        """Make what is missing, and start it all."""
        section = self._config.platform
        names = create_platform(
            self.seams, self._cell_names, self._progress, section.log_base, section.cell_groups
        )
        self.routes.start()
        self.snowflake.start()
        self._dashboard = Router(
            self.routes,
            self.clients,
            self.seams.firehose(),
            self.snowflake,
            self.seams.clock,
            Build(VERSION, "router"),
            backfill_default=self._config.ingest.backfill,
            in_flight_per_cell=self._config.limits.cell_in_flight,
        )
        self._follow_groups(read_cells(self.seams.registry))
        for name in names:
            self._begin_cell(name)
        self._start_mover()
        self._followed = FollowedCells(self.seams.registry, self._follow, _log.warning)
        self._followed.start()
        return self

    def _follow(self, infos: Sequence[CellInfo]) -> None:
        """Run the cells that are to run, and their relays, and no others."""
        self._follow_groups(infos)
        for info in infos:
            if info.state in RUNNING and info.name not in self.cells:
                self._begin_cell(info.name)
            elif info.state not in RUNNING and info.name in self.cells:
                del self._handlers[info.name]
                self.cells.pop(info.name).stop()

    def _follow_groups(self, infos: Sequence[CellInfo]) -> None:
        groups = groups_of(infos)
        for name in groups.keys() - self.relays.keys():
            self.begin_relay(name)
        for name in self.relays.keys() - groups.keys():
            self.relays.pop(name).stop()

    def begin_relay(self, group: str) -> None:
        """Relay for a group of cells, beside whoever does already."""
        settings = RelaySettings(session_ms=SESSION_MS)
        relay = relay_of(self.seams, group, holder_name(), settings)
        self.relays[group] = HostedRelay(group, relay)
        self.relays[group].start()

    def _begin_cell(self, name: str) -> None:
        cell = self._cell(name)
        self._handlers[name] = cell.handler
        cell.start()
        self.cells[name] = cell
        self._begun(name, cell)

    def _start_mover(self) -> None:
        seams, settings = self.seams, mover_settings(self._config)
        mover = Mover(
            seams.registry, seams.cell, seams.checkpoints, seams.clock, holder_name(), settings
        )
        self._stop = threading.Event()
        self._mover_thread = threading.Thread(
            target=mover.run, args=(self._stop,), name="mover", daemon=True
        )
        self._mover_thread.start()

    def stop(self) -> None:
        """Stop all of it; idempotent."""
        if self._followed is not None:
            self._followed.close()
            self._followed = None
        self._stop.set()
        if self._mover_thread is not None:
            self._mover_thread.join(STOP_S)
            self._mover_thread = None
        for cell in self.cells.values():
            cell.stop()
        self.cells.clear()
        for relay in self.relays.values():
            relay.stop()
        self.relays.clear()
        self._dashboard = None
        self.routes.close()
        self.snowflake.stop()
        self.seams.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def restart_ingest(self, cell: str) -> None:
        """Stop a cell's ingest worker, and start another one with an empty memory."""
        self.cells[cell].restart()

    def rewind(self, cell: str, offsets: Mapping[int, int]) -> None:
        """Have a cell's group read again from `offsets` (by partition)."""
        found = self.cells[cell]
        found.stop()
        try:
            self.seams.checkpoints(cell).rewind(group_of(cell), offsets)
        finally:
            found.restart()

    def table_hash(self, cell: str) -> str:
        """A hash over all rows and versions of a cell's tables."""
        return table_hash(self.cells[cell].stores.tables)

    def _cell(self, name: str) -> EmbeddedCell:
        stores = self.seams.cell(name)
        homes = Homes(self.routes, self.clients)
        handler = CellHandler(
            stores,
            self.snowflake,
            self.seams.clock,
            homes,
            Build(VERSION, "dashboard", name),
            self._config.ingest.backfill,
            self._config.cache.page_bytes,
            Activity(activity_settings(self._config)),
            holder_name(),
        )

        registry, clock = self.seams.registry, self.seams.clock

        def applying() -> ApplyingWorker:
            activity = Activity(activity_settings(self._config))
            materializing = Materializing(
                registry, stores, holder_name(), clock, self._config, activity
            )

            def worker() -> IngestWorker:
                return IngestWorker(
                    stores,
                    self.seams.checkpoints(name),
                    holder_name(),
                    clock,
                    replace(ingest_settings(self._config), session_ms=SESSION_MS),
                    activity,
                )

            return ApplyingWorker(registry, name, clock, worker, materializing)

        return EmbeddedCell(stores, handler, applying)
