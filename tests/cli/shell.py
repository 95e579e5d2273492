"""cellctl as it is called: in a process of its own, or in this one."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from click.testing import CliRunner

from ops.cellctl.main import cli
from tests.house.sources import ROOT

PROGRAM = [sys.executable, "-m", "ops.cellctl.main"]


class Shell:
    """cellctl in one platform's folder."""

    def __init__(self, folder: Path, up_s: float = 120) -> None:
        self.folder = folder
        self.up_s = up_s
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DASHCELL_")}
        self.env = {**kept, "DASHCELL_DATA": str(folder)}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`up` in a process of its own; what only asks runs here, which is quicker."""
        if words[0] == "up":
            return self._in_a_process(*words)
        ended = CliRunner().invoke(cli, list(words), env=self.env)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exc_info
        return subprocess.CompletedProcess(words, ended.exit_code, ended.stdout, ended.stderr)

    def _in_a_process(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *words],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.up_s,
            check=False,
        )

    def done(self, *words: str) -> str:
        ended = self.run(*words)
        assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return ended.stdout

    def json(self, *words: str):
        return json.loads(self.done(*words, "--json"))

    def caught_up(self) -> bool:
        """Whether every cell has applied what is in the log."""
        return all(cell["lag_s"] == 0 for cell in self.json("list-cells"))

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PROGRAM, *words],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # What runs in the background of a shell ignores it, and so would what that starts.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
