"""The supervisor's notes on disk: which processes run in a platform's folder, and who owns it.

``run/children.json`` is what lets a later command find and stop exactly these processes, also
when the supervisor itself was killed; ``run/supervisor.lock`` keeps a second one away.
"""

import fcntl
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ops.stack.disk import disk_full_is_clear
from ops.stack.errors import FolderInUse, StackError
from ops.stack.process import ProcessId, is_running, start_time

POLL_S = 0.05
SUPERVISOR = "supervisor"
"""Its name among those that were stopped."""


@dataclass(frozen=True)
class RecordedChild:
    """One child as written down: who it is, where it listens and logs, how often it came again."""

    name: str
    process: ProcessId
    ports: Mapping[str, int]
    log: str
    restarts: int = 0


@dataclass(frozen=True)
class Recorded:
    """What ``run/children.json`` says."""

    supervisor: ProcessId
    children: tuple[RecordedChild, ...]


class FolderLock:
    """Held by the one supervisor of a folder; the kernel lets go when it dies, however."""

    def __init__(self, folder: Path) -> None:
        """Raises FolderInUse when another supervisor holds it, and DiskFull."""
        path = _lock_file(folder)
        with disk_full_is_clear(folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with self._file:
                raise _in_use(folder, self._file) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let another supervisor have the folder."""
        self._file.close()


def require_unused(folder: Path) -> None:
    """Raise FolderInUse when a supervisor holds the folder's lock; takes and changes nothing."""
    try:
        with _lock_file(folder).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise _in_use(folder, file) from error
    except FileNotFoundError:
        return


def _lock_file(folder: Path) -> Path:
    return folder / "run" / "supervisor.lock"


def _in_use(folder: Path, lock: IO[str]) -> FolderInUse:
    lock.seek(0)
    holder = lock.read().strip() or "unknown"
    return FolderInUse(
        f"{folder} is already run by process {holder}: stop it with cellctl down, "
        "or choose another folder with --data"
    )


def children_file(folder: Path) -> Path:
    """Where a platform's processes are written down."""
    return folder / "run" / "children.json"


def write_state(folder: Path, children: tuple[RecordedChild, ...]) -> None:
    """Replace the notes by ``children`` of this very process; raises DiskFull."""
    document = {
        "supervisor": {"pid": os.getpid(), "started": start_time(os.getpid())},
        "children": [
            {
                "name": child.name,
                "pid": child.process.pid,
                "started": child.process.started,
                "ports": dict(child.ports),
                "log": child.log,
                "restarts": child.restarts,
            }
            for child in children
        ],
    }
    path = children_file(folder)
    with disk_full_is_clear(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(document, indent=1))
        temporary.replace(path)


def clear_state(folder: Path) -> None:
    """Forget the notes: all that was started has been stopped."""
    children_file(folder).unlink(missing_ok=True)


def read_state(folder: Path) -> Recorded | None:
    """The notes, or None when nothing is written down; raises StackError when unreadable."""
    path = children_file(folder)
    try:
        document = json.loads(path.read_text())
        supervisor = document["supervisor"]
        return Recorded(
            ProcessId(supervisor["pid"], supervisor["started"]),
            tuple(
                RecordedChild(
                    child["name"],
                    ProcessId(child["pid"], child["started"]),
                    child["ports"],
                    child["log"],
                    child.get("restarts", 0),  # a supervisor of before counts in secret
                )
                for child in document["children"]
            ),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(
            f"{path} cannot be read ({error!r}): stop the processes by hand and delete it"
        ) from error


def stop_recorded(folder: Path, timeout_s: float = 60.0) -> list[str]:
    """Stop everything that ``run/children.json`` names; the names of what was still running.

    The supervisor gets TERM and time to stop its children in order; what is alive after that, or
    was left by a killed supervisor, gets TERM and then KILL. Only processes whose start time is
    the recorded one are touched. Raises StackError when something outlives even KILL.
    """
    recorded = read_state(folder)
    if recorded is None:
        return []
    running = [child.name for child in recorded.children if is_running(child.process)]
    if _signal(recorded.supervisor, signal.SIGTERM):
        running.append(SUPERVISOR)
        _wait_gone([recorded.supervisor], timeout_s)
        _signal(recorded.supervisor, signal.SIGKILL)
    everything = [child.process for child in reversed(recorded.children)]
    for number, wait_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        for process in everything:
            _signal(process, number)
        if _wait_gone([*everything, recorded.supervisor], wait_s):
            clear_state(folder)
            return running
    raise StackError(f"some processes of {folder} cannot be killed: see {children_file(folder)}")


def _signal(process: ProcessId, number: int) -> bool:
    """Signal exactly this process; whether it was there."""
    if not is_running(process):
        return False
    try:
        os.kill(process.pid, number)
        # One that was stopped must wake up to see its TERM.
        os.kill(process.pid, signal.SIGCONT)
    except ProcessLookupError:
        return False
    return True


def _wait_gone(processes: list[ProcessId], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(is_running(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
