"""cellctl where a registry was named and none answers."""

import socket
import subprocess
import sys
import time

import pytest

from ops import platform
from tests.house.sources import ROOT

PROGRAM = (
    "import sys; from ops import platform; platform.FIND_S = 0.2; "
    "from ops.cellctl.main import main; main()"
)
SILENT_S_MAX = 8.0
"""Far below the ten seconds that ZooKeeper's client gives a silent server when it is stopped."""


def status_of(address: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "status", "--registry", address],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def timed(address: str) -> "tuple[subprocess.CompletedProcess[str], float]":
    begun = time.monotonic()
    ended = status_of(address)
    return ended, time.monotonic() - begun


def test_a_command_waits_for_a_registry_no_longer_than_people_do():
    assert platform.FIND_S < 5


@pytest.mark.parametrize("listening", [True, False], ids=["silent", "closed"])
def test_a_registry_that_does_not_answer_is_one_sentence_in_time(listening):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if not listening:
            server.close()
        _, program_s = timed("host:port")
        ended, both_s = timed(address)
    assert both_s - program_s < SILENT_S_MAX
    assert ended.returncode == 6
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"cellctl: no ZooKeeper answered at {address}")
    assert "check host and port" in line


def test_what_is_no_address_is_wrong_usage():
    ended = status_of("host:port")
    assert ended.returncode == 2
    assert "'host:port' is no host:port" in ended.stderr
