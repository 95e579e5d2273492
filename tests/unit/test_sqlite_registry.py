"""What the SQLite registry promises beyond the registry contract."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from idgen.clock import SystemClock
from idgen.errors import BadRequest, Conflict, NotFound, Unavailable
from router import session_sqlite
from router.registry import Create, Delete, Set
from router.registry_sqlite import PATH_BYTES_MAX, SqliteRegistry
from tests.contract.patience import until

ROOT = Path(__file__).resolve().parents[2]
Open = Callable[..., SqliteRegistry]

CHILD = """
import sys
from pathlib import Path
from idgen.clock import SystemClock
from router.registry_sqlite import SqliteRegistry
registry = SqliteRegistry(Path(sys.argv[1]), SystemClock(), session_ms=600)
registry.create("/services/child", b"", ephemeral=True)
registry.create("/told", b"")
version = 0
for line in sys.stdin:
    version = registry.set("/told", line.encode(), version)
    print(version, flush=True)
"""


@pytest.fixture
def open_one(tmp_path: Path) -> Iterator[Open]:
    opened: list[SqliteRegistry] = []

    def open_one(session_ms: int = 600) -> SqliteRegistry:
        opened.append(SqliteRegistry(tmp_path / "r.db", SystemClock(), session_ms))
        return opened[-1]

    yield open_one
    for registry in opened:
        registry.close()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "r.db")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_another_process_tells_its_changes_soon(
    open_one: Open, child: subprocess.Popen[str]
) -> None:
    registry = open_one()
    told = threading.Event()
    registry.watch("/told", told.set)
    assert told.wait(20.0), "made by the child"
    until("the child has made it", lambda: registry.list("/") == ["services", "told"], 10.0)
    assert child.stdin is not None
    assert child.stdout is not None
    waits = []
    for number in range(1, 8):
        until("all earlier changes are told", lambda: not told.wait(0.12) or told.clear(), 5.0)
        child.stdin.write(f"{number}\n")
        child.stdin.flush()
        assert child.stdout.readline() == f"{number}\n"
        begin = time.monotonic()
        assert told.wait(5.0)
        waits.append(time.monotonic() - begin)
        assert registry.get("/told").version == number
    # 50 ms by design; a machine that is busy elsewhere may be late now and then.
    assert sorted(waits)[len(waits) // 2] < 0.5


def test_ephemeral_paths_of_a_killed_process_go_away_within_seconds(
    open_one: Open, child: subprocess.Popen[str]
) -> None:
    registry = open_one()
    until("the child lives", lambda: registry.list("/services") == ["child"], 20.0)
    told = threading.Event()
    registry.watch("/services", told.set)
    child.kill()
    begin = time.monotonic()
    until("it is gone", lambda: registry.list("/services") == [], 10.0)
    assert time.monotonic() - begin >= 0.2, "not before its session was over"
    assert told.wait(5.0)


def test_a_client_that_opens_after_all_have_died_sees_none_of_them(
    open_one: Open, child: subprocess.Popen[str]
) -> None:
    path = "SELECT count(*) FROM sessions WHERE abs(? - seen_ms) <= session_ms"
    registry = open_one()
    until("the child lives", lambda: registry.list("/services") == ["child"], 20.0)
    file = registry._file
    # From now on nobody looks after the dead.
    registry._session.close()
    child.kill()
    until("the session has run out", lambda: _none(file.read(path, (_now(),))), 10.0)
    assert registry.list("/services") == ["child"]
    assert open_one().list("/services") == []


def _none(rows: list[tuple[int]]) -> bool:
    return rows == [(0,)]


def _now() -> int:
    return SystemClock().now_ms()


def test_a_session_is_kept_while_its_client_lives(open_one: Open) -> None:
    registry, other = open_one(session_ms=200), open_one(session_ms=200)
    registry.create("/alive", b"", ephemeral=True)
    seen = "SELECT seen_ms FROM sessions"
    ((first,),) = registry._file.read(seen)
    until("five sessions are over", lambda: registry._file.read(seen)[0][0] > first + 1_000, 20.0)
    assert other.get("/alive").version == 0


def test_an_ephemeral_path_has_no_children(open_one: Open) -> None:
    registry = open_one()
    registry.create("/alive", b"", ephemeral=True)
    with pytest.raises(Conflict, match="/alive is ephemeral"):
        registry.create("/alive/below", b"")
    with pytest.raises(Conflict, match="/alive is ephemeral"):
        registry.multi([Create("/alive/below", b"")])


def test_a_watcher_that_missed_too_much_is_told_without_cause(
    open_one: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_sqlite, "CHANGES_KEPT", 5)
    registry, other = open_one(), open_one()
    entered, go, told = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        assert go.wait(20)

    registry.create("/busy", b"")
    registry.watch("/busy", slow)
    registry.watch("/missed", told.set)
    registry.set("/busy", b"", 0)
    assert entered.wait(10)
    other.create("/missed", b"")
    for i in range(20):
        other.create(f"/flood/{i}", b"")
    assert registry._file.read("SELECT count(*) FROM changes") == [(5,)]
    assert not told.is_set()
    go.set()
    assert told.wait(10)


def test_a_cancelled_watch_has_ended_when_cancel_returns(open_one: Open) -> None:
    registry = open_one()
    entered, go = threading.Event(), threading.Event()
    ended: list[bool] = []

    def slow() -> None:
        entered.set()
        assert go.wait(20)
        ended.append(True)

    watch = registry.watch("/w", slow)
    registry.create("/w", b"")
    assert entered.wait(10)
    threading.Timer(0.05, go.set).start()
    watch.cancel()
    assert ended == [True]


def test_watching_the_top_tells_of_what_is_made_there(open_one: Open) -> None:
    registry = open_one()
    told = threading.Event()
    registry.watch("/", told.set)
    registry.create("/a", b"")
    assert told.wait(10)
    assert registry.list("/") == ["a"]


def test_what_others_did_to_an_ephemeral_path_is_kept_until_the_session_is_lost(
    open_one: Open,
) -> None:
    registry, other = open_one(), open_one()
    registry.create("/e", b"0", ephemeral=True)
    registry.multi([Set("/e", b"mine", 0)])
    other.set("/e", b"another's", 1)
    assert registry.get("/e").value == b"another's"
    other.multi([Delete("/e", 2)])
    with pytest.raises(NotFound):
        registry.get("/e")


def test_a_long_path_is_refused_and_a_closed_registry_says_so(open_one: Open) -> None:
    registry = open_one()
    registry.create("/" + "p" * (PATH_BYTES_MAX - 1), b"")
    with pytest.raises(BadRequest, match="path"):
        registry.get("/" + "p" * PATH_BYTES_MAX)
    registry.close()
    registry.close()
    for call in (lambda: registry.get("/a"), lambda: registry.create("/a", b"", ephemeral=True)):
        with pytest.raises(Unavailable, match="closed"):
            call()
    with pytest.raises(Unavailable, match="closed"):
        registry.watch("/a", lambda: None)


def test_closing_ends_the_thread(open_one: Open) -> None:
    registry = open_one()
    thread = registry._session._thread
    assert thread.is_alive()
    registry.close()
    assert not thread.is_alive()
