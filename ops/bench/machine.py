"""Where a run took place: versions of everything, and the machine without its name."""

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ops.release import VERSION
from ops.stack.errors import StackError
from ops.stack.jars import HBASE, KAFKA, ZOOKEEPER
from ops.stack.java import find_java
from ops.stack.redis_binary import find_redis

PACKAGES = (
    "numpy",
    "confluent-kafka",
    "thriftpy2",
    "happybase",
    "redis",
    "hiredis",
    "kazoo",
    "hdrhistogram",
)
_GIB = 1 << 30


def facts() -> dict[str, str]:
    """Name and value of each, in the order in which to show them."""
    return {
        "machine": f"{os.cpu_count()} cores ({_processor()}), {_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Dashcell": f"{VERSION} {_commit()}".strip(),
        "Python": platform.python_version(),
        "Java": _java(),
        "HBase": HBASE.version,
        "Kafka": KAFKA.version,
        "ZooKeeper": ZOOKEEPER.version,
        "Redis": _redis(),
        **{name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else "unknown"


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _java() -> str:
    try:
        program = find_java().program
    except StackError as error:
        return str(error)
    found = re.search(r'version "([^"]+)"', _said([program, "-version"]))
    return found[1] if found else "unknown"


def _redis() -> str:
    try:
        program = find_redis()
    except StackError as error:
        return str(error)
    found = re.search(r"(\S+) server v=(\S+)", _said([program, "--version"]))
    return f"{found[1]} {found[2]}" if found else "unknown"


def _commit() -> str:
    folder = str(Path(__file__).parent)
    found = _said(["git", "-C", folder, "describe", "--always", "--dirty"]).strip()
    return found if re.fullmatch(r"[\w.-]+", found) else ""


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return done.stdout + done.stderr
