"""Reading the firehose by cellctl, at an embedded platform in a process of its own."""

import gzip
import json
import signal
import subprocess
from pathlib import Path

import pytest

from firehose.log_sqlite import SqliteLog
from ops.config import load_config
from ops.wiring.embedded import EmbeddedSeams
from tests.cli.shell import Shell

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def cursor_in(told: str) -> str:
    return told.split("--from ", 1)[1].split(maxsplit=1)[0]


def published(shell: Shell, count: int, author: int = 88) -> list[int]:
    return [shell.json("publish", str(author), f"post {n}")["id"] for n in range(count)]


def test_what_is_there_is_printed_and_the_cursor_goes_on(shell: Shell) -> None:
    first = published(shell, 3)
    ended = shell.run("firehose", "tail", "--from", "earliest", "--until", "latest")
    found = lines(ended.stdout)
    assert [each["id"] for each in found if each["kind"] == "post_created"] == first
    second = published(shell, 2)
    onwards = ("firehose", "tail", "--until", "latest", "--from", cursor_in(ended.stderr))
    assert [each["id"] for each in lines(shell.done(*onwards))] == second


def test_counts_kinds_authors_and_shares(shell: Shell) -> None:
    begin = cursor_in(
        shell.run("firehose", "tail", "--from", "earliest", "--until", "latest").stderr
    )
    ids = published(shell, 3, author=71)
    shell.done("follow", "5", "71")
    shell.done("publish", "72", "another")
    tail = ("firehose", "tail", "--from", begin, "--until", "latest", "--authors", "71")
    assert [e["id"] for e in lines(shell.done(*tail, "--kinds", "post_created"))] == ids
    assert [e["kind"] for e in lines(shell.done(*tail, "--kinds", "followed"))] == ["followed"]
    counted = shell.run(*tail, "--count", "2")
    assert [e["id"] for e in lines(counted.stdout)] == ids[:2]
    rest = ("firehose", "tail", "--until", "latest", "--kinds", "post_created", "--authors", "71")
    assert [e["id"] for e in lines(shell.done(*rest, "--from", cursor_in(counted.stderr)))] == ids[
        2:
    ]
    shared = ("firehose", "tail", "--until", "latest", "--from", "earliest", "--authors", "71")
    parts = [lines(shell.done(*shared, "--partitions", f"{i}/3")) for i in range(3)]
    assert sorted(len(part) for part in parts) == [0, 0, 4]


def test_who_ends_a_tail_is_told_where_it_goes_on(shell: Shell) -> None:
    tail = shell.start("firehose", "tail", "--from", "earliest")
    assert tail.stdout is not None
    json.loads(tail.stdout.readline())
    tail.send_signal(signal.SIGINT)
    rest, _ = tail.communicate(timeout=PATIENCE_S)
    assert tail.returncode == 0
    lines(rest)  # whole ones


def test_a_tail_shows_what_comes(shell: Shell) -> None:
    tail = shell.start("firehose", "tail", "--from", "earliest", "--authors", "73", "--count", "2")
    ids = published(shell, 2, author=73)
    out, _ = tail.communicate(timeout=PATIENCE_S)
    assert [each["id"] for each in lines(out)] == ids


def test_a_tail_into_a_closed_pipe_ends(shell: Shell) -> None:
    published(shell, 1)
    tail = shell.start("firehose", "tail", "--from", "earliest")
    assert tail.stdout is not None
    tail.stdout.close()
    published(shell, 1)
    try:
        tail.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        tail.kill()
        raise


def test_an_export_is_what_a_tail_prints(shell: Shell, tmp_path: Path) -> None:
    published(shell, 2)
    told = shell.json("firehose", "export", str(tmp_path / "plain.ndjson"))
    printed = shell.done("firehose", "tail", "--from", "earliest", "--until", told["cursor"])
    exported = (tmp_path / "plain.ndjson").read_text()
    assert lines(exported) == lines(printed)
    assert told["events"] == len(exported.splitlines())
    packed = ("firehose", "export", str(tmp_path / "packed.gz"), "--until", told["cursor"])
    shell.done(*packed)
    assert gzip.decompress((tmp_path / "packed.gz").read_bytes()).decode() == exported
    assert sorted(each.name for each in tmp_path.iterdir()) == ["packed.gz", "plain.ndjson"]
    again = shell.run("firehose", "export", str(tmp_path / "packed.gz"))
    assert again.returncode == 4
    assert "there already" in again.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "1341403200"), "append 000"),
        (("--from", "2012-07-04T12:00:00"), "append Z"),
        (("--from", "soon"), "places are"),
        (("--from", "c1.AAAA"), "unchanged"),
        (("--until", "never"), "places are"),
        (("--from", "latest", "--until", "-1h"), "nothing lies between"),
        (("--kinds", "posts"), "post_created"),
        (("--authors", "x"), "12,15"),
        (("--partitions", "4"), "0/4"),
        (("--count", "0"), "--count"),
    ],
)
def test_what_cannot_be_meant_is_refused(shell: Shell, words: tuple[str, ...], said: str) -> None:
    ended = shell.run("firehose", "tail", *words)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""


def test_a_gap_is_told_and_passed_over_when_that_is_said(shell: Shell) -> None:
    begin = cursor_in(
        shell.run("firehose", "tail", "--from", "earliest", "--until", "latest").stderr
    )
    published(shell, 3, author=73)
    seams = EmbeddedSeams(load_config(overrides={"platform.data": str(shell.folder)}))
    log = seams.firehose()
    assert isinstance(log, SqliteLog)
    log.trim(seams.clock.now_ms() + 60_000)
    seams.close()
    tail = ("firehose", "tail", "--until", "latest", "--from", begin)
    ended = shell.run(*tail)
    assert ended.returncode == 5, ended.stderr
    assert "3 events after the cursor are no longer retained" in ended.stderr
    after = published(shell, 1, author=73)
    ended = shell.run(*tail, "--accept-gap")
    assert "gap accepted: 3 events" in ended.stderr
    assert [each["id"] for each in lines(ended.stdout)] == after
