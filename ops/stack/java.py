"""Find a Java that the servers run on."""

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ops.stack.errors import JavaMissing, JavaUnsuitable

OLDEST = 17
NEWEST = 23
"""Hadoop 2.10's client needs ``Subject.getSubject``, which Java 24 dropped."""

INSTALL = "install Java 17 (Debian: apt-get install openjdk-17-jdk-headless) or set JAVA_HOME"

SIMPLE_LOGGER = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
)
"""Warnings to the child's own output, for servers that log through slf4j-simple."""


@dataclass(frozen=True)
class Java:
    """A suitable Java: the program's path, its feature version, and a word for its exact build."""

    program: str
    version: int
    build: str = ""


def find_java(java_home: str | None = None) -> Java:
    """The ``java`` of ``java_home``, else of PATH.

    Raises:
        JavaMissing: there is none, or it does not run.
        JavaUnsuitable: it is older than 17 or newer than 23.
    """
    program = _program(java_home)
    try:
        done = subprocess.run(
            [program, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JavaMissing(f"{program} does not run ({error}): {INSTALL}") from error
    output = done.stderr + done.stdout
    version = feature_version(output)
    if version is None:
        first = output.strip().splitlines()[0] if output.strip() else f"status {done.returncode}"
        raise JavaMissing(f"{program} -version did not tell a version ({first}): {INSTALL}")
    if not OLDEST <= version <= NEWEST:
        raise JavaUnsuitable(
            f"{program} is Java {version}, but HBase and Kafka need Java {OLDEST} to {NEWEST}: "
            f"{INSTALL}"
        )
    return Java(program, version, hashlib.sha256(output.encode()).hexdigest()[:12])


def feature_version(output: str) -> int | None:
    """The feature version in what ``java -version`` printed: 8 of "1.8.0_392", 17 of "17.0.15"."""
    found = re.search(r'version "(\d+)(?:\.(\d+))?', output)
    if found is None:
        return None
    first = int(found[1])
    return int(found[2]) if first == 1 and found[2] else first


def _program(java_home: str | None) -> str:
    if java_home:
        program = Path(java_home) / "bin" / "java"
        if not program.is_file():
            raise JavaMissing(f"JAVA_HOME is {java_home}, but {program} is not there: {INSTALL}")
        return str(program)
    found = shutil.which("java")
    if found is None:
        raise JavaMissing(f"no java on PATH: {INSTALL}")
    return found


def archive_folder(cache: Path, java: Java, jars: tuple[Path, ...]) -> Path:
    """Where class archives for this build of Java and these jars lie, if they were made."""
    text = "\n".join((java.build, *(str(folder) for folder in jars)))
    return cache / "archives" / hashlib.sha256(text.encode()).hexdigest()[:12]


def archive(folder: Path | None, name: str) -> Path | None:
    """The class archive ``name`` of a folder of them, where there is one."""
    path = None if folder is None else folder / f"{name}.jsa"
    return path if path is not None and path.is_file() else None


def command(
    java: Java,
    *,
    heap_mb: int,
    flags: tuple[str, ...],
    class_path: str,
    main: str,
    arguments: tuple[str, ...] = (),
    archive: Path | None = None,
) -> tuple[str, ...]:
    """A server's command line; ``archive`` is used if the file is there and fits.

    The heap bound is also the bound of memory outside it, and a server that runs out of either
    ends at once (to be restarted) instead of limping on.
    """
    return (
        java.program,
        f"-Xmx{heap_mb}m",
        f"-XX:MaxDirectMemorySize={heap_mb}m",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Xshare:auto",
        "-Djava.net.preferIPv4Stack=true",
        "-Djava.awt.headless=true",
        *(() if archive is None else (f"-XX:SharedArchiveFile={archive}",)),
        *flags,
        "-cp",
        class_path,
        main,
        *arguments,
    )
