"""What is told of a platform that was found."""

import os
from pathlib import Path

from ops.config import Config
from ops.config_settings import Platform
from ops.found import FoundPlatform
from ops.stack.process import ProcessId, start_time
from ops.stack.state import RecordedChild, write_state
from ops.wiring.embedded import EmbeddedSeams
from router.services import ServiceInfo, register


def test_status_tells_how_often_servers_and_services_were_started_again(tmp_path: Path) -> None:
    own = ProcessId(os.getpid(), start_time(os.getpid()) or -1)
    kafka = RecordedChild("kafka", own, {"kafka": 9092}, "kafka.log", restarts=3)
    router = RecordedChild("router", own, {"admin": 1, "thrift": 2}, "router.log", restarts=2)
    write_state(tmp_path, (kafka, router))
    config = Config(platform=Platform(data=str(tmp_path)))
    seams = EmbeddedSeams(config)
    for name, admin, pid in (("ours", 1, own.pid), ("elsewhere", 3, own.pid)):
        here = f"127.0.0.1:{admin}"
        register(seams.registry, ServiceInfo("router", name, "127.0.0.1:2", here, pid=pid))
    found = FoundPlatform(config, seams, "stack", "")
    try:
        status = found.status()
    finally:
        found.close()
    assert [(each.name, each.restarts) for each in status.servers] == [("kafka", 3)]
    restarts = {each.admin: each.restarts for each in status.services}
    assert restarts == {"127.0.0.1:1": 2, "127.0.0.1:3": 0}
