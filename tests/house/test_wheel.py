"""The wheel holds the packages and the IDL, and nothing of the workshop."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.sources import PACKAGES, ROOT, product


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder: Path = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_every_idl_travels_inside_idgen(contents):
    idls = {f"idgen/thrift/{path.name}" for path in (ROOT / "thrift").glob("*.thrift")}
    assert idls, "no IDL in thrift/"
    assert idls <= set(contents), "ship thrift/ by force-include in pyproject.toml"


def test_every_module_of_the_product_is_in_it(contents):
    modules = {str(path.relative_to(ROOT)) for path in product()}
    assert modules <= set(contents), f"missing: {sorted(modules - set(contents))}"


def test_every_file_beside_the_modules_is_in_it(contents):
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "ops/bench/peers/PutList.java" in files
    assert files <= set(contents), f"missing: {sorted(files - set(contents))}"


def test_nothing_else_is_in_it(contents):
    allowed = (*PACKAGES, "dashcell-")
    strangers = [name for name in contents if not name.startswith(allowed)]
    assert not strangers, f"keep these out of the wheel, by pyproject.toml: {strangers}"
    tests = [name for name in contents if "/tests/" in name or name.endswith("conftest.py")]
    assert not tests, f"tests are not shipped: {tests}"


def test_an_upload_by_mistake_is_refused():
    assert '"Private :: Do Not Upload"' in (ROOT / "pyproject.toml").read_text()
