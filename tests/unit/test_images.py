"""The images as far as they can be looked at without an engine to build them."""

import importlib.util
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from idgen.errors import BadRequest
from ops.config import jar_cache, load_config
from ops.config_settings import Config
from ops.images import context, server, service
from ops.stack.errors import RedisMissing, StackError
from ops.stack.jars import HBASE, KAFKA, ZOOKEEPER
from ops.stack.redis_binary import find_redis
from tests.conftest import Servers

IMAGES = Path(context.__file__).parent
KNOWN = {
    "ARG", "FROM", "RUN", "COPY", "ENV", "WORKDIR", "VOLUME", "USER", "EXPOSE", "ENTRYPOINT",
    "HEALTHCHECK",
}  # fmt: skip
OTHER = "10.9.8.7"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, joined over continued lines."""
    text = (IMAGES / context.DOCKERFILE).read_text()
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def commands() -> list[list[str]]:
    """What ENTRYPOINT and HEALTHCHECK run."""
    found = []
    for name, rest in instructions():
        if name in ("ENTRYPOINT", "HEALTHCHECK"):
            found.append(json.loads(rest[rest.index("[") :]))
    return found


def test_the_dockerfile_holds_known_instructions_only() -> None:
    assert {name for name, _ in instructions()} <= KNOWN


def test_every_target_is_a_stage_and_stands_on_the_base_or_an_earlier_stage() -> None:
    stages: list[str] = []
    for name, rest in instructions():
        if name == "FROM":
            found = re.fullmatch(r"(\S+) AS (\S+)", rest)
            assert found, f"every stage has a name: FROM {rest}"
            assert found[1] == "${BASE}" or found[1] in stages, f"FROM {rest}"
            stages.append(found[2])
    assert set(context.TARGETS) <= set(stages)
    assert stages[-1] == "dashcell", "what is built where no target is named"


def test_the_base_image_can_be_chosen_and_no_registry_is_named() -> None:
    assert instructions()[0] == ("ARG", "BASE=debian:12-slim")
    text = (IMAGES / context.DOCKERFILE).read_text()
    assert not re.search(r"\b[\w-]+\.(io|com|org|net)\b", text)


def test_what_is_copied_is_what_the_context_has(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(context, "ensure_set", lambda jars, cache, _: some_jars(jars, cache))
    monkeypatch.setattr(context, "_pip", pretend_pip)
    context.fill(tmp_path / "context", tmp_path / "cache", lambda text: None)
    for name, rest in instructions():
        if name == "COPY":
            assert (tmp_path / "context" / rest.split()[0]).exists(), rest
    assert not list((tmp_path / "context" / "packages").glob("dashcell-*")), "it has its own layer"


def test_jars_lie_in_the_image_where_the_server_looks_for_them(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(context, "ensure_set", lambda jars, cache, _: some_jars(jars, cache))
    monkeypatch.setattr(context, "_pip", pretend_pip)
    context.fill(tmp_path / "context", tmp_path / "cache", lambda text: None)
    for jars in (ZOOKEEPER, KAFKA, HBASE):
        assert list(jars.folder(tmp_path / "context" / "jars" / jars.server).glob("*.jar"))


def some_jars(jars, cache: Path) -> Path:
    folder = jars.folder(cache)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "some.jar").touch()
    return folder


def pretend_pip(*arguments: str) -> None:
    """A wheel of ours and one of another's, as `pip wheel` would leave them."""
    folder = Path(arguments[arguments.index("--wheel-dir") + 1])
    (folder / "dashcell-0.1.0-py3-none-any.whl").touch()
    if "--no-deps" not in arguments:
        (folder / "click-8.3.0-py3-none-any.whl").touch()


def test_every_command_of_the_images_can_be_run() -> None:
    for command in commands():
        assert command[0] == "entry"
        if command[1] == "cellctl":
            continue
        assert command[1:3] == ["python", "-m"]
        assert importlib.util.find_spec(command[3]) is not None, command
        if command[3] == server.__name__:
            assert command[4] in server.NAMES
            assert set(command[5:]) <= {"--probe"}
        else:
            assert command[4] in service.ACTS


def test_the_environment_of_the_images_is_settings() -> None:
    given: dict[str, str] = {}
    for name, rest in instructions():
        if name == "ENV":
            given |= dict(pair.split("=", 1) for pair in rest.split())
    config = load_config(env={k: v for k, v in given.items() if k.startswith("DASHCELL_")})
    assert config.platform.profile == "stack"
    assert str(jar_cache(config)) == "/opt/dashcell", "where the Dockerfile copies the jars"


@pytest.fixture
def inside(tmp_path: Path, monkeypatch) -> Config:
    """Settings as in a container, with empty jars and a program that says it is Java."""
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text('#!/bin/sh\necho \'openjdk version "17.0.15"\' >&2\n')
    java.chmod(0o755)
    for jars in (ZOOKEEPER, KAFKA, HBASE):
        some_jars(jars, tmp_path / "cache")
    monkeypatch.setattr(server, "find_redis", lambda: "redis-server")
    return load_config(
        env={},
        overrides={
            "listen.host": OTHER,
            "servers.zookeeper": "10.9.8.1:2181",
            "stack.jars": str(tmp_path / "cache"),
            "stack.java_home": str(tmp_path / "java"),
        },
    )


@pytest.mark.parametrize("name", server.NAMES)
def test_a_server_in_a_container_listens_on_its_own_address_alone(
    name: str, tmp_path: Path, inside: Config
) -> None:
    folder = tmp_path / "data"
    told = ""
    for child in server.children(name, "b", folder, inside):
        assert child.prepare is not None
        child.prepare()
        told += " ".join(child.argv) + str(child.ready)
    told += "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert OTHER in told
    assert "127.0.0.1" not in told


def test_an_hbase_without_zookeeper_says_which_setting_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=re.escape("servers.zookeeper")):
        server.children("hbase", "a", tmp_path, load_config(env={}))


def test_a_server_whose_jars_are_not_in_the_image_ends_with_the_reason(
    tmp_path: Path, inside: Config, monkeypatch
) -> None:
    monkeypatch.setenv("PATH", "")
    (jars,) = (tmp_path / "cache" / "jars").glob("kafka-*")
    (jars / "some.jar").unlink()
    jars.rmdir()
    with pytest.raises(StackError, match="Maven"):
        server.children("kafka", "a", tmp_path, inside)


@pytest.mark.parametrize(
    ("missing", "field"),
    [
        ("servers.zookeeper", "servers.zookeeper"),
        ("servers.kafka", "servers.kafka"),
        ("", "servers.cells.a"),
    ],
)
def test_creating_without_an_address_names_the_setting(missing: str, field: str) -> None:
    addresses = {"servers.zookeeper": "127.0.0.1:1", "servers.kafka": "127.0.0.1:1"}
    addresses.pop(missing, None)
    with pytest.raises(BadRequest, match=re.escape(field)):
        service.create(load_config(env={}, overrides=addresses))


def test_the_entry_gives_a_container_its_own_address_unless_told_another() -> None:
    entry = ["sh", str(IMAGES / context.ENTRY), "printenv", "DASHCELL_LISTEN_HOST"]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("DASHCELL_")}
    told = subprocess.run(
        entry, env=plain | {"DASHCELL_LISTEN_HOST": "db7"}, capture_output=True, check=True
    )
    assert told.stdout == b"db7\n"
    own = subprocess.run(entry, env=plain, capture_output=True, check=True)
    assert re.fullmatch(rb"[0-9a-f.:]+\n", own.stdout), "one address"


class Container:
    """What an image's ENTRYPOINT starts, on a loopback address of its own."""

    def __init__(self, name: str, folder: Path, cache: Path) -> None:
        rnd = random.SystemRandom()
        self.host = f"127.{rnd.randint(2, 250)}.{rnd.randint(2, 250)}.{rnd.randint(2, 250)}"
        self._argv = [sys.executable, "-m", "ops.images.server", name]
        self._environment = os.environ | {
            "DASHCELL_LISTEN_HOST": self.host,
            "DASHCELL_DATA": str(folder),
            "DASHCELL_STACK_JARS": str(cache),
        }
        self.process = subprocess.Popen(
            self._argv, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def probe(self) -> int:
        """The health check's exit code."""
        argv = [*self._argv, "--probe"]
        done = subprocess.run(argv, env=self._environment, capture_output=True, check=False)
        return done.returncode

    def stop(self) -> int:
        """As `docker stop` does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture(params=["redis", "zookeeper"])
def container(request, tmp_path: Path, servers: Servers) -> Iterator[Container]:
    if request.param == "zookeeper":
        servers.programs()
    else:
        try:
            find_redis()
        except RedisMissing as error:
            pytest.skip(f"REDIS MISSING, NOT TESTED: {error}")
    started = Container(request.param, tmp_path / "data", servers.cache)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.stop()


@pytest.mark.stack
def test_the_entry_point_says_ready_passes_its_health_check_and_stops(container: Container) -> None:
    assert container.process.stdout is not None
    assert container.process.stdout.readline() == b"ready\n"
    assert container.probe() == 0
    assert container.stop() == 0
    assert container.probe() == 1
