"""The wiring of the embedded profile: SQLite and memory."""

from pathlib import Path

from cell.changes import RETENTION_MS
from cell.post_cache_memory import MemoryPostCache
from cell.stores import CellStores
from cell.tables_sqlite import SqliteTables
from firehose.checkpoint import Checkpoints
from firehose.checkpoint_relayed import RelayedCheckpoints
from firehose.checkpoint_sqlite import SqliteCheckpoints
from firehose.dead_letters import DeadLetters
from firehose.log import Log
from firehose.log_relayed import RelayedLog
from firehose.log_sqlite import SqliteLog
from firehose.relayed import RELAYED_BYTES_MAX
from idgen.clock import Clock, SystemClock
from idgen.worker_lease import WorkerLeases
from idgen.worker_lease_sqlite import SqliteWorkerLeases
from ops.config import Config
from ops.wiring.seams import (
    FIREHOSE,
    Kept,
    agreed,
    change_log_name,
    command_log_name,
    dead_letter_log_name,
    group_log_name,
)
from router.cells import read_cell
from router.registry import Registry
from router.registry_sqlite import SqliteRegistry


class EmbeddedSeams:
    """Everything in one folder, for processes of one machine."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._config = config
        self._folder = Path(config.platform.data)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._kept = Kept()

    @property
    def registry(self) -> Registry:
        """The registry in `registry.db`."""
        path = self._folder / "registry.db"
        return self._kept.once("registry", lambda: SqliteRegistry(path, self.clock))

    @property
    def leases(self) -> WorkerLeases:
        """Worker leases in `registry.db`."""
        path = self._folder / "registry.db"
        return self._kept.once("leases", lambda: SqliteWorkerLeases(path, self.clock))

    def firehose(self) -> Log:
        """The firehose in `firehose.db`."""
        return self._sqlite_firehose()

    def checkpoints(self, cell: str = "") -> Checkpoints:
        """Its groups in `firehose.db`; those of cells behind a relay in `group-NAME.db`."""
        group = read_cell(self.registry, cell).info.group if cell else ""
        if group:
            return self._group_checkpoints(group)
        log, path = self._sqlite_firehose(), self._folder / "firehose.db"
        return self._kept.once("checkpoints", lambda: SqliteCheckpoints(log, path, self.clock))

    def group_log(self, group: str) -> Log:
        """The log of a group of cells, in `group-NAME.db`."""
        return self._sqlite_group_log(group)

    def cell(self, name: str) -> CellStores:
        """A cell in `cell-NAME.db`."""
        group = read_cell(self.registry, name).info.group
        cache = self._config.cache
        path = self._folder / f"cell-{name}.db"
        commands, dead = command_log_name(name), dead_letter_log_name(name)
        changes = change_log_name(name)
        return CellStores(
            name=name,
            tables=self._kept.once(f"tables {name}", lambda: SqliteTables(path)),
            cache=self._kept.once(
                f"cache {name}",
                lambda: MemoryPostCache(max(1, cache.entries), cache.expiry_s * 1000, self.clock),
            ),
            firehose=self._relayed(group) if group else self.firehose(),
            commands=self._kept.once(commands, lambda: self._log(path, commands, 1)),
            changes=self._kept.once(changes, lambda: self._log(path, changes, 1, RETENTION_MS)),
            dead_letters=DeadLetters(self._kept.once(dead, lambda: self._log(path, dead, 1))),
            log_base=agreed(self.registry, self._config)[1],
            relayed_from=self.firehose() if group else None,
        )

    def close(self) -> None:
        """Close the files."""
        self._kept.close()

    def _sqlite_firehose(self) -> SqliteLog:
        partitions, _ = agreed(self.registry, self._config)
        path = self._folder / "firehose.db"
        return self._kept.once("firehose", lambda: self._log(path, FIREHOSE, partitions))

    def _sqlite_group_log(self, group: str) -> SqliteLog:
        partitions, _ = agreed(self.registry, self._config)
        path, name = self._group_path(group), group_log_name(group)
        return self._kept.once(
            name,
            lambda: SqliteLog(path, name, partitions, self.clock, bytes_max=RELAYED_BYTES_MAX),
        )

    def _relayed(self, group: str) -> RelayedLog:
        topic, root = self._sqlite_group_log(group), self.firehose().identity
        return self._kept.once(f"behind {group}", lambda: RelayedLog(topic, root))

    def _group_checkpoints(self, group: str) -> Checkpoints:
        topic, path = self._sqlite_group_log(group), self._group_path(group)
        inner = self._kept.once(
            f"groups behind {group}", lambda: SqliteCheckpoints(topic, path, self.clock)
        )
        return RelayedCheckpoints(inner, topic, self._relayed(group))

    def _group_path(self, group: str) -> Path:
        return self._folder / f"group-{group}.db"

    def _log(
        self, path: Path, name: str, partitions: int, retention_ms: int | None = None
    ) -> SqliteLog:
        return SqliteLog(path, name, partitions, self.clock, retention_ms)
