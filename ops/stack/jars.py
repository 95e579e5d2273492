"""The servers' jars, from Maven Central into a per-user cache.

Every server has its own set and its own folder, because their dependencies conflict. A set is
named by a hash of its coordinates, so a changed pin is a new folder and never a mixture.
"""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.stack.disk import disk_full_is_clear, require_free_space
from ops.stack.errors import DiskFull, JarsUnavailable, MavenMissing

MAVEN_TIMEOUT_S = 1200
JARS_BYTES_MIN = 512 << 20
PLUGIN = "3.6.1"
"""maven-dependency-plugin, pinned so that no Maven picks its own default."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class JarSet:
    """What one server needs: pinned ``group:artifact:version`` coordinates."""

    server: str
    version: str
    coordinates: tuple[str, ...]

    def folder(self, cache: Path) -> Path:
        """Where this set lies below ``cache``."""
        text = "\n".join((PLUGIN, *self.coordinates))
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:12]
        return cache / "jars" / f"{self.server}-{self.version}-{fingerprint}"


HBASE = JarSet(
    "hbase",
    "2.6.1",
    ("org.apache.hbase:hbase-thrift:2.6.1", "org.apache.hbase:hbase-mapreduce:2.6.1"),
)
KAFKA = JarSet(
    "kafka",
    "4.1.2",
    (
        "org.apache.kafka:kafka_2.13:4.1.2",
        "org.apache.kafka:kafka-tools:4.1.2",
        "org.slf4j:slf4j-simple:1.7.36",
    ),
)
# ZooKeeper declares metrics and snappy as "provided", and its server fails without them; without
# a logger of its own it would die silently.
ZOOKEEPER = JarSet(
    "zookeeper",
    "3.9.5",
    (
        "org.apache.zookeeper:zookeeper:3.9.5",
        "io.dropwizard.metrics:metrics-core:4.1.12.1",
        "org.xerial.snappy:snappy-java:1.1.10.5",
        "org.slf4j:slf4j-simple:2.0.13",
    ),
)


@dataclass(frozen=True)
class JarSets:
    """Folders of jars, complete and ready to be a class path."""

    hbase: Path
    kafka: Path
    zookeeper: Path


def ensure_jars(cache: Path, progress: Progress, *, maven: str | None = None) -> JarSets:
    """Return the folders of all three sets, fetching those that ``cache`` does not have.

    Two callers at once are safe: a lock file lets one fetch while the other waits, and a set
    appears by rename only when it is whole.

    Raises:
        MavenMissing: something must be fetched and there is no ``mvn``.
        JarsUnavailable: Maven failed; the message ends with its last lines.
        DiskFull: no room in the cache.
    """
    return JarSets(
        hbase=ensure_set(HBASE, cache, progress, maven=maven),
        kafka=ensure_set(KAFKA, cache, progress, maven=maven),
        zookeeper=ensure_set(ZOOKEEPER, cache, progress, maven=maven),
    )


def ensure_set(jars: JarSet, cache: Path, progress: Progress, *, maven: str | None = None) -> Path:
    """One set of ``ensure_jars``; same errors."""
    folder = jars.folder(cache)
    if folder.is_dir():
        return folder
    with disk_full_is_clear(cache):
        require_free_space(cache, JARS_BYTES_MIN)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(folder.parent / ".lock"):
            if not folder.is_dir():
                progress(f"fetching the jars of {jars.server} {jars.version} with Maven")
                _fetch(jars, folder, maven)
    return folder


def missing_sets(cache: Path) -> list[str]:
    """Names of the servers whose jars ``cache`` does not hold yet."""
    return [jars.server for jars in (HBASE, KAFKA, ZOOKEEPER) if not jars.folder(cache).is_dir()]


def class_path(*folders: Path) -> str:
    """A Java class path of all jars in ``folders``."""
    return ":".join(f"{folder}/*" for folder in folders)


def pom(jars: JarSet) -> str:
    """The Maven project that depends on exactly this set."""
    dependencies = "\n".join(_dependency(text) for text in jars.coordinates)
    return f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dashcell</groupId>
  <artifactId>{jars.server}-jars</artifactId>
  <version>{jars.version}</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""


def _dependency(coordinate: str) -> str:
    group, artifact, version = coordinate.split(":")
    return (
        f"    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>"
    )


def _fetch(jars: JarSet, folder: Path, maven: str | None) -> None:
    program = maven or shutil.which("mvn")
    if program is None:
        raise MavenMissing(
            f"the jars of {jars.server} {jars.version} are not cached and Maven (mvn) is not "
            "installed: install it (Debian: apt-get install maven) and try again"
        )
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (work / "pom.xml").write_text(pom(jars))
        _run_maven(program, jars, work)
        copied = list((work / "jars").glob("*.jar"))
        if not copied:
            raise JarsUnavailable(f"Maven ended well but copied no jars of {jars.server}")
        (work / "jars").rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_maven(program: str, jars: JarSet, work: Path) -> None:
    command = [
        program,
        "-q",
        "-B",
        "-f",
        str(work / "pom.xml"),
        f"org.apache.maven.plugins:maven-dependency-plugin:{PLUGIN}:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={work / 'jars'}",
    ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MAVEN_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise MavenMissing(
            f"Maven was expected at {program} and is not there: install it "
            "(Debian: apt-get install maven) and try again"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise JarsUnavailable(
            f"Maven did not fetch the jars of {jars.server} within {MAVEN_TIMEOUT_S} s: "
            "check the network and try again"
        ) from error
    if done.returncode == 0:
        return
    output = done.stdout + done.stderr
    if "No space left on device" in output:
        raise DiskFull(
            f"the disk ran full while the jars of {jars.server} were fetched into "
            f"{work.parent}: free some space and try again"
        )
    last = "\n".join(f"  {line}" for line in output.strip().splitlines()[-12:])
    raise JarsUnavailable(
        f"Maven could not fetch the jars of {jars.server} {jars.version} (status "
        f"{done.returncode}): check the network or Maven's settings and try again. "
        f"Its last lines:\n{last}"
    )


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; another process that wants it waits."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
