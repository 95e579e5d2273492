"""A platform's folder outlives its servers: what was stored is there at the next start."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import happybase
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from ops.stack.process import is_running
from ops.stack.servers import Planner, Programs, StackServers
from ops.stack.state import read_state, stop_recorded
from ops.stack.supervisor import Supervisor
from tests.conftest import Servers

ROOT = Path(__file__).parents[2]


def plan(folder: Path, programs: Programs) -> StackServers:
    return Planner(folder, programs).stack(["a"])


def connect(stack: StackServers) -> happybase.Connection:
    host, _, port = stack.addresses.cells["a"].hbase_thrift1.rpartition(":")
    return happybase.Connection(host, int(port), timeout=60_000)


def test_what_was_stored_is_there_at_the_next_start(tmp_path: Path, servers: Servers) -> None:
    programs = servers.programs()
    stack = plan(tmp_path, programs)
    with Supervisor(tmp_path) as supervisor:
        supervisor.start_all(stack.children)
        supervisor.wait_ready(timeout_s=120)
        connection = connect(stack)
        connection.create_table("kept", {"d": {"max_versions": 1}})
        connection.table("kept").put(b"k", {b"d:": b"v"}, timestamp=5)
        connection.close()
        admin = AdminClient({"bootstrap.servers": stack.addresses.kafka})
        admin.create_topics([NewTopic("kept", 3, 1)])["kept"].result(10)
    stack = plan(tmp_path, programs)
    with Supervisor(tmp_path) as supervisor:
        supervisor.start_all(stack.children)
        supervisor.wait_ready(timeout_s=120)
        connection = connect(stack)
        assert connection.table("kept").row(b"k", include_timestamp=True) == {b"d:": (b"v", 5)}
        connection.close()
        admin = AdminClient({"bootstrap.servers": stack.addresses.kafka})
        assert len(admin.list_topics(timeout=10).topics["kept"].partitions) == 3


SUPERVISE = """
import os, sys, threading
from pathlib import Path
from ops.stack.servers import Planner, find_programs
from ops.stack.supervisor import Supervisor
folder = Path(sys.argv[1])
java_home = os.environ.get("JAVA_HOME")
programs = find_programs(Path(sys.argv[2]), lambda text: None, java_home=java_home)
supervisor = Supervisor(folder)
supervisor.start_all(Planner(folder, programs).plan_zookeeper()[0])
supervisor.wait_ready(timeout_s=60)
print("ready", flush=True)
threading.Event().wait()
"""


def test_kill_9_of_the_supervisor_takes_real_servers_along(
    tmp_path: Path, servers: Servers
) -> None:
    servers.programs()
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(tmp_path), str(servers.cache)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        recorded = read_state(tmp_path)
        assert recorded is not None
        (child,) = recorded.children
        assert is_running(child.process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    descriptor = _process_descriptor(child.process.pid)
    if descriptor is not None:
        _wait_for_end(descriptor)
    assert not is_running(child.process)
    assert stop_recorded(tmp_path) == []


def _process_descriptor(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _wait_for_end(descriptor: int) -> None:
    """A process's descriptor becomes readable when it ends (pidfd_open(2))."""
    try:
        if not select.select([descriptor], [], [], 20)[0]:
            pytest.fail("the server outlived its supervisor")
    finally:
        os.close(descriptor)
