"""`cellctl restore-cell`: a lost cell, or a slice of readers, from a backup."""

import time
from pathlib import Path

import click

from ops.cellctl.backup_text import MB, Moved, bar, document, sentence
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Seat, at_platform
from ops.platform_port import RestoreView
from router.restore import Loaded

LOOK_S = 0.2
WHOLE = (
    "read all files and compare their checksums",
    "have the cell's workers stop and wait: it is `restoring`",
    "load the rows at their versions, and the positions",
    "let the workers go on: they apply the log from the backup's position",
    "let the cell answer its readers, once it has applied what they may have seen",
)
SLICE = (
    "read all files and compare their checksums",
    "answer the slice's readers no more",
    "load their rows into the band of a new epoch",
    "have the cell's workers apply the log again from the backup's position",
    "answer the readers again, and sweep what lay there before",
)


@click.command("restore-cell")
@click.argument(
    "folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@at_platform
def command(seat: Seat, folder: Path, execute: bool) -> None:
    """Restore a lost cell, or a slice, from a backup.

    A cell is restored into the empty tables of the cell of its name, a slice into the cell that is
    home to it now. The whole backup is read and checked before anything else: a refusal that is
    not [damaged] means that its files are whole. What was cut off goes on when this is done again.

    \b
    Examples:
      cellctl restore-cell /backups/a-monday
      cellctl restore-cell /backups/a-monday --execute
    """
    if not execute:
        with bar() as moved:
            view = seat.platform.backups.plan(folder, _Told(moved))
        seat.answer(_document(view, executed=False), lambda: _draw_plan(view))
        return
    began = time.monotonic()
    try:
        with bar() as moved:
            view, caught_up = seat.platform.backups.restore(
                folder, _Told(moved), lambda: seat.surroundings.pause(LOOK_S)
            )
    except KeyboardInterrupt:
        raise Ended(
            Exit.PARTIAL, f"stopped: `cellctl restore-cell {folder} --execute` goes on where it was"
        ) from None
    seconds = time.monotonic() - began
    size = view.manifest.bytes / MB
    done = "was restored before" if view.restored else f"restored, {size / seconds:,.1f} MB/s"
    seat.answer(
        _document(view, executed=True) | {"caught_up": caught_up, "seconds": round(seconds, 3)},
        lambda: click.echo(f"{sentence(view.manifest)}; {done}; cell {view.cell} goes on"),
    )


class _Told:
    """Adds up what is told."""

    def __init__(self, moved: Moved) -> None:
        self._moved = moved
        self._what = ""
        self._rows = 0
        self._bytes = 0

    def __call__(self, loaded: Loaded) -> None:
        if loaded.what != self._what:
            self._what, self._rows, self._bytes = loaded.what, 0, 0
        self._rows += loaded.rows
        self._bytes += loaded.bytes
        self._moved(loaded.what, self._rows, 0, self._bytes)


def _document(view: RestoreView, *, executed: bool) -> dict[str, object]:
    return {
        **document(view.manifest),
        "into": view.cell,
        "events_to_apply": view.events,
        "new_log": view.new_log,
        "restored_before": view.restored,
        "executed": executed,
    }


def _draw_plan(view: RestoreView) -> None:
    click.echo(sentence(view.manifest))
    if view.restored:
        click.echo(f"cell {view.cell} was restored from it already")
        return
    log = "a new log" if view.new_log else "the log that it was taken with"
    click.echo(f"into cell {view.cell}, with {log}; then {view.events:,} events are to be applied")
    click.echo("what is done, in this order:")
    for number, step in enumerate(WHOLE if view.manifest.whole else SLICE, 1):
        click.echo(f"  {number}. {step}")
    click.echo("do it with --execute")
