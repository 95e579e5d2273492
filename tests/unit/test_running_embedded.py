"""An embedded platform's start, as those see it who come meanwhile or after a kill."""

import json
import subprocess
import sys
from pathlib import Path

from ops import platform
from ops.addresses import MadeAs, made_as
from ops.config import Config
from ops.config_settings import Platform
from ops.running_embedded import RunningEmbedded
from ops.stack.process import start_time
from ops.stack.state import Recorded, children_file, read_state
from ops.wiring.embedded import EmbeddedSeams
from router.services import ServiceInfo, register


def test_a_platform_can_be_stopped_from_the_moment_it_starts(tmp_path: Path) -> None:
    seen: list[Recorded | None] = []
    config = Config(platform=Platform(data=str(tmp_path)))
    running = RunningEmbedded(config, lambda _: seen.append(read_state(tmp_path)))
    running.stop()
    assert seen
    assert None not in seen
    assert read_state(tmp_path) is None


def test_services_of_a_killed_process_are_not_shown(tmp_path: Path) -> None:
    config = Config(platform=Platform(data=str(tmp_path)))
    killed = EmbeddedSeams(config)
    register(killed.registry, ServiceInfo("router", "killed", "127.0.0.1:1"))
    running = RunningEmbedded(config, lambda _: None)
    try:
        services = running.platform.status().services
        assert sorted(s.name for s in services) == ["dashboard-a", "firehose", "idgen", "router"]
        assert "127.0.0.1:1" not in {s.address for s in services}
        (admin,) = {s.admin for s in services if s.admin}
        assert admin not in {s.address for s in services}, "the router's, for the whole process"
    finally:
        running.stop()
        killed.close()


def test_what_is_stopped_is_an_embedded_platform_and_no_supervisor(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
    try:
        own = {"pid": process.pid, "started": start_time(process.pid)}
        children_file(tmp_path).parent.mkdir()
        children_file(tmp_path).write_text(json.dumps({"supervisor": own, "children": []}))
        made_as(tmp_path, MadeAs("embedded", ("a",)))
        assert platform.stop(tmp_path, lambda _: None) == ["embedded platform"]
    finally:
        process.kill()
        process.wait()
