"""cellctl's commands about ids: of a stand-in, and of a platform that runs."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from idgen.ids import MAX_ID, compose
from idgen.snowflake import SnowflakeStatus
from ops.platform_port import IdServer
from tests.cli.shell import Shell
from tests.cli.stand_in import FIRST_ID, NOW_MS, Bench
from tests.house.sources import ROOT

HOLDING = SnowflakeStatus("holding", 7, 2, "host-1", NOW_MS, NOW_MS, 881_234, 12_345, "", NOW_MS)


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_an_id_is_decoded_without_a_platform(bench):
    bench.doors.runs = False
    event_id = compose(NOW_MS, 3, 9)
    assert bench.done("decode-id", str(event_id)) == (
        f"{event_id}  2012-07-03T00:00:00.000Z  worker 3  sequence 9\n"
    )
    (first, last) = json.loads(bench.done("decode-id", str(event_id), str(MAX_ID), "--json"))
    assert first == {
        "id": event_id,
        "id_str": str(event_id),
        "at": "2012-07-03T00:00:00.000Z",
        "at_ms": NOW_MS,
        "worker": 3,
        "sequence": 9,
    }
    assert last["at"].startswith("2080-")
    assert last["id_str"] == "9223372036854775807"


@pytest.mark.parametrize("word", ["-1", "9223372036854775808", "x"])
def test_what_is_no_id_is_wrong_usage(bench, word):
    assert bench.run("decode-id", "--", word).exit_code == 2


def test_ids_are_taken_one_a_line_or_as_json_with_strings(bench):
    assert bench.done("take-ids", "2").split() == [str(FIRST_ID), str(FIRST_ID + 1)]
    (found,) = json.loads(bench.done("take-ids", "--json"))
    assert found["id_str"] == str(found["id"])
    for word in ("0", "10001"):
        assert bench.run("take-ids", word).exit_code == 2


def test_id_servers_are_listed_with_lease_and_clock(bench):
    bench.platform.of_ids = [
        IdServer("host-1", "h:1", HOLDING),
        IdServer("host-2", "h:2", HOLDING._replace(clock_offset_ms=-12_000, clock_peers=2)),
    ]
    first, second = bench.done("list-id-servers").splitlines()[1:]
    assert first.split() == ["h:1", "holding", "7", "2", "881", "s", "-", "12,345"]
    assert "-12000 ms of 2" in second
    found = json.loads(bench.done("list-id-servers", "--json"))
    assert [each["clock_offset_ms"] for each in found] == [None, -12_000]
    assert found[0]["worker"] == 7
    assert found[0]["epoch"] == 2


def test_a_server_that_gives_none_is_told_with_its_trouble(bench):
    lost = HOLDING._replace(state="expired", trouble="unavailable: the registry is away")
    bench.platform.of_ids = [
        IdServer("host-1", "h:1", HOLDING),
        IdServer("host-2", "h:2", None, "did not answer"),
        IdServer("host-3", "h:3", lost),
    ]
    ended = bench.run("list-id-servers")
    assert ended.exit_code == 8
    assert "h:2: did not answer" in ended.stdout
    assert "h:3: unavailable: the registry is away" in ended.stdout
    assert "h:2, h:3" in ended.stderr
    found = json.loads(bench.run("list-id-servers", "--json").stdout)
    assert [each["trouble"] for each in found][1:] == ["did not answer", lost.trouble]


@pytest.mark.slow
def test_a_running_platform_gives_ids_and_says_by_whom(shell: Shell):
    taken = [int(line) for line in shell.done("take-ids", "3").split()]
    assert taken == sorted(set(taken))
    (server,) = shell.json("list-id-servers")
    assert server["state"] == "holding"
    assert server["ids_given"] >= 3
    (decoded,) = shell.json("decode-id", str(taken[-1]))
    assert decoded["worker"] == server["worker"]
    assert abs(decoded["at_ms"] - server["clock_ms"]) < 600_000


def blocks(language: str) -> list[str]:
    page = (ROOT / "docs" / "ids.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.mark.slow
def test_the_pages_programs_print_what_it_says(shell: Shell, tmp_path):
    (server,) = shell.json("list-id-servers")
    shutil.copytree(ROOT / "thrift", tmp_path / "thrift")
    (generate,) = [b for b in blocks("sh") if b.startswith("thrift -r")]
    client, generated, library = blocks("python")
    (tmp_path / "ids-data").mkdir()
    said = [r"True 1000 holding\n", r"True \d{4}-.*Z holding\n"]
    programs = [client, library]
    if shutil.which("thrift"):
        subprocess.run(["sh", "-c", generate], cwd=tmp_path, check=True)
        said.append(r"True True\nholding\n")
        programs.append(generated)
    host, _, port = server["address"].rpartition(":")
    assert host == "127.0.0.1"
    for program, expected in zip(programs, said, strict=True):
        done = subprocess.run(
            [sys.executable, "-c", program.replace("7002", port)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert re.fullmatch(expected, done.stdout), (done.stdout, done.stderr)
