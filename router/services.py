"""Services in the registry: which processes run, and where they answer.

`/services/<role>/<id>` is ephemeral, written by each process for itself.
"""

from collections.abc import Callable
from contextlib import suppress

import msgspec
from msgspec import UNSET, UnsetType

from idgen.clock import Clock
from idgen.errors import BadRequest, NotFound
from router.live import REREAD_MS, Live
from router.records import read_all
from router.registry import Registry
from router.slices import check_cell_name

SERVICES = "/services"


class ServiceInfo(msgspec.Struct, frozen=True):
    """A running service: `id` names the process among those of its role; `address` is its Thrift
    endpoint, `admin` its admin endpoint, both "host:port"; `cell` empty where the role has none;
    `beside` the addresses of its other listeners by name, left out where it has none; `group`: the
    cells that a relay is for, left out in other roles.
    """

    role: str
    id: str
    address: str
    admin: str = ""
    cell: str = ""
    pid: int = 0
    version: str = ""
    beside: dict[str, str] | UnsetType = UNSET
    group: str | UnsetType = UNSET

    @property
    def of(self) -> str:
        """Its cell, or a relay's group; empty where it has neither."""
        return self.cell or (self.group if isinstance(self.group, str) else "")


def register(registry: Registry, info: ServiceInfo) -> Callable[[], None]:
    """Make a running service known until its process ends or the returned function is called.

    Raises Conflict when another runs under the same role and id, BadRequest for words that cannot
    be part of a path.
    """
    for field, word in (("role", info.role), ("id", info.id)):
        if not word or "/" in word or word in (".", ".."):
            raise BadRequest(field, f"{word!r} cannot be part of a path")
    if info.of:
        check_cell_name("cell" if info.cell else "group", info.of)
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
    return read_all(registry, f"{SERVICES}/{role}", ServiceInfo)


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
