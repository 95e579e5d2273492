"""What a load has brought so far: a file of lines, so that a load can go on where it ended.

Before a batch is sent, its ids are written down and synced; after its receipts, that it is done. So
whatever ends a load, at most one batch is in doubt, and sending it again under the same ids is the
same write. A last line that was cut by a crash is dropped: its batch was not sent.

Lines are JSON: first {"format", "inputs"}, then {"batch", "kind", "ids", "kept"} and {"done"}.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self

from idgen.errors import Conflict, NotFound

FORMAT = 1
_READ_BYTES = 1 << 20

Kind = Literal["follow", "publish"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: the ids of its items in order, and the places of those that are done already."""

    number: int
    kind: Kind
    ids: tuple[int, ...]
    kept: frozenset[int] = frozenset()


def fingerprint(paths: Iterable[Path]) -> str:
    """Names the contents of the input files, in their order. Raises NotFound."""
    total = hashlib.sha256()
    for path in paths:
        one = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while block := file.read(_READ_BYTES):
                    one.update(block)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise NotFound(f"{path}: no such file; name one that exists") from error
        total.update(one.digest())
    return total.hexdigest()[:32]


class Journal:
    """The journal of one load; one process at a time."""

    def __init__(self, path: Path, inputs: str) -> None:
        """Open or begin it. Raises Conflict when it is of other inputs, or in use."""
        self.path = path
        self._batches: dict[int, Batch] = {}
        self._done: set[int] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("a+b")
        try:
            self._lock()
            self._read(inputs)
        except BaseException:
            self._file.close()
            raise

    @property
    def batches(self) -> list[Batch]:
        """All batches that were begun, by number."""
        return [self._batches[number] for number in sorted(self._batches)]

    def is_done(self, number: int) -> bool:
        """Whether the batch has its receipts."""
        return number in self._done

    def begin(self, batch: Batch) -> None:
        """Write down what is about to be sent; durable when this returns."""
        self._write(
            {
                "batch": batch.number,
                "kind": batch.kind,
                "ids": batch.ids,
                "kept": sorted(batch.kept),
            }
        )
        self._batches[batch.number] = batch

    def finish(self, number: int) -> None:
        """The batch has its receipts."""
        self._write({"done": number})
        self._done.add(number)

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()

    def __enter__(self) -> Self:
        """The journal itself; leaving the block closes it."""
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"{self.path} is in use by another load: wait for it, or name another --state"
            ) from error

    def _read(self, inputs: str) -> None:
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            self._take(json.loads(line), inputs)
        self._file.truncate(whole)
        if whole == 0:
            self._write({"format": FORMAT, "inputs": inputs})

    def _take(self, line: dict[str, Any], inputs: str) -> None:
        if "format" in line:
            if line["format"] != FORMAT or line["inputs"] != inputs:
                raise Conflict(
                    f"{self.path} is of a load of other files: name another --state, or delete it "
                    "if that load is not to go on"
                )
        elif "done" in line:
            self._done.add(line["done"])
        else:
            kept = frozenset(line["kept"])
            batch = Batch(line["batch"], line["kind"], tuple(line["ids"]), kept)
            self._batches[batch.number] = batch

    def _write(self, line: dict[str, int | str | Sequence[int]]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
