"""The program of an earlier release, as the repository's tag has it, to run beside today's."""

import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

RELEASE = "v0.1.0"
PACKAGES = ("cell", "firehose", "idgen", "ops", "router", "thrift")
ROOT = Path(__file__).resolve().parents[2]
RUN_S = 60.0


def checked_out(folder: Path, release: str = RELEASE) -> Path:
    """The packages of a release, written into a folder; with today's tests beside them.

    Fails where git or the tag is missing: nobody would notice that this was skipped.
    """
    git = shutil.which("git")
    assert git, f"git is needed to run the program of {release} beside today's: install git"
    asked = [git, "-C", str(ROOT), "-c", f"safe.directory={ROOT}", "archive", release, *PACKAGES]
    got = subprocess.run(asked, capture_output=True, check=False)
    assert got.returncode == 0, (
        f"the program of {release} cannot be had from {ROOT}, which is a clone without its tags or "
        f"no clone at all: `git fetch --unshallow --tags`, or `git fetch --tags` "
        f"(git: {got.stderr.decode().strip()})"
    )
    program = folder / release
    with tarfile.open(fileobj=BytesIO(got.stdout)) as archive:
        archive.extractall(program, filter="data")
    (program / "tests").symlink_to(ROOT / "tests")
    return program


def environment(program: Path) -> dict[str, str]:
    """The environment in which Python finds the packages of a program, and no setting of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DASHCELL_")}
    return {**kept, "PYTHONPATH": str(program), "PYTHONSAFEPATH": "1"}


def run(program: Path, module: str, *arguments: str) -> str:
    """What a module prints when it is run by a program."""
    return _python(program, "-m", module, *arguments)


def origin(program: Path) -> Path:
    """Where the program's packages are found by what it runs."""
    return Path(_python(program, "-c", "import cell; print(cell.__file__)").strip()).parents[1]


def _python(program: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(program),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, f"{arguments} of {program.name}: {done.stderr[-2_000:]}"
    return done.stdout
