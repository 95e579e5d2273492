"""One supervised child over all its lives: start, readiness, death, back-off, giving up."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ops.stack.child import ChildSpec, NotReady
from ops.stack.errors import ChildFailed, StackError
from ops.stack.process import ChildProcess, start_process, tail

PROBE_EVERY_S = 0.1
NEED_EVERY_S = 0.05

Kind = Literal["starting", "started", "ready", "died", "gave up", "stopped", "warning"]


@dataclass(frozen=True)
class Happening:
    """Something that happened to a child; ``detail`` is for people, and may have several lines."""

    name: str
    kind: Kind
    detail: str = ""


@dataclass(frozen=True)
class RestartPolicy:
    """How dead children are started again.

    The first time at once, then after pauses that double from ``pause_s`` to ``pause_s_max``.
    After ``deaths_max`` deaths in a row it is given up; a life that stayed ready for ``steady_s``
    ends the row.
    """

    deaths_max: int = 6
    pause_s: float = 0.5
    pause_s_max: float = 10.0
    steady_s: float = 10.0

    def pause(self, deaths: int) -> float:
        """Seconds to wait after the ``deaths``-th death in a row."""
        if deaths <= 1:
            return 0.0
        return float(min(self.pause_s * 2 ** (deaths - 2), self.pause_s_max))


class Watched:
    """A child and the thread that keeps it alive."""

    def __init__(
        self,
        spec: ChildSpec,
        needs: Sequence["Watched"],
        policy: RestartPolicy,
        report: Callable[[Happening], None],
    ) -> None:
        self.spec = spec
        self.process: ChildProcess | None = None
        self.failure: StackError | None = None
        self.not_ready_because = ""
        self.restarts = -1
        self._needs = needs
        self._policy = policy
        self._report = report
        self._ready = threading.Event()
        self._first_ready = threading.Event()
        self._stop = threading.Event()
        self._restart_asked = threading.Event()
        self._stopping_lock = threading.Lock()
        self._thread = threading.Thread(target=self._live, name=f"watch-{spec.name}", daemon=True)

    @property
    def is_ready(self) -> bool:
        """Ready in its present life."""
        return self._ready.is_set()

    def begin(self) -> None:
        """Start the watching thread; once."""
        self._thread.start()

    def ask_stop(self) -> None:
        """Stop the child and do not start it again; returns when it is told, see ``join``."""
        self._stop.set()
        # In a thread of its own, so that many children can take their time side by side.
        threading.Thread(target=self._end_process, daemon=True).start()

    def ask_restart(self) -> None:
        """End this life in the child's own way; the watching thread starts the next one."""
        self._ready.clear()
        self._restart_asked.set()
        self._end_process()

    def join(self) -> None:
        """Wait until the child is stopped; bounded by its stop time-out and the probe's."""
        self._thread.join()

    def _live(self) -> None:
        try:
            self._lives()
        except StackError as error:
            self._give_up(error)
        finally:
            self._ready.clear()
            self._end_process()
            self._say("stopped")

    def _lives(self) -> None:
        if not self._wait_for_needs():
            return
        deaths = 0
        while not self._stop.is_set():
            self._restart_asked.clear()
            ready_since, status, late = self._one_life()
            if self._stop.is_set():
                return
            if self._restart_asked.is_set():
                continue
            steady = ready_since is not None and (
                time.monotonic() - ready_since >= self._policy.steady_s
            )
            deaths = 1 if steady else deaths + 1
            reason = self._death(status, late)
            if deaths >= self._policy.deaths_max:
                raise ChildFailed(f"{reason}\n{self.spec.name} died {deaths} times: given up")
            self._say("died", reason)
            self._stop.wait(self._policy.pause(deaths))

    def _one_life(self) -> tuple[float | None, int, bool]:
        """From start to end: when it became ready, its exit status, and whether it was too late."""
        spec = self.spec
        self._say("starting")
        if spec.prepare is not None:
            spec.prepare()
        process = start_process(
            spec.name, spec.argv, folder=spec.folder, log=spec.log, env=spec.env
        )
        with self._stopping_lock:
            self.process = process
            self.restarts += 1
        if self._stop.is_set() or self._restart_asked.is_set():
            self._end_process()
        self._say("started", f"pid {process.pid}")
        begun = time.monotonic()
        late = False
        ready_since = None
        if self._wait_for_probe(process):
            ready_since = time.monotonic()
            self._ready.set()
            self._first_ready.set()
            self._say("ready", f"{ready_since - begun:.1f} s")
        elif process.status() is None and not self._stop.is_set():
            late = True
            process.stop(spec.stop_timeout_s)
        status = process.wait()
        self._ready.clear()
        process.end_group()
        return ready_since, -1 if status is None else status, late

    def _wait_for_needs(self) -> bool:
        """Whether all needs became ready before a stop; raises ChildFailed if one was given up."""
        for need in self._needs:
            while not need._first_ready.wait(NEED_EVERY_S):
                if self._stop.is_set():
                    return False
                if need.failure is not None:
                    raise ChildFailed(
                        f"{self.spec.name} was not started, because it needs "
                        f"{need.spec.name}: {need.failure}"
                    )
        return not self._stop.is_set()

    def _wait_for_probe(self, process: ChildProcess) -> bool:
        """Ask until it is ready; False when it ended, was told to, or its time is up."""
        deadline = time.monotonic() + self.spec.ready_timeout_s
        while process.status() is None and not self._stop.is_set():
            try:
                self.spec.ready()
            except (NotReady, OSError) as reason:
                self.not_ready_because = str(reason)
            else:
                self.not_ready_because = ""
                return process.status() is None
            if time.monotonic() > deadline:
                return False
            process.wait(PROBE_EVERY_S)
        return False

    def _death(self, status: int, late: bool) -> str:
        if late:
            what = f"was not ready within {self.spec.ready_timeout_s:.0f} s"
            what += f" ({self.not_ready_because})" if self.not_ready_because else ""
        elif status < 0:
            what = f"was ended by signal {-status}"
        else:
            what = f"ended with status {status}"
        last = tail(self.spec.log)
        return f"{self.spec.name} {what}; the last lines of {self.spec.log}:\n{last}"

    def _give_up(self, error: StackError) -> None:
        self.failure = error
        self._say("gave up", str(error))

    def _end_process(self) -> None:
        with self._stopping_lock:
            if self.process is not None:
                self.process.stop(self.spec.stop_timeout_s)

    def _say(self, kind: Kind, detail: str = "") -> None:
        self._report(Happening(self.spec.name, kind, detail))
