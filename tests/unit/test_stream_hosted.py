"""The stream as part of a platform that runs: found by its address, behind real tokens."""

import http.client
import json
import urllib.request
from pathlib import Path

import pytest

from firehose.access import Role
from ops.config import Config
from ops.config_settings import ListenTls, Platform
from ops.running_embedded import RunningEmbedded
from ops.template.tls import peer_context, server_context
from ops.wiring.embedded import EmbeddedSeams
from router.tokens import Wanted, create_token, revoke_token
from tests.contract.patience import until
from tests.unit.certificates import make_certificates
from tests.unit.stream_world import READER, place, served

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


@pytest.mark.slow
def test_streams_speak_tls_and_know_their_clients_by_it_too(tmp_path: Path) -> None:
    at = make_certificates(tmp_path)
    config = ListenTls(cert=f"{at}/server.pem", key=f"{at}/server.key", client_ca=f"{at}/ca.pem")
    with served(tmp_path, tls=server_context(config)) as world:
        places = world.append(2_000)
        peer = http.client.HTTPSConnection(
            *world.address, timeout=PATIENCE_S, context=peer_context(config)
        )
        path = "/v1/stream?from=earliest&until=latest"
        peer.request("GET", path, headers={"Authorization": f"Bearer {READER}"})
        frames = [json.loads(line) for line in peer.getresponse()]
        assert {place(f) for f in frames if f["frame"] == "event"} == set(places)
        assert frames[-1]["reason"] == "until"
        with pytest.raises(OSError):
            ask(f"{world.address[0]}:{world.address[1]}", READER)
