"""What `cellctl doctor` looks at: each check is a function that gives one line with its remedy."""

import resource
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from idgen.errors import Conflict, Corrupt, DashcellError
from ops import addresses
from ops.config import BadConfig, jar_cache, java_home, load_config
from ops.config_settings import Config, Platform, Servers
from ops.given_servers import given_addresses, unreachable
from ops.platform_port import Doors
from ops.stack.disk import require_free_space
from ops.stack.errors import StackError
from ops.stack.jars import missing_sets
from ops.stack.java import find_java
from ops.stack.ports import require_free
from ops.stack.redis_binary import find_redis
from ops.stack.servers import KINDS, ON_JAVA

PYTHON_MIN = (3, 11)
FILES_MIN = 4096
"""Open files: sockets of clients, SQLite's and HBase's files."""

LISTENERS = ("router", "dashboard", "idgen", "firehose", "admin")

State = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor: `note` is no hindrance for the profile that is configured."""

    name: str
    state: State
    finding: str
    remedy: str = ""


def checks(data: Path | None, file: Path | None, doors: Doors) -> Iterator[Check]:
    """All checks, in the order in which their remedies should be followed."""
    yield _python()
    config, configuration = _configuration(data, file)
    yield configuration
    yield from _programs(config)
    yield from _given_servers(config.servers)
    yield _disk(Path(config.platform.data))
    yield _open_files()
    platform = _platform(config, doors)
    yield from _ports(config, running=platform.state == "ok")
    yield platform


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < PYTHON_MIN:
        return Check("Python", "fault", version, "install Python 3.11 or newer")
    return Check("Python", "ok", version)


def _configuration(data: Path | None, file: Path | None) -> tuple[Config, Check]:
    """What `cellctl up` would start, else what the other checks can go on with."""
    config = Config(platform=Platform(data=str(data))) if data else Config()
    try:
        overrides = {"platform.data": str(data)} if data else None
        config = load_config(file, overrides=overrides, to_start=True)
        addresses.cells_of(config.platform)
    except (BadConfig, Conflict, Corrupt) as error:
        return config, Check("configuration", "fault", str(error), "correct what it names")
    folder = config.platform.data
    made = f", as the platform in {folder} was made" if addresses.profile_of(Path(folder)) else ""
    return config, Check("configuration", "ok", f"the {config.platform.profile} profile{made}")


def _programs(config: Config) -> Iterator[Check]:
    """What the servers are run with that `cellctl up` starts, or would under the stack profile."""
    stack = config.platform.profile == "stack"
    ours = config.servers.left_out(config.platform.cell_names) if stack else KINDS
    missing: State = "fault" if stack else "note"
    if ON_JAVA & ours:
        yield _java(config, missing)
        yield from _jars_and_maven(config, missing)
    else:
        yield Check("Java", "ok", "not needed: ZooKeeper, Kafka and all HBases are given")
    yield _redis(missing) if "redis" in ours else Check("Redis", "ok", "not needed: all are given")


def _given_servers(servers: Servers) -> Iterator[Check]:
    """One line for each setting; of several addresses one that answers is enough to begin with."""
    given = given_addresses(servers)
    troubles = unreachable([address for several in given.values() for address in several])
    for setting, several in given.items():
        bad = [address for address in several if address in troubles]
        if not bad:
            yield Check(setting, "ok", f"connected to {', '.join(several)}")
            continue
        finding = "; ".join(f"{address} {troubles[address]}" for address in bad)
        remedy = f"correct {setting}, start what is there, or let this machine connect to it"
        yield Check(setting, "note" if len(bad) < len(several) else "fault", finding, remedy)


def _java(config: Config, missing: State) -> Check:
    try:
        java = find_java(java_home(config))
    except StackError as error:
        finding, _, remedy = str(error).partition(": ")
        return Check("Java", missing, finding, remedy)
    return Check("Java", "ok", f"{java.version} at {java.program}")


def _jars_and_maven(config: Config, missing: State) -> Iterator[Check]:
    cache = jar_cache(config)
    absent = missing_sets(cache)
    maven = shutil.which("mvn")
    if absent:
        finding = f"those of {', '.join(absent)} are not in {cache}"
        yield Check("jars", missing, finding, "make setup, or cellctl up --profile stack")
    else:
        yield Check("jars", "ok", f"complete in {cache}")
    if maven:
        yield Check("Maven", "ok", maven)
    elif absent:
        yield Check("Maven", missing, "no mvn on PATH", "Debian: apt-get install maven")
    else:
        yield Check("Maven", "ok", "not there, and not needed: the jars are")


def _redis(missing: State) -> Check:
    try:
        return Check("Redis", "ok", find_redis())
    except StackError as error:
        finding, _, remedy = str(error).partition(": ")
        return Check("Redis", missing, finding, remedy)


def _disk(folder: Path) -> Check:
    try:
        require_free_space(folder)
    except StackError as error:
        finding, _, remedy = str(error).partition(": ")
        return Check("disk", "fault", finding, remedy)
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return Check("disk", "ok", f"{shutil.disk_usage(existing).free >> 20} MiB free for {folder}")


def _open_files() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES_MIN:
        return Check("open files", "note", f"at most {soft}", f"ulimit -n {FILES_MIN}")
    return Check("open files", "ok", "unlimited" if soft < 0 else f"at most {soft}")


def _ports(config: Config, *, running: bool) -> Iterator[Check]:
    listen = config.listen
    ports = {name: getattr(listen, name) for name in LISTENERS}
    ports |= listen.stack
    for name, port in sorted(ports.items()):
        if port == 0:
            continue
        try:
            require_free(port, name, f"listen.{name}")
        except (StackError, OSError) as error:
            if running and _answers(listen.host, port):
                yield Check(f"port {port}", "ok", f"for {name}, in use by this platform")
                continue
            remedy = f"stop who has it, or configure another for {name}"
            yield Check(f"port {port}", "fault", str(error), remedy)
        else:
            yield Check(f"port {port}", "ok", f"for {name}, free")


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _platform(config: Config, doors: Doors) -> Check:
    try:
        platform = doors.discover(config, None)
    except DashcellError as error:
        return Check("platform", "note", str(error), "cellctl up")
    try:
        status = platform.status()
    except DashcellError as error:
        return Check("platform", "fault", str(error), "cellctl down, then cellctl up")
    finally:
        platform.close()
    if status.healthy:
        return Check("platform", "ok", f"the {status.profile} platform in {status.folder} is ready")
    return Check("platform", "fault", "not all of it is ready", "cellctl status tells what")
