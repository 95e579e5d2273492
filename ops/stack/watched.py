"""One supervised child over all its lives: start, readiness, death, back-off, giving up."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ops.stack.child import ChildSpec, NotReady
from ops.stack.errors import ChildFailed, StackError
from ops.stack.process import ChildProcess, start_process

PROBE_EVERY_S = 0.1
NEED_EVERY_S = 0.05
NEED_AGAIN_EVERY_S = 0.5

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
    A child that was never ready is given up after ``first_deaths_max`` deaths: something is wrong
    with its set-up. One that was is given much longer, because a fault of others may end. A life
    that stayed ready for ``steady_s`` ends the row, and deaths while a need does not answer are
    not counted.
    """

    first_deaths_max: int = 4
    deaths_max: int = 40
    pause_s: float = 0.5
    pause_s_max: float = 10.0
    steady_s: float = 10.0

    def pause(self, deaths: int) -> float:
        """Seconds to wait after the ``deaths``-th death in a row."""
        if deaths <= 1:
            return 0.0
        return float(min(self.pause_s * 2 ** (deaths - 2), self.pause_s_max))


@dataclass(frozen=True)
class _Life:
    """One life of a child, ended: for how long it was ready (below 0: never), and how it ended."""

    ready_s: float
    status: int
    was_late: bool
    last_words: str


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
        """Ready in its present life, which lasts."""
        process = self.process
        return self._ready.is_set() and process is not None and process.status() is None

    def wait_first_ready(self, timeout_s: float) -> bool:
        """Whether it has been ready in any life by the end of ``timeout_s``."""
        return self._first_ready.wait(timeout_s)

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
            life = self._one_life()
            if self._stop.is_set():
                return
            if self._restart_asked.is_set():
                continue
            deaths = 1 if life.ready_s >= self._policy.steady_s else deaths + 1
            reason = self._death(life)
            missing = self._unanswered_need()
            if missing:
                deaths = 0
                self._say("died", f"{reason}\nit is started again when {missing}")
                self._wait_for_answers()
                continue
            ever = self._first_ready.is_set()
            if deaths >= (self._policy.deaths_max if ever else self._policy.first_deaths_max):
                raise ChildFailed(f"{reason}\n{self.spec.name} died {deaths} times: given up")
            self._say("died", reason)
            self._stop.wait(self._policy.pause(deaths))

    def _one_life(self) -> _Life:
        """Start it, wait until it is ready, and then until it ends."""
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
        ready_at = math.inf
        if self._wait_for_probe(process):
            ready_at = time.monotonic()
            self._ready.set()
            self._first_ready.set()
            self._say("ready", f"{ready_at - begun:.1f} s")
        elif process.status() is None and not self._stop.is_set():
            late = True
            process.stop(spec.stop_timeout_s)
        status = process.wait()
        self._ready.clear()
        process.end_group()
        return _Life(
            ready_s=time.monotonic() - ready_at,
            status=-1 if status is None else status,
            was_late=late,
            last_words=process.last_words(),
        )

    def _unanswered_need(self) -> str:
        """Which need does not answer now, and why; empty when all do."""
        for need in self._needs:
            try:
                need.spec.ready()
            except (NotReady, OSError) as reason:
                return f"{need.spec.name} answers again ({reason})"
        return ""

    def _wait_for_answers(self) -> None:
        while self._unanswered_need() and not self._stop.wait(NEED_AGAIN_EVERY_S):
            if any(need.failure for need in self._needs):
                return

    def _wait_for_needs(self) -> bool:
        """Whether all needs became ready before a stop; raises ChildFailed if one was given up."""
        for need in self._needs:
            while not need.wait_first_ready(NEED_EVERY_S):
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

    def _death(self, life: _Life) -> str:
        if life.was_late:
            what = f"was not ready within {self.spec.ready_timeout_s:.0f} s"
            what += f" ({self.not_ready_because})" if self.not_ready_because else ""
        elif life.status < 0:
            what = f"was ended by signal {-life.status}"
        else:
            what = f"ended with status {life.status}"
        where = f"the last lines of {self.spec.log}:\n{life.last_words}"
        if not life.last_words:
            where = f"{self.spec.log} says nothing about it"
        return f"{self.spec.name} {what}; {where}"

    def _give_up(self, error: StackError) -> None:
        self.failure = error
        self._say("gave up", str(error))

    def _end_process(self) -> None:
        with self._stopping_lock:
            if self.process is not None:
                self.process.stop(self.spec.stop_timeout_s)

    def _say(self, kind: Kind, detail: str = "") -> None:
        self._report(Happening(self.spec.name, kind, detail))
