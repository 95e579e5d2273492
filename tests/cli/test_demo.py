"""`make demo`: it ends by itself, without a terminal, and shows a dashboard that grew."""

import re
import subprocess
import sys

import pytest

from ops.cellctl.main import COMMANDS
from ops.demo import NEXT
from tests.house.sources import ROOT

SECONDS = 4


@pytest.mark.slow
def test_the_demo_shows_entries_and_ends_in_its_time():
    done = subprocess.run(
        [sys.executable, "-m", "ops.demo", "--seconds", str(SECONDS)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS + 120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    entries = re.findall(r"^\N{BLACK CIRCLE} ", done.stdout, re.MULTILINE)
    told = re.search(r"got (\d+) entries", done.stdout)
    assert told, done.stdout[-500:]
    assert len(entries) == int(told[1]) > 0
    assert "What to try next" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_demo_names_commands_that_there_are():
    named = re.findall(r"cellctl ([a-z-]+)", NEXT)
    assert named
    assert set(named) <= set(COMMANDS)
