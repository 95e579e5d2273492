"""A platform in memory that answers cellctl, for tests of the commands alone.

It keeps no rules of the product: each test says what is answered and looks at what was asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from cell.dashboard import Count, Dashboard, Entry, EntryKind, Page, PostView
from cell.explain import Explanation
from firehose.event import Draft, Lane, PostRef
from firehose.receipts import Receipt
from idgen.errors import NotFound, Unavailable
from idgen.ids import compose
from ops.cellctl.main import cli
from ops.cellctl.seat import Surroundings
from ops.platform_port import (
    CellStatus,
    DeadLetter,
    Flag,
    IdServer,
    PartitionStatus,
    ProcessStatus,
    Status,
)
from ops.tokens_port import TokenView
from router.tokens import Wanted

NOW_MS = 1_341_273_600_000
"""2012-07-03 00:00:00 UTC."""
FIRST_ID = compose(NOW_MS, 1, 0)
TOKEN = b"\x01token"


def post_entry(author: int = 88, number: int = 0, **view: Any) -> Entry:
    ref = PostRef(author, FIRST_ID + number)
    draft = view.pop("draft", Draft(body=f"post {number}"))
    post = PostView(ref, NOW_MS, draft, **view)
    cursor = b"cursor%d" % number
    return Entry(ref.id, Lane.POSTS, EntryKind.TEXT, author, NOW_MS, True, cursor, post)


def page_of(*entries: Entry, **other: Any) -> Page:
    values = {"next_cursor": b"", "previous_cursor": b"", "end": True, "token": TOKEN}
    values |= {"cell": "a", "epoch": 1, "lag_ms": 0}
    return Page(entries=entries, **(values | other))


class StandInDashboard:
    """Answers with what it was given, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.answers: dict[str, Any] = {
            "page": page_of(),
            "author_posts": page_of(),
            "unread": Count(0, False),
        }
        self.failures: dict[str, list[Exception | None]] = {}
        self._ids = iter(range(FIRST_ID, FIRST_ID + 10_000_000))

    def __getattr__(self, name: str) -> Any:
        def call(_ctx: Any, *arguments: Any) -> Any:
            self.asked.append((name, arguments))
            failing = self.failures.get(name)
            error = failing.pop(0) if failing else None
            if error is not None:
                raise error
            return self._answer(name, arguments)

        return call

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name in self.answers:
            answer = self.answers[name]
            return answer(*arguments) if callable(answer) else answer
        if name in ("publish_many", "follow_many"):
            return [self._receipt(each.brought_id) for each in arguments[0]]
        return self._receipt(None)

    def _receipt(self, brought_id: int | None) -> Receipt:
        return Receipt(brought_id or next(self._ids), TOKEN)


class StandInFlags:
    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def list(self) -> Sequence[Flag]:
        return [Flag(name, value) for name, value in sorted(self.values.items())]

    def set(self, name: str, value: int) -> Flag:
        before = self.values.get(name, 0)
        self.values[name] = value
        return Flag(name, before)


class StandInPins:
    def __init__(self) -> None:
        self.values: dict[int, str] = {}

    def all(self) -> Mapping[int, str]:
        return self.values

    def set(self, user: int, how: str) -> str:
        before = self.values.pop(user, "auto")
        if how != "auto":
            self.values[user] = how
        return before


class StandInLetters:
    def __init__(self, letters: Sequence[DeadLetter] = ()) -> None:
        self.letters = {each.id: each for each in letters}
        self.settled: list[tuple[str, str]] = []

    def list(self, limit: int) -> Sequence[DeadLetter]:
        return list(self.letters.values())[:limit]

    def retry(self, ids: Sequence[str]) -> int:
        return self._settle("retried", ids)

    def discard(self, ids: Sequence[str]) -> int:
        return self._settle("discarded", ids)

    def _settle(self, what: str, ids: Sequence[str]) -> int:
        for each in ids:
            if each not in self.letters:
                raise NotFound(f"no dead letter {each}")
            self.settled.append((what, each))
        return len(ids)


class StandInTokens:
    """Every token there can be: one text for each call."""

    def __init__(self) -> None:
        self.views: dict[str, TokenView] = {}
        self.asked: list[tuple[Any, ...]] = []

    def list(self) -> Sequence[TokenView]:
        return [self.views[name] for name in sorted(self.views)]

    def create(self, wanted: Wanted) -> str:
        self.asked.append(("create", wanted))
        return f"dct_{wanted.name}_{len(self.asked)}"

    def rotate(self, name: str) -> str:
        self.asked.append(("rotate", name))
        return f"dct_{name}_{len(self.asked)}"

    def revoke(self, name: str, *, previous: bool, execute: bool = True) -> TokenView:
        if name not in self.views:
            raise NotFound(f"no token {name}")
        if execute:
            self.asked.append(("revoke", name, previous))
        return self.views[name]


class StandInPlatform:
    """A platform of one cell, "a"."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.flags = StandInFlags()
        self.pins = StandInPins()
        self.letters = StandInLetters()
        self.tokens = StandInTokens()
        self.api = StandInDashboard()
        self.explanation: Explanation | None = None
        self.of_ids: list[IdServer] = []
        self.service_state = "ready"
        self.beside: dict[str, str] = {}
        self.lag_s = 0.0
        self.end = 7
        self.closed = 0
        self.cells_asked: list[str | None] = []
        self._ids: Iterator[int] = iter(range(FIRST_ID, FIRST_ID + 10_000_000))

    def dashboard(self, cell: str | None = None) -> Dashboard:
        self.cells_asked.append(cell)
        if cell not in (None, "a"):
            raise NotFound(f"no cell is named {cell!r}")
        return self.api

    def take_ids(self, count: int) -> list[int]:
        return [next(self._ids) for _ in range(count)]

    def id_servers(self) -> Sequence[IdServer]:
        return self.of_ids

    def status(self) -> Status:
        service = ProcessStatus(
            "router",
            self.service_state,
            "127.0.0.1:4000",
            pid=17,
            admin="127.0.0.1:4001",
            beside=self.beside,
        )
        cell = CellStatus("a", "active", self.lag_s, (PartitionStatus(0, 7, 7, self.end),))
        return Status("embedded", str(self.folder), "", (), (service,), (cell,))

    def dead_letters(self, cell: str) -> StandInLetters:
        if cell != "a":
            raise NotFound(f"no cell is named {cell!r}")
        return self.letters

    def explain(self, reader: int, author: int | None, post_id: int) -> Explanation:
        del reader, author, post_id
        assert self.explanation is not None
        return self.explanation

    def close(self) -> None:
        self.closed += 1


class StandInRunning:
    def __init__(self, platform: StandInPlatform, interrupted: bool) -> None:
        self.platform = platform
        self.stopped = 0
        self._interrupted = interrupted

    def wait(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt

    def stop(self) -> None:
        self.stopped += 1


class StandInDoors:
    """Ways into one platform, which runs unless `down`."""

    def __init__(self, platform: StandInPlatform) -> None:
        self.platform = platform
        self.runs = True
        self.interrupted = False
        self.start_error: Exception | None = None
        self.running: StandInRunning | None = None
        self.asked: list[tuple[str, Any]] = []
        self.to_stop = ["router"]

    def start(self, config: Any, progress: Any) -> StandInRunning:
        self.asked.append(("start", config))
        if self.start_error is not None:
            raise self.start_error
        progress("starting")
        self.running = StandInRunning(self.platform, self.interrupted)
        return self.running

    def stop(self, folder: Path, progress: Any) -> list[str]:
        del progress
        self.asked.append(("stop", folder))
        return self.to_stop

    def serve(self, role: str, cell: str | None, config: Any, group: str | None = None) -> None:
        self.asked.append(("serve", (role, cell or group, config)))

    def discover(self, config: Any, registry: str | None) -> StandInPlatform:
        self.asked.append(("discover", (config.platform.data, registry)))
        if not self.runs:
            raise Unavailable(f"no platform runs in {config.platform.data}: start it: cellctl up")
        return self.platform


class Bench:
    """cellctl at a stand-in platform."""

    def __init__(self, folder: Path) -> None:
        self.platform = StandInPlatform(folder)
        self.doors = StandInDoors(self.platform)
        self.looks = 0
        self.folder = folder

    @property
    def api(self) -> StandInDashboard:
        return self.platform.api

    def run(self, *words: str, stdin: bytes | str | None = None) -> Result:
        surroundings = Surroundings(self.doors, self._pause)
        env = {"DASHCELL_DATA": str(self.folder), "COLUMNS": "200"}
        return CliRunner().invoke(cli, list(words), obj=surroundings, input=stdin, env=env)

    def done(self, *words: str, stdin: bytes | str | None = None) -> str:
        """Stdout of a command that must end well."""
        result = self.run(*words, stdin=stdin)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.stdout

    def _pause(self, _seconds: float) -> bool:
        self.looks -= 1
        return self.looks > 0


def every_command(root: click.Group) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Paths and commands, also those inside of groups."""
    ctx = click.Context(root, info_name="cellctl")
    for name in root.list_commands(ctx):
        command = root.get_command(ctx, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from (((name, *path), inner) for path, inner in every_command(command))
        else:
            yield (name,), command
