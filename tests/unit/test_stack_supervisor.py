"""The supervisor, with small Python programs as its children."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.stack.child import ChildSpec, NotReady
from ops.stack.errors import ChildFailed, FolderInUse
from ops.stack.process import ProcessId, is_running, start_time
from ops.stack.state import children_file, read_state, require_unused, stop_recorded
from ops.stack.supervisor import Supervisor
from ops.stack.watched import Happening, RestartPolicy

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOREVER = "import signal; print('up', flush=True); signal.pause()"
QUICK = RestartPolicy(first_deaths_max=3, deaths_max=3, pause_s=0.01, pause_s_max=0.02)


class Recorder:
    """Keeps what a supervisor reports and lets a test wait for it."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self._changed = threading.Condition()

    def __call__(self, happening: Happening) -> None:
        with self._changed:
            self.happenings.append(happening)
            self._changed.notify_all()

    def wait_for(self, name: str, kind: str, count: int = 1, timeout_s: float = 20.0) -> Happening:
        def found() -> list[Happening]:
            return [h for h in self.happenings if (h.name, h.kind) == (name, kind)]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, timeout_s), (
                f"no {kind} of {name} in {self.happenings}"
            )
            return found()[count - 1]

    def order(self, kind: str) -> list[str]:
        return [h.name for h in self.happenings if h.kind == kind]


def program(
    folder: Path,
    name: str,
    code: str,
    *,
    ready: Callable[[], None] | None = None,
    needs: tuple[str, ...] = (),
    ready_timeout_s: float = 10.0,
    stop_timeout_s: float = 5.0,
) -> ChildSpec:
    return ChildSpec(
        name=name,
        argv=(sys.executable, "-I", "-S", "-c", textwrap.dedent(code)),
        folder=folder / name,
        log=folder / f"{name}.log",
        ready=ready or says(folder / f"{name}.log", "up"),
        needs=needs,
        ready_timeout_s=ready_timeout_s,
        stop_timeout_s=stop_timeout_s,
    )


def says(log: Path, word: str) -> Callable[[], None]:
    """A probe: ready when the log holds the word."""

    def probe() -> None:
        if word not in log.read_text():
            raise NotReady(f"no {word!r} yet")

    return probe


def wait_until(true: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Look at the thing itself until it is so; a process that is no child of ours has no event."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        pause.wait(0.02)


def alive(pid: int) -> bool:
    return start_time(pid) is not None


def test_a_child_starts_only_when_what_it_needs_is_ready(tmp_path: Path) -> None:
    report = Recorder()
    gate = threading.Event()

    def open_gate() -> None:
        if not gate.is_set():
            raise NotReady("the gate is shut")

    with Supervisor(tmp_path, report) as supervisor:
        supervisor.start(program(tmp_path, "base", FOREVER, ready=open_gate))
        supervisor.start(program(tmp_path, "top", FOREVER, needs=("base",)))
        report.wait_for("base", "started")
        assert supervisor.pid("top") is None
        gate.set()
        supervisor.wait_ready(timeout_s=20)
    started = report.order("started")
    assert started == ["base", "top"]
    assert report.order("stopped") == ["top", "base"], "stopped in reverse"


def test_a_name_taken_or_a_need_unknown_is_refused(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        with pytest.raises(ValueError, match="needs nobody"):
            supervisor.start(program(tmp_path, "a", FOREVER, needs=("nobody",)))
        supervisor.start(program(tmp_path, "a", FOREVER))
        with pytest.raises(ValueError, match="a child named a already"):
            supervisor.start(program(tmp_path, "a", FOREVER))
        with pytest.raises(ValueError, match="no child is named b; there are: a"):
            supervisor.pid("b")


def test_a_killed_child_is_reported_and_started_again(tmp_path: Path) -> None:
    report = Recorder()
    with Supervisor(tmp_path, report) as supervisor:
        supervisor.start(program(tmp_path, "a", FOREVER))
        supervisor.wait_ready(timeout_s=20)
        first = supervisor.pid("a")
        supervisor.kill("a", signal.SIGKILL)
        supervisor.wait_ready(["a"], timeout_s=20)
        second = supervisor.pid("a")
        assert first is not None
        assert second not in (None, first)
        assert supervisor.restarts("a") == 1
        death = report.wait_for("a", "died").detail
        assert "a was ended by signal 9" in death
        assert death.endswith("\nup"), "the last lines of its log"


def test_how_often_a_child_came_again_is_written_down(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(program(tmp_path, "a", FOREVER))
        supervisor.wait_ready(timeout_s=20)
        for _ in range(2):
            supervisor.kill("a", signal.SIGKILL)
            supervisor.wait_ready(["a"], timeout_s=20)
        recorded = read_state(tmp_path)
        assert recorded is not None
        assert [child.restarts for child in recorded.children] == [2]


def test_notes_of_a_supervisor_that_wrote_no_restarts_are_read(tmp_path: Path) -> None:
    own = {"pid": os.getpid(), "started": start_time(os.getpid())}
    child = {"name": "a", **own, "ports": {}, "log": "a.log"}
    children_file(tmp_path).parent.mkdir()
    children_file(tmp_path).write_text(json.dumps({"supervisor": own, "children": [child]}))
    recorded = read_state(tmp_path)
    assert recorded is not None
    assert [child.restarts for child in recorded.children] == [0]


def test_the_last_words_are_those_of_the_life_that_ended(tmp_path: Path) -> None:
    report = Recorder()
    code = """
        import pathlib, sys
        first = not pathlib.Path("lived").exists()
        pathlib.Path("lived").touch()
        print("words of the first life" if first else "words of the second life")
        sys.exit(3)
    """
    policy = RestartPolicy(first_deaths_max=2, pause_s=0.01)
    with Supervisor(tmp_path, report, policy) as supervisor:
        supervisor.start(program(tmp_path, "a", code))
        with pytest.raises(ChildFailed) as caught:
            supervisor.wait_ready(timeout_s=20)
    first = report.wait_for("a", "died").detail
    assert "ended with status 3" in first
    assert "words of the first life" in first
    assert "words of the second life" in str(caught.value)
    assert "words of the first life" not in str(caught.value)


def test_too_many_deaths_in_a_row_end_the_run_with_the_reason(tmp_path: Path) -> None:
    report = Recorder()
    with Supervisor(tmp_path, report, QUICK) as supervisor:
        supervisor.start(program(tmp_path, "a", "print('no such setting: x'); raise SystemExit(2)"))
        supervisor.start(program(tmp_path, "b", FOREVER, needs=("a",)))
        with pytest.raises(ChildFailed, match=r"(?s)no such setting: x.*died 3 times: given up"):
            supervisor.run_until(threading.Event())
        assert "needs a" in report.wait_for("b", "gave up").detail
        with pytest.raises(ChildFailed, match="given up"):
            supervisor.restart("a")
    assert report.order("died") == ["a", "a"]
    assert supervisor.restarts("a") == 2


def test_a_child_that_is_never_ready_is_named_with_its_reason(tmp_path: Path) -> None:
    def never() -> None:
        raise NotReady("the moon is not full")

    policy = RestartPolicy(first_deaths_max=1)
    with Supervisor(tmp_path, policy=policy) as supervisor:
        supervisor.start(program(tmp_path, "a", FOREVER, ready=never, ready_timeout_s=0.3))
        with pytest.raises(ChildFailed, match=r"not ready within 0 s .the moon is not full."):
            supervisor.wait_ready(timeout_s=20)


def test_waiting_for_readiness_ends_with_the_names_of_the_late(tmp_path: Path) -> None:
    def never() -> None:
        raise NotReady("still loading")

    with Supervisor(tmp_path) as supervisor:
        supervisor.start(program(tmp_path, "slow", FOREVER, ready=never))
        supervisor.start(program(tmp_path, "after", FOREVER, needs=("slow",)))
        with pytest.raises(ChildFailed) as caught:
            supervisor.wait_ready(timeout_s=0.5)
    assert "slow: still loading" in str(caught.value)
    assert "after: waits for slow" in str(caught.value)


def test_deaths_during_the_outage_of_a_need_are_not_counted(tmp_path: Path) -> None:
    report = Recorder()
    answers = threading.Event()
    answers.set()

    def base_answers() -> None:
        if not answers.is_set():
            raise NotReady("base is silent")

    policy = RestartPolicy(first_deaths_max=1, deaths_max=1)
    with Supervisor(tmp_path, report, policy) as supervisor:
        supervisor.start(program(tmp_path, "base", FOREVER, ready=base_answers))
        supervisor.start(program(tmp_path, "top", FOREVER, needs=("base",)))
        supervisor.wait_ready(timeout_s=20)
        answers.clear()
        supervisor.kill("top", signal.SIGKILL)
        assert "when base answers again" in report.wait_for("top", "died").detail
        assert supervisor.pid("top") is None
        answers.set()
        supervisor.wait_ready(["top"], timeout_s=20)


def test_a_restart_on_request_is_no_death(tmp_path: Path) -> None:
    report = Recorder()
    with Supervisor(
        tmp_path, report, RestartPolicy(first_deaths_max=1, deaths_max=1)
    ) as supervisor:
        supervisor.start(program(tmp_path, "a", FOREVER))
        supervisor.wait_ready(timeout_s=20)
        first = supervisor.pid("a")
        supervisor.restart("a")
        supervisor.wait_ready(["a"], timeout_s=20)
        assert supervisor.pid("a") != first
    assert report.order("died") == []


def test_stopped_and_continued_it_is_the_same_process(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(program(tmp_path, "a", FOREVER))
        supervisor.wait_ready(timeout_s=20)
        pid = supervisor.pid("a")
        assert pid is not None
        supervisor.kill("a", signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "T")
        supervisor.kill("a", signal.SIGCONT)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "T")
        assert supervisor.pid("a") == pid
        assert supervisor.restarts("a") == 0
        supervisor.kill("a", signal.SIGSTOP)
    assert not alive(pid), "also one that was left stopped is gone"


def test_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    stubborn = """
        import signal, subprocess, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        print("grandchild", child.pid, "up", flush=True)
        while True:
            signal.pause()
    """
    supervisor = Supervisor(tmp_path)
    supervisor.start(program(tmp_path, "mild", FOREVER))
    supervisor.start(program(tmp_path, "stubborn", stubborn, stop_timeout_s=0.3))
    supervisor.wait_ready(timeout_s=20)
    pids = [supervisor.pid("mild"), supervisor.pid("stubborn")]
    pids.append(int((tmp_path / "stubborn.log").read_text().split()[1]))
    supervisor.stop()
    for pid in pids:
        assert pid is not None
        wait_until(lambda pid=pid: not alive(pid))  # type: ignore[misc]
    assert not children_file(tmp_path).exists()
    supervisor.stop()
    Supervisor(tmp_path).stop()


def test_one_child_can_be_stopped_for_good(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(program(tmp_path, "a", FOREVER))
        supervisor.start(program(tmp_path, "b", FOREVER))
        supervisor.wait_ready(timeout_s=20)
        pid = supervisor.pid("a")
        assert pid is not None
        supervisor.stop_child("a")
        assert not alive(pid)
        assert supervisor.names() == ["b"]
        recorded = read_state(tmp_path)
        assert recorded is not None
        assert [child.name for child in recorded.children] == ["b"]


def test_a_second_supervisor_of_a_folder_is_refused(tmp_path: Path) -> None:
    with (
        Supervisor(tmp_path),
        pytest.raises(FolderInUse, match=f"already run by process {os.getpid()}: stop it with"),
    ):
        Supervisor(tmp_path)


def test_a_folder_is_unused_until_a_supervisor_has_it_and_afterwards(tmp_path: Path) -> None:
    require_unused(tmp_path)
    with Supervisor(tmp_path):
        for _ in range(2):
            with pytest.raises(FolderInUse, match=f"already run by process {os.getpid()}"):
                require_unused(tmp_path)
    require_unused(tmp_path)


def test_the_state_file_tells_who_runs_where(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        spec = program(tmp_path, "a", FOREVER)
        supervisor.start(spec)
        supervisor.wait_ready(timeout_s=20)
        recorded = read_state(tmp_path)
        assert recorded is not None
        assert recorded.supervisor == ProcessId(os.getpid(), start_time(os.getpid()) or -1)
        (child,) = recorded.children
        assert (child.name, child.process.pid) == ("a", supervisor.pid("a"))
        assert is_running(child.process)
        assert child.log == str(spec.log)


SUPERVISE = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
sys.path.insert(0, sys.argv[3])
from test_stack_supervisor import FOREVER, program
from ops.stack.supervisor import Supervisor
folder = Path(sys.argv[1])
supervisor = Supervisor(folder)
for name in ("a", "b"):
    supervisor.start(program(folder, name, FOREVER))
supervisor.wait_ready(timeout_s=20)
print("ready", flush=True)
threading.Event().wait()
"""


def other_supervisor(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(folder), str(ROOT), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_kill_9_of_the_supervisor_leaves_nothing(tmp_path: Path) -> None:
    process = other_supervisor(tmp_path)
    recorded = read_state(tmp_path)
    assert recorded is not None
    assert [is_running(child.process) for child in recorded.children] == [True, True]
    process.kill()
    process.communicate()
    for child in recorded.children:
        wait_until(lambda child=child: not is_running(child.process))  # type: ignore[misc]
    assert stop_recorded(tmp_path) == [], "nothing was left to stop"
    Supervisor(tmp_path).stop()


def test_down_stops_what_is_written_down(tmp_path: Path) -> None:
    process = other_supervisor(tmp_path)
    recorded = read_state(tmp_path)
    assert recorded is not None
    assert sorted(stop_recorded(tmp_path, 20)) == ["a", "b", "supervisor"]
    process.communicate(timeout=20)
    assert not any(is_running(child.process) for child in recorded.children)
    assert stop_recorded(tmp_path) == []


def test_down_spares_a_later_process_of_the_same_pid(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", FOREVER], stdout=subprocess.DEVNULL)
    try:
        started = start_time(bystander.pid)
        assert started is not None
        row = {"pid": bystander.pid, "started": started - 1}
        path = children_file(tmp_path)
        path.parent.mkdir()
        path.write_text(
            json.dumps(
                {"supervisor": row, "children": [{"name": "a", "ports": {}, "log": "", **row}]}
            )
        )
        assert stop_recorded(tmp_path) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    spec = ChildSpec("a", ("/no/such/program",), tmp_path, tmp_path / "a.log")
    with Supervisor(tmp_path, policy=QUICK) as supervisor:
        supervisor.start(spec)
        with pytest.raises(ChildFailed, match="/no/such/program"):
            supervisor.run_until(threading.Event())
