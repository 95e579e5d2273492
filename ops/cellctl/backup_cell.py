"""`cellctl backup-cell`: a cell's rows and its position, into a folder."""

import time
from pathlib import Path

import click

from cell.backup import Taken, Wish
from idgen.ids import U64
from ops.cellctl.backup_text import MB, bar, document, sentence
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.rehome_slice import SliceRange
from ops.cellctl.seat import Seat, at_platform
from router.backup import log_base_above


@click.command("backup-cell")
@click.argument("cell")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--slice",
    "slice_",
    metavar="START-LAST",
    type=SliceRange(),
    help="Only the rows of these readers, without posts.",
)
@click.option(
    "--rows-per-s",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Read at most so many rows a second; 0: as many as go.",
)
@at_platform
def command(
    seat: Seat, cell: str, folder: Path, slice_: tuple[int, int] | None, rows_per_s: int
) -> None:
    """Back a cell up into a folder, while it goes on.

    Rows with their versions and the position in the log from which a restore applies the rest, in
    files with checksums. DIR is a new or an empty folder of this machine. Ctrl-C leaves a folder
    that is no backup.

    \b
    Examples:
      cellctl backup-cell a /backups/a-monday
      cellctl backup-cell a /backups/some --slice 0000000000000000-00ffffffffffffff
      cellctl backup-cell a /backups/a-tuesday --rows-per-s 50000 --json
    """
    start, last = slice_ or (0, U64)
    began = time.monotonic()
    try:
        with bar() as moved:

            def tell(taken: Taken) -> None:
                moved(f"backing up {taken.what}", taken.rows, 0, taken.bytes)

            manifest = seat.platform.backups.take(cell, folder, Wish(start, last, rows_per_s), tell)
    except KeyboardInterrupt:
        raise Ended(Exit.PARTIAL, f"stopped: {folder} is no backup, remove it") from None
    except OSError as error:
        raise Ended(
            Exit.PRECONDITION,
            f"{error.filename or folder}: {error.strerror or error}: {folder} is no backup; remove "
            "it, make room or name another folder, and do this again",
        ) from error
    seconds = time.monotonic() - began
    answer = document(manifest) | {"folder": str(folder), "seconds": round(seconds, 3)}

    def draw() -> None:
        click.echo(f"{sentence(manifest)}; {manifest.bytes / MB / max(seconds, 1e-3):,.1f} MB/s")
        base = log_base_above(manifest)
        if manifest.finished and manifest.whole:
            click.echo(f"it fits a new log too: `cellctl up --log-base {base}`")
        elif manifest.whole:
            click.echo(
                "it fits this platform's log alone, of which the cell had not applied everything"
            )

    seat.answer(answer, draw)
