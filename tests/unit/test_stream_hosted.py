"""The stream as part of a platform that runs: found by its address, behind real tokens."""

import http.client
import json
import urllib.request
from pathlib import Path

import pytest

from firehose.access import Role
from ops.config import Config
from ops.config_settings import Platform
from ops.running_embedded import RunningEmbedded
from ops.wiring.embedded import EmbeddedSeams
from router.tokens import Wanted, create_token, revoke_token
from tests.contract.patience import until

PATIENCE_S = 30.0


def ask(address: str, token: str, path: str = "/v1/stream?from=earliest"):
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    return connection.getresponse()


@pytest.mark.slow
def test_a_platform_streams_its_firehose_to_who_has_a_token(tmp_path: Path) -> None:
    config = Config(platform=Platform(data=str(tmp_path)))
    running = RunningEmbedded(config, lambda _: None)
    seams = EmbeddedSeams(config)
    try:
        services = running.platform.status().services
        (address,) = [s.beside["stream"] for s in services if "stream" in s.beside]
        (admin,) = [s.admin for s in services if s.admin]
        assert ask(address, "dct_nobody_x").status == 401
        wanted = Wanted("search", (Role.READ,))
        token = create_token(seams.registry, wanted, seams.clock.now_ms())
        until("the token is known", lambda: ask(address, token).status == 200, PATIENCE_S)

        stream = ask(address, token)
        assert json.loads(stream.readline())["server"] == address
        with urllib.request.urlopen(f"http://{admin}/metrics", timeout=PATIENCE_S) as answer:
            assert "dashcell_streams 1.0" in answer.read().decode()
        revoke_token(seams.registry, "search")
        frames = [json.loads(line) for line in stream]
        assert frames[-1]["reason"] == "revoked"
    finally:
        running.stop()
        seams.close()
