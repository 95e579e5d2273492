"""One child process: its log, its group, its end, and how to recognise it later.

The kernel sends a child's death signal when the *thread* that started it ends (prctl(2)), so all
children are started by one thread that lives as long as this process.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ops.stack.disk import disk_full_is_clear
from ops.stack.errors import ChildFailed

LAUNCH = Path(__file__).with_name("launch.py")
LOG_BYTES_MAX = 16 << 20
"""A log larger than this is moved to ``.1`` when its child starts again."""


class _Starter:
    """The one thread that starts children; a forked copy of this process gets its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[int, ThreadPoolExecutor] = {}

    def run(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """What ``start`` returns or raises, called in that thread."""
        with self._lock:
            thread = self._threads.setdefault(
                os.getpid(), ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-starter")
            )
        return thread.submit(start).result()


_starter = _Starter()


@dataclass(frozen=True)
class ProcessId:
    """A process for good: its pid and its start time (field 22 of /proc/PID/stat, in ticks)."""

    pid: int
    started: int


class ChildProcess:
    """A running child in its own session, writing to its own log file."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, since: int) -> None:
        self.name = name
        self.log = log
        self._log_since = since
        self._process = process
        self._group_lock = threading.Lock()
        self._group_ended = False
        self.identity = ProcessId(process.pid, start_time(process.pid) or 0)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the end; the exit status, or None when ``timeout_s`` passed first."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def send(self, signal_number: int) -> None:
        """Signal the child, not its group; one that has ended is left alone."""
        self._process.send_signal(signal_number)

    def stop(self, timeout_s: float) -> int:
        """TERM, wait at most ``timeout_s``, then KILL; returns the status."""
        if self.status() is None:
            self.send(signal.SIGTERM)
            # A child that a test has stopped must wake up to see its TERM.
            self.send(signal.SIGCONT)
        if self.wait(timeout_s) is None:
            self.send(signal.SIGKILL)
        status = self._process.wait()
        self.end_group()
        return status

    def last_words(self, lines: int = 15) -> str:
        """The last lines that this process, and not one before it, wrote to its log."""
        return tail(self.log, lines, since=self._log_since)

    def end_group(self) -> None:
        """KILL what an ended child has left in its session; once, for its id may come again."""
        with self._group_lock:
            if not self._group_ended:
                self._group_ended = True
                _kill_group(self.pid)


def start_process(
    name: str,
    argv: Sequence[str],
    *,
    folder: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> ChildProcess:
    """Start ``argv`` in ``folder``, appending both output streams to ``log``.

    ``env`` None inherits this process's environment. Raises ChildFailed when the program cannot
    be started and DiskFull when the log cannot be written.
    """
    with disk_full_is_clear(folder):
        folder.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_name(log.name + ".1"))
        since = log.stat().st_size if log.exists() else 0
    command = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), *argv]
    try:
        process = _starter.run(lambda: _spawn(command, folder, log, env))
    except OSError as error:
        raise ChildFailed(f"{name} cannot be started: {error}") from error
    return ChildProcess(name, process, log, since)


def _spawn(
    command: Sequence[str], folder: Path, log: Path, env: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def start_time(pid: int) -> int | None:
    """Start time of a live process in clock ticks since boot; None for one that is gone.

    A zombie counts as gone: it runs no more and only waits for its parent.
    """
    try:
        text = Path("/proc", str(pid), "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name, in brackets, may hold spaces and brackets itself.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_running(identity: ProcessId) -> bool:
    """Whether exactly this process, and not a later one of the same pid, is alive."""
    return start_time(identity.pid) == identity.started


def tail(log: Path, lines: int = 15, *, since: int = 0, bytes_max: int = 64 << 10) -> str:
    """The last lines of a log, none from before the byte ``since``; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(since, file.tell() - bytes_max))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _kill_group(pid: int) -> None:
    """KILL what is left of a child's session; a group that is gone is what we want."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
