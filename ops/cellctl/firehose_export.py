"""`cellctl firehose export`."""

import gzip
from contextlib import suppress
from pathlib import Path
from typing import IO

import click

from firehose.event_json import document
from firehose.reading import Reading
from ops.cellctl.backup_text import bar
from ops.cellctl.firehose_reading import reading_options
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.plain import as_json
from ops.cellctl.seat import Seat

READ_EVENTS = 5_000
WAIT_MS = 500


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@reading_options("earliest", "latest")
def command(seat: Seat, reading: Reading, file: Path) -> None:
    """Write events into a new file, one JSON object on each line.

    A name that ends with .gz has it compressed. The file is there under its name when all is in it,
    and the answer has the cursor from which the next one goes on.

    \b
    Examples:
      cellctl firehose export posts.ndjson.gz --kinds post_created
      cellctl firehose export july-4.ndjson --from 2012-07-04T00:00:00Z --until 2012-07-05T00:00:00Z
    """
    if file.exists():
        raise Ended(Exit.CONFLICT, f"{file} is there already: give another name, or remove it")
    partial = file.with_name(f"{file.name}.partial")
    try:
        with _opened(partial, compressed=file.suffix == ".gz") as out:
            count = _written(reading, out)
        partial.rename(file)
    except KeyboardInterrupt:
        raise Ended(Exit.PARTIAL, f"stopped; {file} was not made") from None
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
    cursor = reading.cursor.text()
    seat.answer(
        {"file": str(file), "events": count, "cursor": cursor},
        lambda: click.echo(f"{count:,} events in {file}; to go on: --from {cursor}"),
    )


def _opened(path: Path, *, compressed: bool) -> IO[bytes]:
    return gzip.open(path, "wb") if compressed else path.open("wb")  # type: ignore[return-value]


def _written(reading: Reading, out: IO[bytes]) -> int:
    count = looked_at = size = 0
    with bar() as moved:
        while not reading.done:
            batch = reading.read(READ_EVENTS, WAIT_MS)
            for record, event in batch.events:
                line = as_json(document(record, event), one_line=True).encode() + b"\n"
                size += out.write(line)
            count += len(batch.events)
            looked_at += batch.looked_at
            moved("exporting", looked_at, 0, size)
    return count
