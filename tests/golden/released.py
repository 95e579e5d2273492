"""The program of an earlier release, to run beside today's.

It lies here as an archive, for whoever has no tags: a shallow clone, or a folder that is no clone.
`python -m tests.golden.released TAG` writes the archive of another release, from its tag.
"""

import lzma
import os
import subprocess
import sys
import tarfile
from pathlib import Path

RELEASE = "v0.1.0"
PACKAGES = ("cell", "firehose", "idgen", "ops", "router", "thrift")
ROOT = Path(__file__).resolve().parents[2]
RUN_S = 60.0


def checked_out(folder: Path, release: str = RELEASE) -> Path:
    """The packages of a release, written into a folder; with today's tests beside them."""
    program = folder / release
    with tarfile.open(archive_of(release)) as archive:
        archive.extractall(program, filter="data")
    (program / "tests").symlink_to(ROOT / "tests")
    return program


def archive_of(release: str) -> Path:
    """Where the packages of a release lie."""
    return Path(__file__).with_name(f"program-{release}.tar.xz")


def tagged(release: str) -> bytes | None:
    """The same packages as a tar file, as the repository has them; None without git or the tag."""
    asked = ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", "archive", release, *PACKAGES]
    try:
        got = subprocess.run(asked, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return got.stdout if got.returncode == 0 else None


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


if __name__ == "__main__":
    tar = tagged(sys.argv[1])
    assert tar is not None, f"there is no git here, or no tag {sys.argv[1]}: git fetch --tags"
    archive_of(sys.argv[1]).write_bytes(lzma.compress(tar, preset=9))
