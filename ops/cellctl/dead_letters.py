"""`cellctl dead-letters`: events that a cell could not apply."""

from collections.abc import Callable, Sequence

import click
from rich.table import Table
from rich.text import Text

from idgen.errors import DashcellError
from ops.cellctl.outcome import Ended, Exit, ended
from ops.cellctl.plain import plain
from ops.cellctl.seat import Seat, at_platform
from ops.cellctl.terminal import console, harmless, when
from ops.platform_port import DeadLetter

LIMIT_MAX = 1000


@click.group("dead-letters")
def command() -> None:
    """List, retry or discard events that a cell could not apply.

    Retrying is safe at any time: an event is applied at its original version.
    """


@command.command("list")
@click.argument("cell")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=100, show_default=True)
@at_platform
def list_letters(seat: Seat, cell: str, limit: int) -> None:
    """List a cell's open dead letters, oldest first.

    \b
    Examples:
      cellctl dead-letters list a
    """
    letters = seat.platform.dead_letters(cell).list(limit)
    seat.answer(letters, lambda: _draw(letters))


@command.command("show")
@click.argument("cell")
@click.argument("letter")
@at_platform
def show_letter(seat: Seat, cell: str, letter: str) -> None:
    """Show one dead letter, with what of its event can be read.

    \b
    Examples:
      cellctl dead-letters show a 0-17
    """
    letters = seat.platform.dead_letters(cell).list(LIMIT_MAX)
    found = next((each for each in letters if each.id == letter), None)
    if found is None:
        raise Ended(
            Exit.NOT_FOUND,
            f"cell {cell} has no open dead letter {letter}: `cellctl dead-letters list {cell}` has "
            "those that there are",
        )
    lines = [f"{name:10} {harmless(str(value))}" for name, value in plain(found).items()]
    seat.answer(found, lambda: click.echo("\n".join(lines)))


@command.command("retry")
@click.argument("cell")
@click.argument("letters", nargs=-1, required=True)
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@at_platform
def retry(seat: Seat, cell: str, letters: tuple[str, ...], execute: bool) -> None:
    """Apply dead letters again, at their original versions.

    \b
    Examples:
      cellctl dead-letters retry a 0-17
      cellctl dead-letters retry a 0-17 --execute
    """
    if execute:
        _each(seat, "retried", letters, seat.platform.dead_letters(cell).retry)
    else:
        _plan(seat, "apply again", cell, letters)


@command.command("discard")
@click.argument("cell")
@click.argument("letters", nargs=-1, required=True)
@click.option("--execute", is_flag=True, help="Do it; without, the plan is printed.")
@at_platform
def discard(seat: Seat, cell: str, letters: tuple[str, ...], execute: bool) -> None:
    """Give dead letters up for good.

    \b
    Examples:
      cellctl dead-letters discard a 0-17 --execute
    """
    if execute:
        _each(seat, "discarded", letters, seat.platform.dead_letters(cell).discard)
    else:
        _plan(seat, "give up for good", cell, letters)


def _plan(seat: Seat, what: str, cell: str, letters: Sequence[str]) -> None:
    known = {letter.id for letter in seat.platform.dead_letters(cell).list(LIMIT_MAX)}
    missing = [letter for letter in letters if letter not in known]
    if missing:
        raise Ended(
            Exit.NOT_FOUND,
            f"no open dead letter {', '.join(missing)} in cell {cell}: "
            f"`cellctl dead-letters list {cell}` has those that there are",
        )
    document = {"plan": what, "cell": cell, "letters": list(letters), "executed": False}
    text = f"would {what} in cell {cell}: {', '.join(letters)}; do it with --execute"
    seat.answer(document, lambda: click.echo(text))


def _each(
    seat: Seat, what: str, letters: Sequence[str], settle: Callable[[Sequence[str]], int]
) -> None:
    failed: dict[str, DashcellError] = {}
    for letter in letters:
        try:
            settle([letter])
        except DashcellError as error:
            failed[letter] = error
    if len(failed) == len(letters):
        raise next(iter(failed.values()))
    done = [letter for letter in letters if letter not in failed]
    document = {what: done, "failed": sorted(failed), "executed": True}
    seat.answer(document, lambda: click.echo(f"{what}: {', '.join(done)}"))
    if failed:
        reasons = "; ".join(f"{name}: {ended(e).format_message()}" for name, e in failed.items())
        raise Ended(Exit.PARTIAL, f"{len(failed)} of {len(letters)} were not {what}: {reasons}")


def _draw(letters: Sequence[DeadLetter]) -> None:
    if not letters:
        click.echo("no dead letters")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "since", "reason"):
        table.add_column(column)
    for each in letters:
        table.add_row(each.id, when(each.at_ms), Text(harmless(each.reason)))
    console().print(table)
