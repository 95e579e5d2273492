"""`make bench` and `make bench-quick`: what the product reaches, beside peers.

    python -m ops.bench.main [--quick] [--only NAME ...] [--out FOLDER] [--against FILE]

Prints a table on stdout and its progress on stderr. With `--out` performance.json, performance.md
and the plots are written there. With `--against` it fails when a ratio has fallen by more than a
fifth against that file as it was before the run, or is gone; where it is no such file, nothing is
measured and the exit code is 2. It fails as well when a measure could not be taken, and with
`--required` (CI) when a peer could not be run. A missed goal is a result, and no failure.
"""

import argparse
import math
import sys
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from ops.bench import machine
from ops.bench.bench import Bench
from ops.bench.measure import Figure, Measure, failed
from ops.bench.measures import (
    appends,
    average_post,
    cells,
    depth,
    fanout,
    giant,
    growth,
    ids,
    memory,
    moves,
    pages,
    pages_beside,
    relay,
    size,
    streams,
    week,
)
from ops.bench.plots import draw
from ops.bench.report import comparable, from_json, regressions, table, to_json, to_markdown
from ops.config import jar_cache, load_config

MEASURES = (
    fanout,
    pages,
    average_post,
    depth,
    pages_beside,
    giant,
    week,
    size,
    memory,
    growth,
    ids,
    appends,
    streams,
    relay,
)
"""In the order in which they are taken: those that share a stage follow each other."""
ASKED = (moves, cells)
"""Taken when they are asked for by --only."""
QUICK = (fanout, pages, depth)
QUICK_WITHOUT = (*fanout.QUICK_WITHOUT, *pages.QUICK_WITHOUT)
"""The (measure, peer) that a quick run leaves out of the measures that it takes."""
PLOTS = "performance"
MINUTES_MAX = 38.0
"""No measure is begun after so long: `make bench` takes at most forty minutes."""
USAGE = 2
"""The exit code for wrong words and files, as argparse has it."""


class NothingToCompare(Exception):
    """No figures to compare with; the message names the file, says why, and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """One run; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        # Before anything is measured: --out may write the same file, and a run takes minutes.
        committed = None if given.against is None else committed_in(given.against)
    except NothingToCompare as error:
        print(f"bench: {error}", file=sys.stderr)
        return USAGE
    usual = [m.NAME for m in (QUICK if given.quick else MEASURES)]
    chosen = [m for m in (*MEASURES, *ASKED) if m.NAME in (given.only or usual)]
    bench = Bench(quick=given.quick, cache=jar_cache(load_config()), week_folder=given.week)
    figures = measured(bench, [(m.NAME, m.run) for m in chosen])
    print(table(figures))
    if given.out is not None:
        _write(given.out, figures, bench)
    return exit_code(
        figures,
        committed,
        required=given.required,
        left_out=QUICK_WITHOUT if given.quick else (),
    )


def committed_in(file: Path) -> list[Figure]:
    """The figures of a performance.json. Raises NothingToCompare where it has no ratio."""
    remedy = "name a performance.json of `make bench` with --against"
    try:
        figures = from_json(file.read_bytes())
    except OSError as error:
        why = f"{file} cannot be read ({error.strerror}): {remedy}"
        raise NothingToCompare(why) from error
    except (ValueError, RecursionError) as error:
        raise NothingToCompare(f"{file} is no performance.json ({error}): {remedy}") from error
    ratios = [figure.ratio for figure in figures if figure.ratio is not None]
    if not ratios:
        raise NothingToCompare(f"{file} has no ratio to compare with: {remedy}")
    if not all(comparable(ratio) for ratio in ratios):
        why = f"{file} has a ratio of {min(ratios):g}, which is none: {remedy}"
        raise NothingToCompare(why)
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a part of it, in three minutes")
    names = [m.NAME for m in (*MEASURES, *ASKED)]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME")
    parser.add_argument("--out", type=Path, help="where performance.json and .md are written")
    parser.add_argument("--against", type=Path, help="a performance.json to compare ratios with")
    parser.add_argument("--required", action="store_true", help="fail when a peer cannot be run")
    parser.add_argument("--week", type=Path, help="the folder of the Higgs data set")
    return parser


def measured(
    bench: Bench, measures: Sequence[tuple[str, Callable[[Bench], list[Figure]]]]
) -> list[Figure]:
    """The figures of all measures; of one that failed the reason."""
    began = time.monotonic()
    figures: list[Figure] = []
    try:
        for name, run in measures:
            if time.monotonic() - began > MINUTES_MAX * 60:
                figures.append(_without(name, "there was no time left"))
                continue
            bench.tell(f"measuring {name}")
            try:
                figures += run(bench) or [_without(name, "it gave no figure")]
            except Exception as error:  # noqa: BLE001 - the report tells it; the others go on
                traceback.print_exc()
                figures.append(_without(name, f"{type(error).__name__}: {error}"))
                bench.close()  # whatever state its stage is in, the next one begins afresh
    finally:
        bench.close()
    return figures


def _without(name: str, why: str) -> Figure:
    return failed(Measure(name, name, "", higher_is_better=True), why)


def _write(folder: Path, figures: Sequence[Figure], bench: Bench) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    drawn = draw(folder / PLOTS, figures, bench.curves)
    plots = [(title, f"{PLOTS}/{file}") for title, file in drawn]
    (folder / "performance.json").write_bytes(to_json(figures))
    (folder / "performance.md").write_text(to_markdown(figures, machine.facts(), plots))


def exit_code(
    figures: Sequence[Figure],
    committed: Sequence[Figure] | None,
    *,
    required: bool,
    left_out: Collection[tuple[str, str]] = (),
) -> int:
    """0, or 1 with reasons on stderr: a measure failed, a peer is missing, a ratio has fallen.

    `committed`: the figures to compare with, if any; `left_out`: the (measure, peer) of those that
    were not to be taken.
    """
    bad = [f"{f.what}: {f.note}" for f in figures if f.figure is None]
    bad += [f"{f.what}: the figure is {f.figure}" for f in figures if not _is_number(f.figure)]
    if required:
        bad += [
            f"{f.what}: {f.peer} was not run: {f.note}"
            for f in figures
            if f.peer and f.ratio is None
        ]
    if committed is not None:
        bad += regressions(figures, committed, left_out)
    for line in bad:
        print(f"bench: {line}", file=sys.stderr)
    return 1 if bad else 0


def _is_number(figure: float | None) -> bool:
    return figure is None or math.isfinite(figure)


if __name__ == "__main__":
    sys.exit(main())
