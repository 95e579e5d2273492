"""`cellctl firehose tail`."""

import sys
from dataclasses import replace

import click

from firehose.event_json import document
from firehose.reading import Reading
from ops.cellctl.firehose_reading import reading_options
from ops.cellctl.plain import as_json
from ops.cellctl.seat import Seat

READ_EVENTS = 1_000
WAIT_MS = 500


@click.command("tail")
@reading_options("latest", "")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
def command(_seat: Seat, reading: Reading, count: int | None) -> None:
    """Print events as they come, one JSON object on each line.

    Ctrl-C ends it. Where it ended is told on stderr as a cursor: given to --from, it goes on there,
    and nothing is missed.

    \b
    Examples:
      cellctl firehose tail
      cellctl firehose tail --from -2h --kinds post_created,post_removed
      cellctl firehose tail --from earliest --until -1h --authors 88 --count 10
    """
    printed = dict(reading.cursor.offsets)
    left = sys.maxsize if count is None else count
    try:
        while left and not reading.done:
            events = reading.read(min(READ_EVENTS, left), WAIT_MS).events
            for record, event in events:
                click.echo(as_json(document(record, event), one_line=True))
                printed[record.partition] = record.offset + 1
            printed.update(reading.cursor.offsets)  # what was not wanted is passed too
            left -= len(events)
    except KeyboardInterrupt:
        pass  # what people end it by
    finally:
        cursor = replace(reading.cursor, offsets=printed)
        click.echo(f"cellctl: to go on: --from {cursor.text()}", err=True)
