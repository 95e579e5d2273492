"""Apache's own compiler accepts every IDL, for the languages that clients are written in."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from idgen.idl import load
from tests.house.sources import PACKAGES, ROOT, named

IDLS = sorted((ROOT / "thrift").glob("*.thrift"))


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("thrift")
    if found is None:
        missing = "THRIFT COMPILER MISSING, IDL NOT TESTED: apt-get install thrift-compiler"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.mark.parametrize("language", ["py", "java", "go"])
@pytest.mark.parametrize("idl", IDLS, ids=named)
def test_the_apache_compiler_accepts(compiler, idl, language, tmp_path: Path):
    done = subprocess.run(
        [compiler, "-strict", "-gen", language, "-out", str(tmp_path), str(idl)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{named(idl)} as {language}: {done.stdout}{done.stderr}"
    assert list(tmp_path.rglob("*.*")), f"{named(idl)} generates nothing for {language}"


def test_there_is_an_idl_for_every_service():
    assert {"dashboard.thrift", "idgen.thrift", "firehose.thrift"} <= {path.name for path in IDLS}


def test_the_context_is_the_same_wherever_it_is_declared():
    shared, of_dashboard = load("context").Context, load("dashboard").Context
    assert shared.thrift_spec == of_dashboard.thrift_spec, "change both declarations of Context"


def test_the_folder_of_idl_is_no_package():
    assert not list((ROOT / "thrift").glob("*.py")), (
        "thrift/ must hold no Python: it would shadow Apache's library of that name"
    )
    assert "thrift" not in PACKAGES
