"""`cellctl up --detach`: the same `cellctl up`, in a process that outlives this one.

The child tells that it is ready by a byte on a pipe of its own; all that it says goes to
`run/up.log` in the platform's folder.
"""

import os
import selectors
import subprocess
import sys
import time
from pathlib import Path

from ops.cellctl.outcome import Ended, Exit
from ops.config_settings import Config
from ops.platform_port import Progress
from ops.stack.state import require_unused

READY_S_MAX = 300.0
_ASK_EVERY_S = 0.25


def log_file(folder: Path) -> Path:
    """Where a detached platform says what it has to say."""
    return folder / "run" / "up.log"


def start_detached(config: Config, config_file: Path | None, progress: Progress) -> None:
    """Start the platform in a process of its own; returns when all of it is ready.

    Raises Ended with the child's own exit code and last words when it ends before, and
    STILL_RUNNING when it is not ready in time. Raises FolderInUse for a folder in which a platform
    runs, whose log is not ours to write into.
    """
    folder = Path(config.platform.data)
    require_unused(folder)
    log = log_file(folder)
    log.parent.mkdir(parents=True, exist_ok=True)
    ready, told = os.pipe()
    try:
        with log.open("ab") as out:
            begin = out.tell()
            child = subprocess.Popen(
                [*_command_line(config, config_file), "--ready-fd", str(told)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(told,),
                start_new_session=True,
            )
        os.close(told)
        if _wait_for_word(ready, child, log, progress):
            return
    finally:
        os.close(ready)
    code = child.poll()
    if code is None:
        raise Ended(
            Exit.STILL_RUNNING,
            f"the platform is not ready after {READY_S_MAX:.0f} s and goes on trying: see {log}, "
            f"or stop it with `cellctl down --data {folder}`",
        )
    raise Ended(_exit_of(code), _last_words(log, begin) or f"the platform ended at once: see {log}")


def _command_line(config: Config, config_file: Path | None) -> list[str]:
    platform = config.platform
    cells = platform.cells if isinstance(platform.cells, int) else len(platform.cells)
    line = [sys.executable, "-m", "ops.cellctl.main", "up"]
    line += ["--data", platform.data, "--profile", platform.profile]
    if isinstance(platform.cells, int):
        line += ["--cells", str(cells)]
    if platform.log_base:
        line += ["--log-base", str(platform.log_base)]
    return line + (["--config", str(config_file)] if config_file else [])


def _wait_for_word(
    ready: int, child: "subprocess.Popen[bytes]", log: Path, progress: Progress
) -> bool:
    """Whether the child told that it is ready; False when it ended or time is up."""
    deadline = time.monotonic() + READY_S_MAX
    with selectors.DefaultSelector() as selector:
        selector.register(ready, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if selector.select(_ASK_EVERY_S):
                if os.read(ready, 1):
                    return True
                child.wait()
                return False
            progress(f"starting; it says what it does in {log}")
    return False


def _exit_of(code: int) -> Exit:
    return Exit(code) if code in set(Exit) and code != Exit.DONE else Exit.FAILED


def _last_words(log: Path, begin: int) -> str:
    """What the child said of its end, without cellctl's name in front."""
    with log.open("rb") as said:
        said.seek(begin)
        lines = said.read()[-8192:].decode(errors="replace").strip().splitlines()
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].startswith(("cellctl: ", "Error: ")):
            return "\n".join(lines[at:]).partition(": ")[2]
    return "\n".join(lines[-3:])
