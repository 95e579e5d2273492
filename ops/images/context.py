"""`python -m ops.images.context DIR`: gather everything that the images are built from.

The Dockerfile names no place on the network but the base image's own apt sources: the jars come
out of the user's cache and the Python packages are built or fetched here, where pip and Maven are
set up already. Wheels are for this machine's Python, which has to be that of the base image.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from ops.config import jar_cache, load_config
from ops.stack.disk import require_free_space
from ops.stack.errors import StackError
from ops.stack.jars import HBASE, KAFKA, ZOOKEEPER, Progress, ensure_set

CHECKOUT = Path(__file__).resolve().parents[2]
DOCKERFILE = "Dockerfile"
ENTRY = "entry.sh"
PIP_TIMEOUT_S = 900
CONTEXT_BYTES_MIN = 2 << 30
SERVER_SETS = (ZOOKEEPER, KAFKA, HBASE)
TARGETS = ("dashcell", "zookeeper", "kafka", "hbase", "redis")
"""The images, each a stage of the Dockerfile."""

OLDER_PYTHON = ("async-timeout>=4.0.3",)
"""What redis needs below Python 3.11.3, which Debian 12 has: pip here would leave it out."""


def fill(folder: Path, cache: Path, progress: Progress) -> None:
    """Make ``folder`` a build context; what it holds already is replaced.

    `packages/` has the wheels of what Dashcell needs, `product/` its own wheel (apart, so that a
    change of our code leaves the layer of the others), `jars/SERVER/` each server's jars.
    Raises StackError: no room, no jars and no Maven, or pip failed.
    """
    require_free_space(folder, CONTEXT_BYTES_MIN)
    here = Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for name in (DOCKERFILE, ENTRY):
        shutil.copyfile(here / name, folder / name)
    for jars in SERVER_SETS:
        place = folder / "jars" / jars.server
        shutil.rmtree(place, ignore_errors=True)
        # Under the set's own name, so that inside the image it is found as in any cache.
        found = ensure_set(jars, cache, progress)
        shutil.copytree(found, jars.folder(place))
    progress("building the wheels")
    _wheels(folder)


def _wheels(folder: Path) -> None:
    packages, product = folder / "packages", folder / "product"
    for place in (packages, product):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    _pip("wheel", "--no-deps", "--wheel-dir", str(product), str(CHECKOUT))
    (wheel,) = product.glob("dashcell-*.whl")
    _pip("wheel", "--wheel-dir", str(packages), str(wheel), *OLDER_PYTHON)
    (packages / wheel.name).unlink()


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PIP_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise StackError(f"pip {arguments[0]} failed (status {done.returncode}):\n{last}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(arguments: list[str]) -> int:
    """Fill one folder; returns the process's exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        _say("usage: python -m ops.images.context DIR")
        return 2
    folder = Path(arguments[0])
    try:
        fill(folder, jar_cache(load_config()), _say)
    except StackError as error:
        _say(f"context: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
