"""What the proofs need of a platform, whether its servers are real or embedded."""

from enum import StrEnum
from typing import Protocol

from cell.dashboard import Dashboard
from ops.platform_port import Moves


class Fault(StrEnum):
    """What happens to a platform in the middle of a load."""

    KILL_INGEST = "kill -9 an ingest worker"
    KILL_GATEWAY = "kill -9 a gateway"
    KILL_REGION_SERVER = "kill -9 a region server"
    FLUSH_CACHE = "flush a cell's post cache"
    RESTART_ROUTER = "restart the router"
    KILL_MOVER = "kill -9 the mover"
    STALL_INGEST = "stop an ingest worker beyond its session and let it go on"


class Platform(Protocol):
    """A running platform of several cells."""

    @property
    def cells(self) -> tuple[str, ...]:
        """The names of the cells."""
        ...

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that can be made here."""
        ...

    def client(self) -> Dashboard:
        """A client of the router, for one thread; closed with the platform."""
        ...

    def inject(self, fault: Fault, cell: str) -> None:
        """Make a fault; returns when it is over and the part answers again."""
        ...

    def moves(self) -> Moves:
        """How readers are moved here."""
        ...

    def home(self, place: int) -> str:
        """The cell that a place of the key space is homed in."""
        ...

    def reader_after(self, cell: str, place: int) -> int:
        """A reader with entries in the cell, the next one from a place on; 0: none."""
        ...

    def caught_up(self) -> bool:
        """Whether every cell has applied what is the end of the log now."""
        ...

    def rewind(self, cell: str) -> None:
        """Let the cell's group read the log again from its beginning; returns as it begins."""
        ...

    def replayed(self, cell: str) -> bool:
        """Whether the cell's group has read on to the end of the log (applied is not enough:
        that does not fall when a group is rewound)."""
        ...

    def table_hash(self, cell: str) -> str:
        """A hash over all rows and versions of the cell's tables, but for the positions."""
        ...
