"""stream-framework 1.4.0 on Redis, the fan-out library of 2016 that is still on the package index.

It needs a redis-py of its time, so it never enters our environment: one is made for it in the
user's cache, with pip, the first time.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ops.bench.peers.child_writer import ChildWriter
from ops.bench.peers.writer import PeerMissing
from ops.stack.jars import one_at_a_time

CHILD: Final = Path(__file__).with_name("stream_framework_child.py")
# setuptools: its setup.py asks for what 72 dropped, and redis-py 2 for what Python 3.12 dropped.
TOOLS = ("setuptools==71.1.0", "wheel==0.45.1")
PACKAGES = ("stream-framework==1.4.0", "redis==2.10.6", "celery==5.4.0", "six==1.17.0")
PIP_S_MAX = 300


class StreamFramework(ChildWriter):
    """stream-framework as a `Writer` into a Redis at "host:port"; one worker process.

    Readers' feeds are `feed_PLACE`. `python` is what `environment` returned.
    """

    def __init__(self, python: Path, address: str) -> None:
        host, _, port = address.rpartition(":")
        super().__init__("stream-framework", (str(python), "-I", str(CHILD), host, port))


def environment(cache: Path, progress: Callable[[str], None]) -> Path:
    """The Python of an environment with stream-framework, made below `cache` if it is not there.

    Raises PeerMissing when it cannot be made.
    """
    fingerprint = hashlib.sha256("\n".join((sys.version, *TOOLS, *PACKAGES)).encode()).hexdigest()
    folder = cache / "bench" / f"stream-framework-{fingerprint[:12]}"
    python = folder / "bin" / "python"
    if (folder / "complete").is_file():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder.parent / ".lock"):
        if not (folder / "complete").is_file():
            progress("making an environment for stream-framework with pip")
            shutil.rmtree(folder, ignore_errors=True)
            _run((sys.executable, "-m", "venv", str(folder)))
            pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            _run((*pip, *TOOLS))
            _run((*pip, "--no-build-isolation", *PACKAGES))
            (folder / "complete").touch()
    return python


def _run(command: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_S_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"no environment for stream-framework: {error}") from error
    if done.returncode:
        last = (done.stdout + done.stderr).strip()[-1_500:]
        raise PeerMissing(f"no environment for stream-framework: {' '.join(command)}: {last}")
