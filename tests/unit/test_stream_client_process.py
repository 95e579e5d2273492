"""The client to copy as somebody uses it: the one file, in another folder, in a process of its own
that knows nothing of Dashcell."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from firehose import stream_client
from tests.contract.patience import until
from tests.unit.scripted_stream import TOKEN, Exchange, ShakyFirehose, serving

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0
KILLS = 4
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from stream_client import StreamClient
client = StreamClient(
    sys.argv[2], sys.argv[3], from_="earliest", until="latest", checkpoint_file="checkpoint"
)
client.save_every_s, client.backoff_s, client.backoff_max_s = 0.1, 0.001, 0.01
with open("results", "a") as results:
    for event in client:
        results.write("%d %d\\n" % (event["partition"], event["offset"]))
        results.flush()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(stream_client.__file__, tmp_path)
    return tmp_path


def started(
    folder: Path, *words: str, token: str | None = TOKEN, program: Sequence[str] = ()
) -> "subprocess.Popen[str]":
    """Python alone (-I): nothing of this repository can be imported."""
    env = {"PATH": os.environ["PATH"]} | ({} if token is None else {"TOKEN": token})
    command = [sys.executable, "-I", *(program or ["stream_client.py"]), *words]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What runs in the background of a shell ignores it, and so would what that starts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def results(folder: Path) -> list[tuple[int, int]]:
    """What was written, without a last line that is not whole."""
    file = folder / "results"
    text = file.read_text() if file.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [(int(p), int(offset)) for p, offset in (line.split() for line in lines)]


def gaps(found: list[tuple[int, int]], firehose: ShakyFirehose) -> list[tuple[int, int]]:
    """Events that came before one that is in front of them in its partition, or did not come."""
    wrong, expected = [], list(firehose.begins)
    for partition, offset in found:
        if offset > expected[partition]:
            wrong.append((partition, offset))
        expected[partition] = max(expected[partition], offset + 1)
    return wrong + [(p, end) for p, end in enumerate(firehose.ends()) if expected[p] != end]


def test_what_looks_for_gaps_finds_them() -> None:
    firehose = ShakyFirehose(1, partitions=2)
    whole = [(p, offset) for p, offsets in firehose.events().items() for offset in offsets]
    assert gaps(whole, firehose) == []
    assert gaps(whole[:5] + whole, firehose) == []
    assert gaps(whole[:-1], firehose) != []
    assert gaps(whole[:3] + whole[4:], firehose) != []
    assert gaps([whole[1], whole[0], *whole[2:]], firehose) != []


def test_killed_at_any_moment_it_goes_on_without_a_gap(folder: Path) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    random.seed(seed)
    firehose = ShakyFirehose(seed, events=300)
    firehose.pace_s = 0.0005
    words = [str(folder), "", TOKEN]
    killed = 0
    with serving(firehose.serve) as server:
        words[1] = server.url
        while True:
            process = started(folder, *words, program=["-c", PROGRAM])
            enough = len(results(folder)) + random.randint(0, 120)
            if killed < KILLS:
                until(
                    "it has come far enough, or to the end",
                    lambda p=process, n=enough: len(results(folder)) > n or p.poll() is not None,
                    PATIENCE_S,
                )
                process.send_signal(signal.SIGKILL)
                killed += 1
            _, said = process.communicate(timeout=PATIENCE_S)
            if process.returncode == 0:
                break
            assert process.returncode == -signal.SIGKILL, said
    found = results(folder)
    total = sum(map(len, firehose.events().values()))
    print(f"{killed} kills, {len(firehose.places)} connections, {len(found)} events of {total}")
    assert gaps(found, firehose) == []
    assert len(firehose.places) > killed
    first = next(n for n, place in enumerate(firehose.places) if place != "earliest")
    assert "earliest" not in firehose.places[first:], "it began anew instead of where it was"


def test_as_a_program_it_prints_one_object_on_each_line(folder: Path) -> None:
    firehose = ShakyFirehose(3, events=20)
    firehose.shaky = False
    asked = []

    def serve(exchange: Exchange) -> None:
        asked.append(dict(exchange.query))
        exchange.query["from"] = "earliest"
        firehose.serve(exchange)

    with serving(serve) as server:
        process = started(folder, server.url, "--from", "-2h", "--until", "-1m", "--kinds", "liked")
        out, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (0, "")
    assert asked == [{"from": "-2h", "until": "-1m", "kinds": "liked"}]
    events = [json.loads(line) for line in out.splitlines()]
    assert len(events) == sum(map(len, firehose.events().values()))
    assert {"partition", "offset", "kind", "body"} <= set(events[0])
    assert "frame" not in events[0]


@pytest.mark.parametrize("token", [None, "", "with a space"])
def test_without_a_token_it_says_so(folder: Path, token: str | None) -> None:
    process = started(folder, "http://127.0.0.1:1", token=token)
    out, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (1, "")
    assert "token" in said
    assert "Traceback" not in said


def test_what_is_refused_is_one_line_without_the_token(folder: Path) -> None:
    def refusing(exchange: Exchange) -> None:
        exchange.problem(401, "unauthenticated", "WWW-Authenticate: Bearer")

    with serving(refusing) as server:
        process = started(folder, server.url)
        out, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (1, "")
    assert said == "Refused: 401 no: unauthenticated\n"


def test_who_reads_its_output_may_have_enough(folder: Path) -> None:
    """As with `| head -1`."""

    def endless(exchange: Exchange) -> None:
        exchange.start()
        for offset in range(1_000_000):
            exchange.event(0, offset)

    with serving(endless) as server:
        process = started(folder, server.url)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["offset"] == 0
        process.stdout.close()
        process.wait(PATIENCE_S)
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stderr.close()


def test_ctrl_c_ends_it_at_once_and_keeps_the_place(folder: Path) -> None:
    def waiting(exchange: Exchange) -> None:
        exchange.start("c1.a")
        exchange.event(0, 1)
        exchange.wait_until_left()

    with serving(waiting) as server:
        process = started(folder, server.url, "--checkpoint-file", "checkpoint")
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (130, "")
    assert json.loads((folder / "checkpoint").read_text())["cursor"] == "c1.a"
