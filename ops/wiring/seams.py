"""The seams of a platform, whatever stands behind them, and what both kinds of wiring share."""

import socket
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol, TypeVar

import msgspec

from cell.stores import CellStores
from firehose.checkpoint import Checkpoints
from firehose.log import Log
from idgen.clock import Clock
from idgen.errors import NotFound
from idgen.worker_lease import WorkerLeases
from ops.config import Config
from router.cluster import read_cluster
from router.registry import Registry

FIREHOSE = "dashcell-firehose"
SERVERS = "/servers"


class Servers(msgspec.Struct, frozen=True):
    """What the registry says of servers that belong to no cell: Kafka's bootstrap addresses, and
    by group those of its own Kafka, where it has one."""

    kafka: str
    groups: dict[str, str] = {}


class Seams(Protocol):
    """The seams of one platform, opened as they are asked for."""

    @property
    def clock(self) -> Clock:
        """The machine's clocks."""
        ...

    @property
    def registry(self) -> Registry:
        """The registry."""
        ...

    @property
    def leases(self) -> WorkerLeases:
        """The worker leases."""
        ...

    def firehose(self) -> Log:
        """The firehose. Raises NotFound before the platform was created."""
        ...

    def checkpoints(self, cell: str = "") -> Checkpoints:
        """The consumer groups of the firehose; of where a cell reads it, in the root's offsets
        too. Raises NotFound for an unknown cell."""
        ...

    def group_log(self, group: str) -> Log:
        """The log that the relay of a group of cells writes, made when there is none: envelopes
        (`firehose.relayed`), which its cells see as the firehose."""
        ...

    def cell(self, name: str) -> CellStores:
        """What a cell keeps its data in. Raises NotFound for an unknown cell."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


def command_log_name(cell: str) -> str:
    """The log of a cell's commands."""
    return f"dashcell-commands-{cell}"


def group_log_name(group: str) -> str:
    """The log of a group of cells."""
    return f"dashcell-group-{group}"


def change_log_name(cell: str) -> str:
    """The log of a cell's changes."""
    return f"dashcell-changes-{cell}"


def dead_letter_log_name(cell: str) -> str:
    """The log of a cell's dead letters."""
    return f"dashcell-dead-letters-{cell}"


def holder_name() -> str:
    """A name for this process that no other ever has."""
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"


class _Closable(Protocol):
    def close(self) -> None: ...


_Opened = TypeVar("_Opened", bound=_Closable)


class Kept:
    """Opens each thing once, by name, and closes all of them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._opened: dict[str, object] = {}

    def once(self, name: str, make: Callable[[], _Opened]) -> _Opened:
        """What was opened under this name, else what `make` opens now."""
        if name not in self._opened:
            made = make()
            self._stack.callback(made.close)
            self._opened[name] = made
        found: _Opened = self._opened[name]  # type: ignore[assignment]
        return found

    def close(self) -> None:
        """Close everything, last opened first."""
        self._stack.close()
        self._opened.clear()


def agreed(registry: Registry, config: Config) -> tuple[int, int]:
    """Partitions and log_base: as agreed in the registry, or for a new platform as configured."""
    try:
        cluster = read_cluster(registry)
    except NotFound:
        return config.platform.partition_count, config.platform.log_base
    return cluster.partitions, cluster.log_base
