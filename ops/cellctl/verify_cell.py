"""`cellctl verify-cell`: whether a cell is what the log says, by a sample of its readers."""

import random
from typing import Any

import click

from cell.reader_sample import SAMPLED_MAX, Sample
from ops.cellctl.findings import checking, draw_findings, findings_document
from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.seat import Seat, at_platform
from ops.checks_port import CellCheck

SEED_MAX = (1 << 32) - 1


class SampleSize(click.ParamType[Sample]):
    """A number of readers, or a percentage of the key space that is homed in the cell."""

    name = "readers|percent%"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sample:
        """The sample; a usage error for anything else."""
        if isinstance(value, Sample):
            return value
        text = str(value)
        readers, share = 0, 0.0
        try:
            if text.endswith("%"):
                share = float(text[:-1]) / 100
            else:
                readers = int(text)
        except ValueError:
            readers = 0
        if not (0 < share <= 1 or 1 <= readers <= SAMPLED_MAX):
            self.fail(
                f"{value!r} is no sample: write a number of readers, 1 to {SAMPLED_MAX}, or a "
                "part of the key space as in 1%",
                param,
                ctx,
            )
        return Sample(readers, share)


@click.command("verify-cell")
@click.argument("cell")
@click.option(
    "--sample",
    type=SampleSize(),
    default="20",
    show_default=True,
    help=f"How many readers, or all in a part of the key space; at most {SAMPLED_MAX:,}.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, SEED_MAX),
    help="Pick the readers that a check with this seed picked. Default: others each time.",
)
@at_platform
def command(seat: Seat, cell: str, sample: Sample, seed: int | None) -> None:
    """Check a cell by a sample of its readers.

    Picks readers evenly over what the cell is home to. Of each it works out anew what the
    dashboard must hold, looks for every edge in the other table of edges, and holds the marks
    against the clock; of the cell it tells dead letters that are open, and what is not applied of
    the log as it was at the start. The exit code is 1 where anything is not as it must be.

    \b
    Examples:
      cellctl verify-cell a
      cellctl verify-cell a --sample 1% --json
      cellctl verify-cell a --sample 200 --seed 7
    """
    drawn = random.randrange(SEED_MAX + 1) if seed is None else seed
    with checking("checking readers") as moved_on:
        check = seat.platform.checks.verify_cell(cell, sample, drawn, moved_on)
    seat.answer(_document(check), lambda: _draw(check))
    if check.found:
        raise Ended(
            Exit.FAILED,
            f"cell {cell} is not verified: {check.found:,} things are not as they must be",
        )
    if not check.readers:
        raise Ended(
            Exit.PRECONDITION,
            "no reader was picked, so nothing is known: nobody is homed there, or the --sample is "
            "too small",
        )


def _document(check: CellCheck) -> dict[str, Any]:
    return {
        "cell": check.cell,
        "verified": bool(check.readers) and not check.found,
        "seed": check.seed,
        "readers": check.readers,
        "moved_away": check.moved_away,
        "entries": check.entries,
        "edges": check.edges,
        "marks": check.marks,
        **findings_document(check.findings, check.found),
    }


def _draw(check: CellCheck) -> None:
    verified = "verified" if check.readers and not check.found else "NOT verified"
    click.echo(
        f"cell {check.cell} {verified}: {len(check.readers):,} readers, {check.entries:,} entries, "
        f"{check.edges:,} edges, {check.marks:,} marks; the same again with --seed {check.seed}"
    )
    if check.moved_away:
        click.echo(f"  {check.moved_away:,} of the readers had moved to another cell meanwhile")
    draw_findings(check.findings, check.found)
