"""Redis's configuration, command line and child: one per cell, only ever a cache."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ops.stack import probes
from ops.stack.child import ChildSpec
from ops.stack.configuration import write_file
from ops.stack.ports import LOOPBACK


@dataclass(frozen=True)
class RedisSettings:
    """What one Redis is started with; ``cell`` names its child, ``host`` is where it listens."""

    cell: str
    port: int
    memory_mb: int = 128
    host: str = LOOPBACK


def name(cell: str) -> str:
    """The child's name for a cell's Redis."""
    return f"redis-{cell}"


def configuration(folder: Path, settings: RedisSettings) -> str:
    """The text of redis.conf: bounded memory, the least recently used evicted, nothing on disk."""
    return "\n".join(
        (
            f"bind {settings.host}",
            f"port {settings.port}",
            # Without a password it would answer nobody but its own machine.
            f"protected-mode {'yes' if settings.host == LOOPBACK else 'no'}",
            f'dir "{folder}"',
            "daemonize no",
            'save ""',
            "appendonly no",
            f"maxmemory {settings.memory_mb}mb",
            "maxmemory-policy allkeys-lru",
            "maxclients 512",
            "timeout 0",
            "tcp-keepalive 60",
            "databases 1",
            "loglevel notice",
            "",
        )
    )


def child(folder: Path, settings: RedisSettings, program: str) -> ChildSpec:
    """A cell's Redis in ``folder``."""
    file = folder / "redis.conf"
    return ChildSpec(
        name=name(settings.cell),
        argv=(program, str(file)),
        folder=folder,
        log=folder / "redis.log",
        ready=partial(probes.redis, settings.host, settings.port),
        prepare=lambda: write_file(file, configuration(folder, settings)),
        ports={"client": settings.port},
        ready_timeout_s=20.0,
        stop_timeout_s=5.0,
    )
