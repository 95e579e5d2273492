"""Peers in processes of their own: what goes in, what comes out, and when they fail."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from ops.bench.peers import java_client, stream_framework
from ops.bench.peers.child_writer import ChildWriter, Done, answer, request
from ops.bench.peers.writer import Fanout, PeerFailed, PeerMissing
from ops.stack.java import Java

FANOUTS = [
    Fanout(1 << 62, 7, 41, np.array([1, (1 << 64) - 1], dtype=np.uint64)),
    Fanout(2, 8, 42, np.array([], dtype=np.uint64)),
]
CHILD = """
import struct, sys
{before}
print("ready", flush=True)
while head := sys.stdin.buffer.read(4):
    rows = 0
    for _ in range(struct.unpack(">I", head)[0]):
        *_, n = struct.unpack(">QQQI", sys.stdin.buffer.read(28))
        rows += len(sys.stdin.buffer.read(8 * n)) // 8
    {answers}
"""


def child(*, before: str = "", answers: str = 'print("done", rows, 0.25, flush=True)') -> list[str]:
    return [sys.executable, "-c", CHILD.format(before=before, answers=answers)]


def test_a_request_holds_every_number_in_network_order() -> None:
    assert request(FANOUTS) == b"".join(
        (
            struct.pack(">I", 2),
            struct.pack(">QQQI", 1 << 62, 7, 41, 2),
            struct.pack(">QQ", 1, (1 << 64) - 1),
            struct.pack(">QQQI", 2, 8, 42, 0),
        )
    )


def test_an_answer_tells_rows_and_seconds() -> None:
    assert answer("done 5000 0.123456\n") == Done(5_000, 0.123456)


@pytest.mark.parametrize(
    "line",
    ["", "\n", "done", "done 5", "done x 1.0", "done 5 y", "done -1 1.0", "done 5 nan",
     "done 5 -1.0", "done 1 2 3", "ready", "5 0.1"],
)  # fmt: skip
def test_anything_else_is_a_failure(line: str) -> None:
    with pytest.raises(PeerFailed):
        answer(line)


def test_a_failure_says_why() -> None:
    with pytest.raises(PeerFailed, match="no such table"):
        answer("failed no such table\n")


def test_a_child_is_asked_again_and_again_and_ends_with_its_input() -> None:
    writer = ChildWriter("a child", child())
    assert [writer.write(FANOUTS), writer.write([]), writer.write(FANOUTS[:1])] == [2, 0, 2]
    assert writer.seconds == 0.75
    writer.close()
    assert not Path(f"/proc/{writer.pid}").exists()


def test_a_child_that_ends_says_its_last_words() -> None:
    writer = ChildWriter("a child", child(answers='sys.exit("out of breath")'))
    with pytest.raises(PeerFailed, match=r"(?s)a child.*out of breath"):
        writer.write(FANOUTS)
    writer.close()
    with pytest.raises(PeerFailed, match=r"(?s)not ready.*no luck"):
        ChildWriter("a child", child(before='sys.exit("no luck")'))
    with pytest.raises(PeerFailed, match="cannot be started"):
        ChildWriter("a child", ["a-program-that-is-not-there"])


def test_a_java_without_a_compiler_is_a_missing_peer(tmp_path: Path) -> None:
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\necho 'Module jdk.compiler not found' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(PeerMissing, match="install a JDK"):
        java_client.JavaClient(Java(str(program), 17), tmp_path, "127.0.0.1:1", "/hbase", "t")


def test_the_java_source_lies_beside_its_module() -> None:
    assert "put(puts)" in java_client.SOURCE.read_text()


def test_an_environment_is_made_once_and_its_lack_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, ...]] = []
    said: list[str] = []

    def run(command: tuple[str, ...]) -> None:
        ran.append(command)
        if "venv" in command:
            Path(command[-1]).mkdir(parents=True)

    monkeypatch.setattr(stream_framework, "_run", run)
    python = stream_framework.environment(tmp_path, said.append)
    assert ran[0][1:3] == ("-m", "venv")
    assert [command[0] for command in ran[1:]] == [str(python)] * 2
    assert set(ran[2]) >= set(stream_framework.PACKAGES)
    assert stream_framework.environment(tmp_path, said.append) == python
    assert (len(ran), len(said)) == (3, 1)


def test_an_environment_that_cannot_be_made_is_a_missing_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(PeerMissing, match="no environment for stream-framework"):
        stream_framework.environment(tmp_path, lambda _: None)
    assert not list(tmp_path.glob("bench/*/complete"))
