"""`cellctl firehose append`: what was exported comes back, and what is wrong is named."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from idgen.errors import Unavailable
from idgen.ids import compose
from ops.config import Config
from ops.config_settings import Platform
from ops.running_embedded import RunningEmbedded
from tests.cli.shell import Shell
from tests.cli.stand_in import Bench
from tests.contract.patience import until
from tests.house.sources import ROOT

pytestmark = pytest.mark.slow
OLD = compose(1_341_273_600_000, 3, 4)
OF_THE_LOG = {"partition", "offset", "appended_ms", "brought"}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Another platform, of other partitions."""
    folder = tmp_path_factory.mktemp("other")
    running = RunningEmbedded(
        Config(platform=Platform(data=str(folder), partitions=3)), lambda _: None
    )
    yield Shell(folder)
    running.platform.close()
    running.stop()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def bare(events: list[dict[str, Any]]) -> list[str]:
    """What of them is not the log's, in any order."""
    kept = ({k: v for k, v in event.items() if k not in OF_THE_LOG} for event in events)
    return sorted(json.dumps(event, sort_keys=True) for event in kept)


def like(post_id: int, **more: Any) -> dict[str, Any]:
    return {"kind": "liked", "actor": 5, "author": 88, "post_id": post_id, **more}


def text(body: str) -> dict[str, Any]:
    return {"kind": "post_created", "author": 1, "post_kind": "text", "body": body}


def written(path: Path, events: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


def everything(shell: Shell, path: Path) -> list[dict[str, Any]]:
    path.unlink(missing_ok=True)
    shell.done("firehose", "export", str(path))
    return lines(path)


def test_what_was_exported_can_be_appended_elsewhere(
    shell: Shell, other: Shell, tmp_path: Path
) -> None:
    shell.done("follow", "5", "88")
    first, second = (
        shell.json("publish", "88", body, "--tag", "ü", "--mention", "5")["id"]
        for body in ("first", "second")
    )
    shell.done("publish", "5", "", "--reblog-of", f"88/{first}", "--at-ms", "1341273600000")
    shell.done("like", "5", f"88/{first}")
    shell.done("unlike", "5", f"88/{first}")
    shell.done("mark-read", "5", str(first))
    shell.done("remove", "88", str(second))
    packed = tmp_path / "all.ndjson.gz"
    shell.done("firehose", "export", str(packed))
    plain = tmp_path / "all.ndjson"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    told = other.json("firehose", "append", str(packed))
    assert told["events"] == len(lines(plain)) > 7
    assert bare(everything(other, tmp_path / "there")) == bare(lines(plain))
    until("the other platform has applied them", other.caught_up, 60)
    assert (page := [e["id"] for e in other.json("page", "5")["entries"]]) == [
        e["id"] for e in shell.json("page", "5")["entries"]
    ]
    assert first in page
    # The same command again, as after a failure: events twice under one id, and nothing else.
    other.done("firehose", "append", str(packed))
    assert bare(everything(other, tmp_path / "there")) == sorted(2 * bare(lines(plain)))
    until("the other platform has applied them", other.caught_up, 60)
    assert [e["id"] for e in other.json("page", "5")["entries"]] == page


def test_an_id_of_any_age_is_kept_and_a_missing_one_is_taken(shell: Shell, tmp_path: Path) -> None:
    begin = shell.json("firehose", "export", str(tmp_path / "before"))["cursor"]
    file = written(tmp_path / "in", [like(1, id=OLD), like(2)])
    with (tmp_path / "in").open("a") as more:
        more.write("\n" + json.dumps(like(3, id_str=str(OLD + 1))))
    assert shell.json("firehose", "append", file)["events"] == 3
    shell.done("firehose", "export", str(tmp_path / "out"), "--from", begin)
    found = {event["post_id"]: event["id"] for event in lines(tmp_path / "out")}
    assert (found[1], found[3]) == (OLD, OLD + 1)
    assert found[2] > OLD


def test_what_is_wrong_is_named_by_line_and_field(shell: Shell, tmp_path: Path) -> None:
    count = len(everything(shell, tmp_path / "out"))
    soon = compose(3_400_000_000_000, 1, 1)
    good = json.dumps(like(1))
    for line, said in (
        (json.dumps(like(0)), "line 3: post_id: 0 is no id"),
        (json.dumps(like(1, id=soon)), "line 3: id: was given"),
        (json.dumps(like(1, actor=1.5)), "line 3: actor: 1.5 is no whole number"),
        (json.dumps(like(1, colour="red")), "line 3: colour: is no field"),
        (json.dumps({"kind": "damaged", "bytes": "AA=="}), "line 3: kind: 'damaged' cannot"),
        (json.dumps(text("x" * 65_537)), "line 3: body: has 65537 bytes"),
        ('{"kind": ', "line 3: is no JSON"),
        ("[" * (1 << 20), "line 3: has more than"),
    ):  # fmt: skip
        path = tmp_path / "in"
        path.write_text(f"{good}\n{good}\n{line}\n{good}\n")
        ended = shell.run("firehose", "append", str(path))
        assert (ended.returncode, ended.stdout) == (2, ""), said
        assert said in ended.stderr
        assert "0 events are appended; to go on: --from-line 1" in ended.stderr
    assert len(everything(shell, tmp_path / "out")) == count
    (tmp_path / "cut.gz").write_bytes(gzip.compress(good.encode() * 99)[:40])
    assert "cut short" in shell.run("firehose", "append", str(tmp_path / "cut.gz")).stderr
    assert shell.run("firehose", "append", str(tmp_path / "nowhere")).returncode == 2


def test_it_goes_on_where_it_was_told(shell: Shell, tmp_path: Path) -> None:
    count = len(everything(shell, tmp_path / "out"))
    events = [like(n, id=OLD + n) for n in range(1, 2_501)]
    events[2_199] = like(0)
    ended = shell.run("firehose", "append", written(tmp_path / "in", events))
    assert ended.returncode == 8
    assert "line 2200: post_id" in ended.stderr
    assert "2,000 events are appended; to go on: --from-line 2001" in ended.stderr
    assert len(everything(shell, tmp_path / "out")) == count + 2_000
    events[2_199] = like(2_200, id=OLD + 2_200)
    again = ("firehose", "append", written(tmp_path / "in", events), "--from-line", "2001")
    assert shell.json(*again)["events"] == 500
    found = everything(shell, tmp_path / "out")[count:]
    ours = sorted(event["id"] for event in found if event["id"] > OLD)
    assert ours == [OLD + n for n in range(1, 2_501)]


class Away:
    """A firehose that takes one batch, and then does not answer any more."""

    def __init__(self) -> None:
        self.taken = 0

    def append(self, _ctx: Any, news: Any, _where: Any) -> Any:
        if self.taken:
            raise Unavailable("not acknowledged in 11 s")
        self.taken = len(news)
        return []


@pytest.mark.parametrize("ids", [True, False])
def test_what_is_in_doubt_is_said(tmp_path: Path, ids: bool) -> None:
    bench = Bench(tmp_path / "site")
    bench.platform.firehose = Away()  # type: ignore[attr-defined]
    own = {"id": OLD} if ids else {}
    stdin = "".join(json.dumps(like(n, **own)) + "\n" for n in range(1, 2_101))
    ended = bench.run("firehose", "append", "-", stdin=stdin)
    assert ended.exit_code == 6
    assert "lines 1001 to 2000 may be in the log or not" in ended.stderr
    assert "1,000 events are appended; to go on: --from-line 1001" in ended.stderr
    assert ("again they are the same events" in ended.stderr) == ids
    assert ("there would be a second one" in ended.stderr) == (not ids)


def test_the_client_of_the_documents_runs(shell: Shell) -> None:
    page = (ROOT / "docs/firehose.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (code,) = [block for block in blocks if "api.Firehose" in block]
    services = shell.json("status")["status"]["services"]
    (address,) = [each["address"] for each in services if each["name"] == "firehose"]
    host, port = address.split(":")
    code, count = re.subn(r'"127.0.0.1", 4002', f'"{host}", {port}', code)
    assert count == 1
    token = shell.done("tokens", "create", "search", "--role", "read", "--role", "append").strip()

    def ran() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or "is not known" in done.stderr, done.stderr
        return done.stdout if done.returncode == 0 else ""

    said = until("the new token is known", ran, 10)
    assert re.search(r"appended \d+ in partition \d at \d", said)
    assert "body='hello'" in said
    assert "Liked(actor=5, author=88, post_id=2124655395627597824)" in said
