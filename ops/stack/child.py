"""What a supervisor needs to know of a child before it starts it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


class NotReady(Exception):
    """A readiness probe's "not yet", with the reason."""


Probe = Callable[[], None]
"""Returns when the child is truly ready; raises NotReady or OSError with the reason until then.

A probe bounds its own time to a few seconds.
"""


def always_ready() -> None:
    """The probe of a child that is ready as soon as it runs."""


@dataclass(frozen=True)
class ChildSpec:
    """A child process: how to start it, when it is ready, how to stop it.

    ``needs`` names children that must have been ready before this one starts for the first time.
    ``prepare`` runs before every start (configuration files, formatting) and may raise StackError.
    ``ports`` are the ports it will listen on, by purpose; they are its own over restarts.
    ``env`` None inherits the supervisor's environment. ``archive`` names the class archive that
    all children of its kind share, for those that run on Java.
    """

    name: str
    argv: tuple[str, ...]
    folder: Path
    log: Path
    ready: Probe = always_ready
    env: Mapping[str, str] | None = None
    needs: tuple[str, ...] = ()
    prepare: Callable[[], None] | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    ready_timeout_s: float = 90.0
    stop_timeout_s: float = 15.0
    archive: str = ""
