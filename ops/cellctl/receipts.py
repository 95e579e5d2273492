"""Answers to writes: what was written, by id and token."""

from collections.abc import Callable, Sequence

import click

from cell.dashboard import Receipt
from idgen.errors import DashcellError
from ops.cellctl.outcome import Ended, Exit, ended
from ops.cellctl.plain import to_text
from ops.cellctl.seat import Seat


def give(seat: Seat, receipt: Receipt) -> None:
    """Print one receipt."""
    seat.answer(receipt, lambda: _line(receipt))


def give_all(seat: Seat, receipts: Sequence[Receipt]) -> None:
    """Print the receipts of one call, in its order."""

    def lines() -> None:
        for receipt in receipts:
            _line(receipt)

    seat.answer(receipts, lines)


def one_by_one(seat: Seat, writes: Sequence[tuple[str, Callable[[], Receipt]]]) -> None:
    """Do writes that have no call for many; some may fail.

    All fail: as the first did. Some fail: each is told on stderr, and the exit code is 8.
    """
    done: list[Receipt] = []
    failed: list[tuple[str, DashcellError]] = []
    for name, write in writes:
        try:
            done.append(write())
        except DashcellError as error:
            failed.append((name, error))
    if failed and not done:
        raise failed[0][1]
    give_all(seat, done)
    if failed:
        for name, failure in failed:
            click.echo(f"cellctl: {name}: {ended(failure).format_message()}", err=True)
        raise Ended(
            Exit.PARTIAL, f"{len(failed)} of {len(writes)} were not done; the others were"
        )


def _line(receipt: Receipt) -> None:
    click.echo(f"id {receipt.id}  token {to_text(receipt.token)}")
