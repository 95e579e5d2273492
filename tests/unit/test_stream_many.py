"""1,000 idle and 50 busy streams at one server in a process of its own, one of them stuck."""

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from firehose.access import Client, Role
from tests.unit.stream_world import READER, World, place

IDLE, BUSY, EVENTS = 1_000, 50, 400
PATIENCE_S = 120.0
MEMORY_KB_MAX = 400 * 1024

_CHILD = """
import sys
from pathlib import Path
from tests.unit.test_stream_many import serve
serve(Path(sys.argv[1]))
"""


def serve(folder: Path) -> None:
    """Serve a log; a line on stdin appends so many events."""
    world = World(folder, heartbeat_s=5.0)
    world.gate.clients[READER] = Client("search", frozenset((Role.READ,)), 2_000, 1)
    print(world.server.port, flush=True)
    for line in sys.stdin:
        found = world.append(int(line))
        print(json.dumps(found), flush=True)
    world.close()


@contextlib.contextmanager
def child(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _CHILD, str(folder)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(PATIENCE_S)


def memory_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError("no memory")


async def open_stream(port: int, query: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET /v1/stream?{query} HTTP/1.0\r\nAuthorization: Bearer {READER}\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert json.loads(await reader.readline())["frame"] == "start"
    return reader, writer


async def events(reader: asyncio.StreamReader, count: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while len(found) < count:
        frame = json.loads(await reader.readline())
        if frame["frame"] == "event":
            found.append(place(frame))
        else:
            assert frame["frame"] == "heartbeat", frame
    return found


async def watch(process: "subprocess.Popen[str]", port: int) -> None:
    # Idle ones wait for an author of whom nothing comes.
    idle = [await open_stream(port, "authors=999") for _ in range(IDLE)]
    busy = [await open_stream(port, "") for _ in range(BUSY)]
    stuck = busy.pop()

    process.stdin.write(f"{EVENTS}\n")
    process.stdin.flush()
    done = await asyncio.to_thread(process.stdout.readline)
    appended = {tuple(each) for each in json.loads(done)}
    found = await asyncio.gather(*(events(reader, EVENTS) for reader, _ in busy))
    for each in found:
        assert len(each) == EVENTS
        assert set(each) == appended
    beats = await asyncio.gather(*(reader.readline() for reader, _ in idle))
    assert {json.loads(beat)["frame"] for beat in beats} == {"heartbeat"}
    for _, writer in [*idle, *busy, stuck]:
        writer.close()


@pytest.mark.slow
def test_a_thousand_idle_and_fifty_busy_streams(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE + BUSY + 256:
        pytest.skip("this process may not have so many files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + BUSY + 256), hard))
    with child(tmp_path) as process:
        port = int(process.stdout.readline())
        asyncio.run(asyncio.wait_for(watch(process, port), PATIENCE_S))
        used = memory_kb(process.pid)
        print(f"{used} KiB")
        assert used <= MEMORY_KB_MAX
