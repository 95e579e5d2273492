"""Cells and services in the registry: what there is, and where it answers.

`/cells/<name>` is written by operators' commands and stays; `/services/<role>/<id>` is ephemeral,
written by each process for itself.
"""

from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple, TypeVar

import msgspec

from idgen.clock import Clock
from idgen.errors import BadRequest, Corrupt, NotFound
from router.live import REREAD_MS, Live
from router.registry import Registry
from router.slices import check_cell_name

CELLS = "/cells"
SERVICES = "/services"


class CellState(StrEnum):
    """The life of a cell; only active (and draining) ones serve readers."""

    PROVISIONING = "provisioning"
    BOOTSTRAPPING = "bootstrapping"
    DARK = "dark"
    ACTIVE = "active"
    DRAINING = "draining"
    RESTORING = "restoring"
    RETIRED = "retired"


TRANSITIONS: dict[CellState, dict[str, CellState]] = {
    CellState.PROVISIONING: {"provisioned": CellState.BOOTSTRAPPING, "retire": CellState.RETIRED},
    CellState.BOOTSTRAPPING: {"bootstrapped": CellState.DARK, "retire": CellState.RETIRED},
    CellState.DARK: {"activate": CellState.ACTIVE, "retire": CellState.RETIRED},
    CellState.ACTIVE: {"drain": CellState.DRAINING, "restore": CellState.RESTORING},
    CellState.DRAINING: {
        "activate": CellState.ACTIVE,
        "restore": CellState.RESTORING,
        "retire": CellState.RETIRED,
    },
    CellState.RESTORING: {"restored": CellState.ACTIVE},
    CellState.RETIRED: {},
}
"""What may happen to a cell in each state, and the state it is in then."""
APPLYING = frozenset({CellState.DARK, CellState.ACTIVE, CellState.DRAINING})
"""The states in which a cell's workers apply the firehose: before, what it begins with is still
being written; afterwards it is nobody's."""


class CellInfo(msgspec.Struct, frozen=True):
    """A cell: its state, and the addresses ("host:port") of its HBase gateways and its Redis;
    none in the embedded profile. `cordoned`: no move may choose it.
    """

    name: str
    state: CellState = CellState.ACTIVE
    hbase_thrift1: tuple[str, ...] = ()
    hbase_thrift2: tuple[str, ...] = ()
    redis: str = ""
    cordoned: bool = False


class ServiceInfo(msgspec.Struct, frozen=True):
    """A running service: `id` names the process among those of its role; `address` is its Thrift
    endpoint, `admin` its admin endpoint, both "host:port"; `cell` empty where the role has none.
    """

    role: str
    id: str
    address: str
    admin: str = ""
    cell: str = ""
    pid: int = 0
    version: str = ""


class Versioned(NamedTuple):
    """A cell and the version of its node."""

    info: CellInfo
    version: int


def add_cell(registry: Registry, info: CellInfo) -> None:
    """Make a cell known. Raises Conflict when there is one of this name, BadRequest(cell)."""
    check_cell_name("cell", info.name)
    registry.create(f"{CELLS}/{info.name}", msgspec.json.encode(info))


def read_cell(registry: Registry, name: str) -> Versioned:
    """One cell. Raises NotFound."""
    check_cell_name("cell", name)
    path = f"{CELLS}/{name}"
    try:
        node = registry.get(path)
    except NotFound:
        raise NotFound(f"no cell {name!r}: `cellctl status` has those that there are") from None
    return Versioned(_decoded(path, node.value, CellInfo), node.version)


def change_cell(registry: Registry, info: CellInfo, version: int) -> int:
    """Write a cell that is still of `version`; returns the new one. Raises Conflict, NotFound."""
    return registry.set(f"{CELLS}/{info.name}", msgspec.json.encode(info), version)


def read_cells(registry: Registry) -> list[CellInfo]:
    """All cells by name."""
    return _read_all(registry, CELLS, CellInfo)


def register(registry: Registry, info: ServiceInfo) -> Callable[[], None]:
    """Make a running service known until its process ends or the returned function is called.

    Raises Conflict when another runs under the same role and id, BadRequest for words that cannot
    be part of a path.
    """
    for field, word in (("role", info.role), ("id", info.id)):
        if not word or "/" in word or word in (".", ".."):
            raise BadRequest(field, f"{word!r} cannot be part of a path")
    if info.cell:
        check_cell_name("cell", info.cell)
    path = f"{SERVICES}/{info.role}/{info.id}"
    registry.create(path, msgspec.json.encode(info), ephemeral=True)

    def deregister() -> None:
        try:
            registry.delete(path, registry.get(path).version)
        except NotFound:
            return  # gone with its session already

    return deregister


def deregister_all(registry: Registry) -> None:
    """Forget all services: for who knows that none of them runs, so that nobody is sent to one
    until its session would have ended."""
    for role in read_roles(registry):
        for name in registry.list(f"{SERVICES}/{role}"):
            path = f"{SERVICES}/{role}/{name}"
            with suppress(NotFound):  # its session has ended since it was listed
                registry.delete(path, registry.get(path).version)


def read_services(registry: Registry, role: str) -> list[ServiceInfo]:
    """The running services of a role, by id."""
    return _read_all(registry, f"{SERVICES}/{role}", ServiceInfo)


def read_roles(registry: Registry) -> list[str]:
    """The roles that services were ever registered for."""
    return registry.list(SERVICES)


class ServiceTable:
    """The running services of one role, kept current; look-ups never wait for the registry.

    While the registry is down, the last known ones go on being given.
    """

    def __init__(
        self, registry: Registry, role: str, clock: Clock, reread_ms: int = REREAD_MS
    ) -> None:
        path = f"{SERVICES}/{role}"
        self._live = Live(
            registry, (path,), lambda: read_services(registry, role), clock, reread_ms
        )

    def start(self) -> None:
        """Read and follow; without a registry it begins empty and `trouble` says so."""
        self._live.start()

    def close(self) -> None:
        """Stop following."""
        self._live.close()

    def refresh(self) -> None:
        """Read now. Raises Unavailable."""
        self._live.refresh()

    def all(self) -> list[ServiceInfo]:
        """All of them, by id."""
        return list(self._live.value or ())

    def addresses(self, cell: str) -> tuple[str, ...]:
        """Where those of a cell answer, in a stable order; none is not an error here."""
        return tuple(s.address for s in self._live.value or () if s.cell == cell)

    @property
    def age_ms(self) -> int | None:
        """Since when this has not been confirmed; None: never was."""
        return self._live.age_ms

    @property
    def trouble(self) -> str:
        """Why the last read failed; empty after a success."""
        return self._live.trouble


_Info = TypeVar("_Info", CellInfo, ServiceInfo)


def _read_all(registry: Registry, parent: str, info: type[_Info]) -> list[_Info]:
    found: list[_Info] = []
    for name in registry.list(parent):
        path = f"{parent}/{name}"
        try:
            value = registry.get(path).value
        except NotFound:
            continue  # went away since it was listed
        found.append(_decoded(path, value, info))
    return found


def _decoded(path: str, value: bytes, info: type[_Info]) -> _Info:
    try:
        return msgspec.json.decode(value, type=info)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{path} in the registry cannot be read: {error}") from error
