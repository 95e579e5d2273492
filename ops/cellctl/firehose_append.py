"""`cellctl firehose append`."""

import gzip
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import click
import msgspec

from firehose.event_from_json import name_of, new_event
from firehose.receipts import BATCH_MAX, NewEvent
from idgen.errors import BadRequest, DashcellError
from ops.cellctl.backup_text import bar
from ops.cellctl.outcome import Ended, Exit, ended
from ops.cellctl.seat import Seat, at_platform

LINE_BYTES_MAX = 1 << 20
BATCH_BYTES_MAX = 8 << 20


@dataclass
class _Batch:
    """Lines that are appended together: their numbers, their events, their bytes."""

    lines: list[int] = field(default_factory=list)
    news: list[NewEvent] = field(default_factory=list)
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.news) == BATCH_MAX or self.size >= BATCH_BYTES_MAX

    @property
    def repeatable(self) -> bool:
        """Whether it may be appended again: all have ids of their own."""
        return all(new.brought_id is not None for new in self.news)


@dataclass
class _Progress:
    """How many events are in the log, and the line of the file that comes next."""

    first: int
    events: int = 0
    size: int = 0

    def so_far(self) -> str:
        return f"{self.events:,} events are appended; to go on: --from-line {self.first}"


@click.command("append")
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)
)
@click.option(
    "--from-line",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Leave out the lines before this one.",
)
@at_platform
def command(seat: Seat, file: Path, from_line: int) -> None:
    """Append events from a file, in its order, in batches of 1,000.

    FILE has one JSON object on each line, as `cellctl firehose export` writes it, of this platform
    or another; a name that ends with .gz is compressed, "-" is stdin. Ids are kept: the same event
    again changes nothing, so that after a failure the same command may be given again, or goes on
    with --from-line as it is told. What the log gives (partition, offset, times) is ignored. An
    event without an id is given one, and would be there twice.

    \b
    Examples:
      cellctl firehose append posts.ndjson.gz
      echo '{"kind": "liked", "actor": 5, "author": 88, "post_id": 77}' | cellctl firehose append -
      cellctl firehose append posts.ndjson --from-line 120001 --json
    """
    began = time.monotonic()
    done = _Progress(from_line)
    try:
        with _opened(file) as lines, bar() as moved:
            for batch in _batches(lines, done):
                _append(seat, batch, done)
                moved("appending", done.events, 0, done.size)
    except KeyboardInterrupt:
        raise Ended(Exit.PARTIAL, f"stopped; {done.so_far()}") from None
    seconds = round(time.monotonic() - began, 3)
    seat.answer(
        {"file": str(file), "events": done.events, "bytes": done.size, "seconds": seconds},
        lambda: click.echo(f"appended {done.events:,} events in {seconds} s"),
    )


def _opened(path: Path) -> IO[bytes]:
    if str(path) == "-":
        return sys.stdin.buffer
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _batches(lines: IO[bytes], done: _Progress) -> Iterator[_Batch]:
    first = done.first
    batch = _Batch()
    for number, line in enumerate(_lines(lines, done), 1):
        if number < first or not line.strip():
            continue
        try:
            batch.news.append(new_event(msgspec.json.decode(line)))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _refused(done, f"line {number}: is no JSON: {error}") from None
        except BadRequest as error:
            raise _refused(done, f"line {number}: {error.field}: {error.why}") from None
        batch.lines.append(number)
        batch.size += len(line)
        if batch.full:
            yield batch
            batch = _Batch()
    if batch.news:
        yield batch


def _lines(lines: IO[bytes], done: _Progress) -> Iterator[bytes]:
    number = 0
    try:
        while line := lines.readline(LINE_BYTES_MAX + 1):
            number += 1
            if len(line) > LINE_BYTES_MAX:
                why = f"line {number}: has more than {LINE_BYTES_MAX} bytes, which is no event"
                raise _refused(done, why)
            yield line
    except (gzip.BadGzipFile, EOFError) as error:
        raise _refused(done, f"after line {number}: is cut short, or not gzip: {error}") from None


def _append(seat: Seat, batch: _Batch, done: _Progress) -> None:
    def where(number: int, _new: NewEvent, name: str) -> str:
        return f"line {batch.lines[number]}: {name_of(name)}"

    try:
        seat.platform.firehose.append(seat.context, batch.news, where)
    except BadRequest as error:
        raise _refused(done, str(error)) from None
    except DashcellError as error:
        raise Ended(Exit(ended(error).exit_code), _in_doubt(error, batch, done)) from error
    except KeyboardInterrupt:
        raise Ended(Exit.PARTIAL, _in_doubt("stopped", batch, done)) from None
    done.events += len(batch.news)
    done.size += batch.size
    done.first = batch.lines[-1] + 1


def _in_doubt(what: object, batch: _Batch, done: _Progress) -> str:
    doubt = f"lines {batch.lines[0]} to {batch.lines[-1]} may be in the log or not"
    again = (
        "again they are the same events"
        if batch.repeatable
        else "of those without an id there would be a second one: see `cellctl firehose tail` first"
    )
    return f"{what}; {doubt}, {again}; {done.so_far()}"


def _refused(done: _Progress, why: str) -> Ended:
    return Ended(Exit.PARTIAL if done.events else Exit.USAGE, f"{why}; {done.so_far()}")
