"""Starts children in the order of their needs, waits for each, restarts what dies, stops it all.

Every child has one thread of its own that starts it, asks its probe, waits for its end and starts
it again; so one slow child holds up nobody but those that need it.
"""

import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from ops.stack.child import ChildSpec
from ops.stack.errors import ChildFailed, StackError
from ops.stack.process import tail
from ops.stack.state import FolderLock, RecordedChild, clear_state, write_state
from ops.stack.watched import Happening, RestartPolicy, Watched

KILL_TIMEOUT_S = 10.0

Report = Callable[[Happening], None]


def silent(happening: Happening) -> None:
    """The report of a caller that does not want any."""


class Supervisor:
    """Owns a set of children in one platform folder; safe to call from any thread.

    ``report`` is called with everything that happens to a child: from the children's threads, one
    call at a time. It must not call ``stop``, which waits for these threads.
    """

    def __init__(
        self, folder: Path, report: Report = silent, policy: RestartPolicy | None = None
    ) -> None:
        """Raises FolderInUse when another supervisor runs this folder."""
        self.folder = folder
        self._report = report
        self._policy = policy or RestartPolicy()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._reporting = threading.Lock()
        self._changed = threading.Condition()
        self._children: dict[str, Watched] = {}
        self._stopping = False
        self._folder_lock = FolderLock(folder)

    def start(self, spec: ChildSpec) -> None:
        """Start a child as soon as what it needs is ready; returns at once.

        Raises ValueError for a name that is taken or a need that was not started before.
        """
        with self._lock:
            if self._stopping:
                raise ChildFailed(f"{spec.name} cannot be started: everything is being stopped")
            if spec.name in self._children:
                raise ValueError(f"there is a child named {spec.name} already")
            unknown = [name for name in spec.needs if name not in self._children]
            if unknown:
                raise ValueError(f"{spec.name} needs {', '.join(unknown)}, which must start first")
            needs = [self._children[name] for name in spec.needs]
            child = Watched(spec, needs, self._policy, self._happened)
            self._children[spec.name] = child
        child.begin()

    def start_all(self, specs: Iterable[ChildSpec]) -> None:
        """``start`` each, in the given order."""
        for spec in specs:
            self.start(spec)

    def wait_ready(self, names: Iterable[str] | None = None, timeout_s: float = 120.0) -> None:
        """Wait until the named children, or all, are ready.

        Raises ChildFailed, with the reason and the last lines of the log, for one that was given
        up, and for those not ready after ``timeout_s``.
        """
        with self._lock:
            wanted = [self._child(name) for name in (names or list(self._children))]
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    all(child.is_ready for child in wanted)
                    or any(child.failure for child in wanted)
                ),
                timeout_s,
            )
        for child in wanted:
            if child.failure:
                raise child.failure
        late = [child for child in wanted if not child.is_ready]
        if late:
            reasons = "\n".join(_lateness(child) for child in late)
            raise ChildFailed(f"not ready after {timeout_s:.0f} s:\n{reasons}")

    def is_ready(self, name: str) -> bool:
        """Whether the child runs and its probe has been answered since it last started."""
        return self._named(name).is_ready

    def pid(self, name: str) -> int | None:
        """The process id of the child's present life; None between two lives."""
        process = self._named(name).process
        return process.pid if process is not None and process.status() is None else None

    def names(self) -> list[str]:
        """The children in the order in which they were started."""
        with self._lock:
            return list(self._children)

    def log(self, name: str) -> Path:
        """The child's log file."""
        return self._named(name).spec.log

    def restarts(self, name: str) -> int:
        """How often the child has been started again."""
        return self._named(name).restarts

    def kill(self, name: str, signal_number: int) -> None:
        """Send a signal to the child; what follows (its restart) is as for any other death.

        KILL returns when the process is gone, so that ``wait_ready`` waits for its next life.
        Raises ChildFailed when it is not running at this moment.
        """
        process = self._named(name).process
        if process is None or process.status() is not None:
            raise ChildFailed(f"{name} is not running")
        process.send(signal_number)
        if signal_number == signal.SIGKILL:
            process.wait(KILL_TIMEOUT_S)

    def restart(self, name: str) -> None:
        """Stop the child in its own way and start it again; not counted as a death.

        Raises the reason for which it was given up, if it was.
        """
        child = self._named(name)
        if child.failure:
            raise child.failure
        child.ask_restart()

    def stop_child(self, name: str) -> None:
        """Stop one child for good and forget it."""
        child = self._named(name)
        child.ask_stop()
        child.join()
        with self._lock:
            del self._children[name]
        self._write_state()

    def run_until(self, stop_event: threading.Event) -> None:
        """Return when ``stop_event`` is set; raises ChildFailed when a child is given up."""
        while not stop_event.is_set():
            with self._changed:
                # Woken by whatever happens to a child; the event is not ours, so it is polled.
                self._changed.wait(0.2)
            for child in self._snapshot():
                if child.failure:
                    raise child.failure

    def stop(self) -> None:
        """Stop every child, those first that nothing depends on.

        Idempotent, and bounded by the children's own stop time-outs.
        """
        with self._lock:
            already, self._stopping = self._stopping, True
        for wave in _stop_order(self._snapshot()):
            for child in wave:
                child.ask_stop()
            for child in wave:
                child.join()
        if not already:
            clear_state(self.folder)
            self._folder_lock.release()

    def __enter__(self) -> Self:
        """The supervisor itself; leaving the block stops everything."""
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _happened(self, happening: Happening) -> None:
        if happening.kind in ("started", "died", "stopped"):
            try:
                self._write_state()
            except StackError as error:
                # A full disk must not end the thread that watches the child.
                with self._reporting:
                    self._report(Happening(happening.name, "warning", str(error)))
        with self._changed:
            self._changed.notify_all()
        with self._reporting:
            self._report(happening)

    def _write_state(self) -> None:
        with self._writing:
            running = []
            for child in self._snapshot():
                process = child.process
                if process is not None and process.status() is None:
                    spec, log = child.spec, str(child.spec.log)
                    running.append(
                        RecordedChild(spec.name, process.identity, spec.ports, log, child.restarts)
                    )
            write_state(self.folder, tuple(running))

    def _snapshot(self) -> list[Watched]:
        with self._lock:
            return list(self._children.values())

    def _named(self, name: str) -> Watched:
        with self._lock:
            return self._child(name)

    def _child(self, name: str) -> Watched:
        try:
            return self._children[name]
        except KeyError:
            raise ValueError(
                f"no child is named {name}; there are: {', '.join(self._children)}"
            ) from None


def _lateness(child: Watched) -> str:
    last = tail(child.spec.log, 5)
    reason = child.not_ready_because or f"waits for {', '.join(child.spec.needs) or 'its turn'}"
    return f"{child.spec.name}: {reason}" + (f"\n{last}" if last else "")


def _stop_order(children: list[Watched]) -> list[list[Watched]]:
    """Waves in which children can be stopped side by side: dependants before what they need."""
    left = {child.spec.name: child for child in children}
    waves = []
    while left:
        needed = {name for child in left.values() for name in child.spec.needs}
        wave = [child for name, child in left.items() if name not in needed]
        waves.append(wave)
        for child in wave:
            del left[child.spec.name]
    return waves
