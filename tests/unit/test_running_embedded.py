"""An embedded platform's start, as those see it who come meanwhile or after a kill."""

from pathlib import Path

from ops.config import Config
from ops.config_settings import Platform
from ops.running_embedded import RunningEmbedded
from ops.stack.state import Recorded, read_state
from ops.wiring.embedded import EmbeddedSeams
from router.cells import ServiceInfo, register


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
        assert sorted(s.name for s in services) == ["dashboard-a", "idgen", "router"]
        assert "127.0.0.1:1" not in {s.address for s in services}
    finally:
        running.stop()
        killed.close()
