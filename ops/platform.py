"""The ways into a platform, as `cellctl` uses them: start, stop, serve, discover.

What a profile needs is imported when it is chosen: the embedded one is up in well under two
seconds, of which the client libraries of the stack would be half.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from idgen.errors import BadRequest, Corrupt
from ops import addresses
from ops.config import Config
from ops.creation import Progress
from ops.platform_port import Platform, Running
from ops.stack.state import SUPERVISOR, stop_recorded
from ops.wiring.seams import Seams

if TYPE_CHECKING:
    from ops.running_embedded import RunningEmbedded
    from ops.running_stack import RunningStack


FIND_S = 4.0
"""So long a command, with somebody waiting for it, tries to reach a registry."""
SERVE_S = 15.0
"""So long a service does, whose registry may be starting beside it."""


def start(config: Config, progress: Progress) -> Running:
    """Start a platform in this process; returns when all of it is ready.

    SIGTERM has it stop, like Ctrl-C. Raises StackError (a folder in use, a port, Java, the disk)
    and Conflict for a platform that does not fit the configuration.
    """
    running = _running(config, progress)

    def stop(_number: int, _frame: FrameType | None) -> None:
        running.ask_to_stop()

    signal.signal(signal.SIGTERM, stop)
    return running


def stop(folder: Path, progress: Progress) -> list[str]:
    """Stop the platform of a folder, whatever is left of it; the names of what still ran."""
    progress(f"stopping the platform in {folder}")
    stopped = stop_recorded(folder)
    addresses.forget(folder)
    with suppress(Corrupt):  # who starts it next is told
        if addresses.profile_of(folder) == "embedded":  # one process, which supervises nothing
            return ["embedded platform" if name == SUPERVISOR else name for name in stopped]
    return stopped


def serve(role: str, cell: str | None, config: Config, group: str | None = None) -> None:
    """Run one service in the foreground until it is told to stop; exits with 1 if its work failed.

    Raises BadRequest(role|cell|group), and Unavailable when the registry does not answer.
    """
    from ops.roles import parts_of  # noqa: PLC0415
    from ops.template.host import run_service  # noqa: PLC0415

    zookeeper = config.servers.zookeeper or addresses.read(Path(config.platform.data)).registry
    if not zookeeper:
        raise BadRequest("role", "an embedded platform is one process: use `cellctl up`")
    seams = _stack_seams(config, zookeeper, SERVE_S)
    parts = parts_of(role, cell or "", config, seams, group or "")
    code = run_service(role, parts, config, cell=cell or "", group=group or "")
    # Client libraries have threads of their own that would hold up the interpreter's end.
    sys.stderr.flush()
    os._exit(code)


def discover(config: Config, registry: str | None) -> Platform:
    """A running platform, by its folder or by its registry's address. Raises Unavailable."""
    from ops.found import FoundPlatform  # noqa: PLC0415

    if registry:
        return FoundPlatform(config, _stack_seams(config, registry, FIND_S), "stack", registry)
    found = addresses.read(Path(config.platform.data))
    if found.profile == "embedded":
        from ops.wiring.embedded import EmbeddedSeams  # noqa: PLC0415

        return FoundPlatform(config, EmbeddedSeams(config), "embedded", "")
    seams = _stack_seams(config, found.registry, FIND_S)
    return FoundPlatform(config, seams, "stack", found.registry)


def _running(config: Config, progress: Progress) -> "RunningEmbedded | RunningStack":
    if config.platform.profile == "embedded":
        from ops.running_embedded import RunningEmbedded  # noqa: PLC0415

        return RunningEmbedded(config, progress)
    from ops.running_stack import RunningStack  # noqa: PLC0415

    return RunningStack(config, progress)


def _stack_seams(config: Config, zookeeper: str, connect_s: float) -> Seams:
    from ops.wiring.stack import StackSeams  # noqa: PLC0415

    return StackSeams(config, zookeeper, connect_s=connect_s)
