"""The example units: their commands exist, their files are valid, systemd finds no fault."""

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ops.cellctl.main import cli
from ops.cellctl.serve import ROLES
from ops.config import load_config
from ops.images import service

UNITS = Path(__file__).parents[2] / "docs" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
ROLES_OF_A_CELL = {"dashboard", "ingest"}


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def command(path: Path) -> list[str]:
    """ExecStart, with a cell's name where systemd would put the instance's."""
    return shlex.split(unit(path)["Service"]["ExecStart"].replace("%i", "a"))


def test_every_role_has_a_unit_and_every_unit_a_role() -> None:
    served = {command(path)[2] for path in SERVICES if command(path)[1] == "serve"}
    assert served == set(ROLES)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_what_a_unit_starts_is_a_command_with_valid_options(path: Path) -> None:
    program, *arguments = command(path)
    if program.endswith("python"):
        assert arguments[:2] == ["-m", service.__name__]
        assert arguments[2] in service.ACTS
        return
    found = cli.get_command(click.Context(cli), arguments[0])
    assert found is not None
    parsed = found.make_context(arguments[0], arguments[1:])
    if arguments[0] == "up":
        assert parsed.params["profile"] == "embedded"
        return
    assert bool(parsed.params["cell"]) == (parsed.params["role"] in ROLES_OF_A_CELL)
    assert bool(parsed.params["group"]) == (parsed.params["role"] == "relay")
    assert ("@" in path.name) == bool(parsed.params["cell"] or parsed.params["group"])


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_unit_is_given_time_to_drain_and_is_started_again(path: Path) -> None:
    found = unit(path)
    assert found["Install"]["WantedBy"] == "dashcell.target"
    assert found["Service"]["Restart"] in ("always", "on-failure")
    if found["Service"]["Type"] != "oneshot":
        stop_s = int(found["Service"]["TimeoutStopSec"])
        assert stop_s > load_config(env={}).limits.drain_s
        assert found["Service"]["KillMode"] == "mixed", "a TERM for the service alone"


def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    environment = {}
    for line in (UNITS / "environment.example").read_text().splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            environment[key] = value
    config = load_config(UNITS / "dashcell.toml.example", env=environment)
    assert config.platform.profile == "stack"
    assert set(config.servers.cells) == set(config.platform.cell_names)
    assert config.listen.host != "127.0.0.1"


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        pytest.skip("NO systemd-analyze HERE, units parsed only")
    for path in (*SERVICES, UNITS / "dashcell.target"):
        text = path.read_text()
        for installed in ("/opt/dashcell/bin/cellctl", "/opt/dashcell/bin/python"):
            text = text.replace(installed, sys.executable)
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        [verifier, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours = [line for line in done.stderr.splitlines() if "dashcell" in line]
    assert not ours, "\n".join(ours)
