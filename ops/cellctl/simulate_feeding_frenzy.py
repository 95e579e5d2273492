"""`cellctl simulate feeding-frenzy`: the paper's workload, decided by the cell's own policy."""

from pathlib import Path

import click

from ops.cellctl.outcome import Ended, Exit
from ops.cellctl.plain import as_json
from ops.cellctl.simulate_text import document, lines
from ops.simulate import plots
from ops.simulate.feeding_frenzy import simulate
from ops.simulate.workload import SCALE_MIN


@click.command("feeding-frenzy")
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 63) - 1),
    default=1,
    show_default=True,
    help="Of all random streams.",
)
@click.option(
    "--scale",
    type=click.FloatRange(SCALE_MIN, 1),
    default=1.0,
    show_default=True,
    help="The part of the paper's producers, consumers and pairs that is drawn.",
)
@click.option(
    "--plots",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw the figures into this folder, as SVG and PNG; needs matplotlib.",
)
@click.option("--json", "json_wanted", is_flag=True, help="Answer with one JSON document.")
def command(seed: int, scale: float, folder: Path | None, json_wanted: bool) -> None:
    """Compare push all, push none and both on the workload of a paper.

    Feeding Frenzy (Silberstein, Terrace, Cooper, Ramakrishnan, SIGMOD 2010): 67,921 producers,
    200,000 consumers, 1,020,458 pairs. Costs are expectations, worked out and not timed, beside
    the paper's figures; what its text does not allow to reproduce is said. The same seed gives
    the same answer. It takes some ten seconds. docs/materialization.md explains the lines.

    \b
    Examples:
      cellctl simulate feeding-frenzy
      cellctl simulate feeding-frenzy --seed 7 --plots figures
      cellctl simulate feeding-frenzy --scale 0.01 --json
    """
    if folder is not None and not plots.possible():
        raise Ended(
            Exit.PRECONDITION,
            "matplotlib is not installed, which --plots draws with: leave --plots out, or install "
            "Dashcell with its extra `bench`",
        )
    outcome = simulate(seed, scale)
    click.echo(as_json(document(outcome)) if json_wanted else "\n".join(lines(outcome)))
    if folder is not None:
        for file in plots.draw(folder, outcome):
            click.echo(f"drew {file}", err=True)
