"""Checks by cellctl: at an embedded platform of two cells, and what is told of faults."""

import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cell import keys
from cell.dashboard import Context
from cell.tables import Row
from firehose.event import Draft
from idgen.ids import spread
from ops.config import load_config
from ops.platform import discover
from ops.wiring.embedded import EmbeddedSeams
from tests.cli.shell import Shell
from tests.house.sources import ROOT

pytestmark = pytest.mark.slow
READERS = (5, 6, 7, 8)
AUTHOR = 88


@pytest.fixture(scope="module")
def post(shell: Shell) -> int:
    """A post of the author whom the readers follow, applied in both cells."""
    for reader in READERS:
        shell.done("follow", str(reader), str(AUTHOR))
    found = shell.json("publish", str(AUTHOR), "hello")
    for reader in READERS:
        shell.json("page", str(reader), "--at-least", found["token"])
    number: int = found["id"]
    return number


@contextmanager
def published(shell: Shell) -> Iterator[None]:
    """Posts of the author, one after the other, until the end; by a client of its own, for two
    commands in one process would mix their output."""
    over = threading.Event()
    platform = discover(load_config(overrides={"platform.data": str(shell.folder)}), None)

    def publish() -> None:
        dashboard = platform.dashboard()
        while not over.wait(0.1):
            dashboard.publish(Context(10_000), AUTHOR, Draft(body="meanwhile"), None)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        platform.close()


@contextmanager
def cell_files(shell: Shell) -> Iterator[EmbeddedSeams]:
    """The files of the platform, which goes on beside."""
    seams = EmbeddedSeams(load_config(overrides={"platform.data": str(shell.folder)}))
    try:
        yield seams
    finally:
        seams.close()


def home(shell: Shell, reader: int) -> str:
    cell: str = shell.json("page", str(reader))["cell"]
    return cell


def test_the_page_about_checks_can_be_followed(shell: Shell, post: int) -> None:
    text = (ROOT / "docs/checks.md").read_text()
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) > 8
    for command in commands:
        program, *words = shlex.split(command.replace("POST", str(post)))
        assert program == "cellctl"
        if words[0] != "audit":
            assert shell.done(*words), command
            continue
        # As written, but for how long: nobody has to wait half a minute for the rest of the line.
        words[words.index("--for") + 1] = "2s"
        with published(shell):
            assert shell.done(*words), command
    for name in re.findall(r"`cellctl ([a-z-]+)", text):
        assert shell.done(name, "--help"), name


def test_all_is_well_with_a_platform_in_use(shell: Shell, post: int) -> None:
    with published(shell):
        for cell in ("a", "b"):
            check = shell.json("verify-cell", cell)
            assert (check["cell"], check["verified"], check["findings"]) == (cell, True, [])
        diff = shell.json("diff-cells", "a", "b")
        audit = shell.json("audit", "--for", "2s", "--readers", "3")
    assert (diff["same"], diff["differences"], len(diff["ranges"])) == (True, [], 16)
    assert audit["published"] == audit["posts"] > 0
    assert (audit["reach"], audit["missed"]) == (1.0, [])
    assert audit["pairs"] == audit["seen"] == sum(cell["seen"] for cell in audit["cells"])
    assert 0 <= audit["late_ms"]["p50"] <= audit["late_ms"]["p99"] <= audit["late_ms"]["max"]
    both = [shell.json("verify-cell", cell) for cell in ("a", "b")]
    assert {*READERS, AUTHOR} <= {reader for check in both for reader in check["readers"]}
    again = shell.json("verify-cell", "a", "--seed", str(both[0]["seed"]))
    assert again["readers"] == both[0]["readers"]


def test_planted_faults_are_told_with_exit_code_and_command(shell: Shell, post: int) -> None:
    reader = READERS[0]
    here = home(shell, reader)
    other = "ab".replace(here, "")
    entry = keys.entry_key(spread(reader), post, AUTHOR)
    stored = keys.post_key(AUTHOR, post)
    mirror = keys.pair_key(spread(AUTHOR), READERS[1])
    there = home(shell, READERS[1])
    planted = [
        (here, keys.INBOX, entry),
        (other, keys.POSTS, stored),
        (there, keys.FOLLOWERS, mirror),
    ]
    kept: list[tuple[str, str, Row]] = []
    with cell_files(shell) as seams:
        for cell, table, key in planted:
            tables = seams.cell(cell).tables
            (row,) = tables.get(table, [key])
            assert row is not None
            kept.append((cell, table, row))
            tables.sweep(table, [(key, row.version)])
        try:
            found = shell.run("verify-cell", here)
            assert found.returncode == 1
            assert (
                f"the inbox of reader {reader} lacks 1 entries, newest {AUTHOR}/{post}"
                in found.stdout
            )
            assert f"see `cellctl verify-user {reader}`" in found.stdout
            assert "is not verified" in found.stderr
            assert shell.run("verify-user", str(reader)).returncode == 1
            edge = f"the edge of reader {READERS[1]} to user {AUTHOR} is of version"
            assert edge in shell.run("verify-cell", there).stdout
            found = shell.run("diff-cells", "a", "b")
            assert found.returncode == 1
            assert f"{stored.hex()}  post {AUTHOR}/{post}: version" in found.stdout
            assert f"in {here}, and {other} lacks it" in found.stdout
            assert "1 posts are not the same in a and b" in found.stderr
        finally:
            for cell, table, row in kept:
                seams.cell(cell).tables.put(table, [row])
    assert shell.json("diff-cells", "a", "b")["same"]
    assert shell.json("verify-cell", here)["verified"]


def test_reach_is_unknown_where_nothing_is_published(shell: Shell, post: int) -> None:
    ended = shell.run("audit", "--for", "0.2s")
    assert (ended.returncode, ended.stdout.splitlines()[1]) == (
        5,
        "  reach: nobody had to see a post",
    )
    assert "reach is unknown: no post was published within 0.2 s" in ended.stderr


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (3, ("verify-cell", "zz"), "no cell 'zz'"),
        (3, ("diff-cells", "a", "zz"), "no cell 'zz'"),
        (2, ("diff-cells", "a", "a"), "name two"),
        (2, ("diff-cells", "a", "b", "--range", "5"), "START-LAST"),
        (2, ("verify-cell", "a", "--sample", "0"), "is no sample"),
        (2, ("verify-cell", "a", "--sample", "101%"), "is no sample"),
        (2, ("verify-cell", "a", "--sample", "many"), "is no sample"),
        (2, ("audit", "--for", "0"), "0 is no time"),
        (2, ("audit", "--posts", "10000", "--readers", "1000"), "at most"),
    ],
)
def test_what_cannot_be_is_told_with_a_remedy(
    shell: Shell, code: int, words: tuple[str, ...], said: str
) -> None:
    ended = shell.run(*words)
    assert (ended.returncode, said in ended.stderr) == (code, True), ended
