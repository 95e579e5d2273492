"""Peers in a process of their own: fan-outs go to its input as bytes, its words come back.

To the child, all integers big-endian:

| bytes | what |
|---|---|
| 4 | n, how many fan-outs follow |
| n x (8, 8, 8, 4) | of each: post id, author, at, and m, how many places follow it |
| m x 8 | the readers' places (behind the head of their fan-out) |

From the child, a line for each such request, when every row is acknowledged:
`done ROWS SECONDS`, or `failed WHY`, after which it ends; before the first, `ready`. It also ends
when its input does.
"""

import contextlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from ops.bench.peers.writer import Fanout, PeerFailed

_COUNT = struct.Struct(">I")
_HEAD = struct.Struct(">QQQI")
_END_S_MAX = 20.0
_WORDS_MAX = 2_000


class Done(NamedTuple):
    """A child's answer: rows acknowledged, and how long that took by its own clock."""

    rows: int
    seconds: float


def request(fanouts: Sequence[Fanout]) -> bytes:
    """The fan-outs as a child reads them."""
    parts = [_COUNT.pack(len(fanouts))]
    for fanout in fanouts:
        head = _HEAD.pack(fanout.post_id, fanout.author, fanout.at, len(fanout.places))
        parts += (head, fanout.places.astype(">u8").tobytes())
    return b"".join(parts)


def answer(line: str) -> Done:
    """What a line of a child says. Raises PeerFailed for a failure and for anything else."""
    word, _, rest = line.strip().partition(" ")
    if word == "failed":
        raise PeerFailed(rest or "it did not say why")
    try:
        rows, seconds = rest.split(" ")
        found = Done(int(rows), float(seconds))
    except ValueError:
        found = Done(-1, 0.0)
    if word != "done" or found.rows < 0 or not found.seconds >= 0:
        raise PeerFailed(f"it said {line!r}")
    return found


class ChildWriter:
    """A `Writer` in a child process.

    `seconds` is what the child has measured of its writes: without the way there and back.
    """

    def __init__(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it and wait until it is ready. Raises PeerFailed."""
        self.name = name
        self.seconds = 0.0
        self._folder = Path(tempfile.mkdtemp(prefix="dashcell-peer-"))
        self._log = self._folder / "log"
        with self._log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=None if environment is None else dict(environment),
                )
            except OSError as error:
                shutil.rmtree(self._folder, ignore_errors=True)
                raise PeerFailed(f"{name} cannot be started: {error}") from error
        first = self._line()
        if first != "ready\n":
            words = f"{name} is not ready but says {first!r}{self._last_words()}"
            self.close()
            raise PeerFailed(words)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def write(self, fanouts: Sequence[Fanout]) -> int:
        """Have the child write; the rows acknowledged."""
        try:
            self._input.write(request(fanouts))
            self._input.flush()
        except OSError as error:
            raise PeerFailed(f"{self.name} has ended ({error}){self._last_words()}") from error
        try:
            done = answer(self._line())
        except PeerFailed as error:
            raise PeerFailed(f"{self.name}: {error}{self._last_words()}") from error
        self.seconds += done.seconds
        return done.rows

    def close(self) -> None:
        """End it: by the end of its input, and after a while by force."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(_END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _line(self) -> str:
        return self._output.readline().decode(errors="replace")

    def _last_words(self) -> str:
        try:
            text = self._log.read_text(errors="replace").strip()
        except FileNotFoundError:
            return ""
        return f"; its last words:\n{text[-_WORDS_MAX:]}" if text else ""
