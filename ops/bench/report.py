"""What a run has found: a table for the terminal, performance.json, performance.md; no I/O.

performance.json is a list of objects, one for each figure beside one peer (or alone): what, figure,
unit, peer, peer_figure, ratio, goal, met; and measure (a short name), better, the spreads, rounds,
note. Absent values are null.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import msgspec

from ops.bench.measure import Figure, Spread

REGRESSION = 0.20
"""By how much a ratio may be worse than the committed one before it counts as fallen."""

_WHAT_WIDTH = 58


def to_json(figures: Sequence[Figure]) -> bytes:
    """performance.json: one object a line's worth of indentation, ending in a newline."""
    objects = [
        {
            **_null_for_empty(msgspec.to_builtins(figure)),
            # The names that everybody looks for come first.
        }
        for figure in figures
    ]
    first = ("what", "figure", "unit", "peer", "peer_figure", "ratio", "goal", "met")
    ordered = [
        {name: o[name] for name in (*first, *(k for k in o if k not in first))} for o in objects
    ]
    return msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n"


def from_json(data: bytes) -> list[Figure]:
    """The inverse of `to_json`. Raises ValueError for something else (msgspec.ValidationError where
    it is JSON at all), and RecursionError for what is nested without end.
    """
    objects = msgspec.json.decode(data, type=list[dict[str, object]])
    kept = [
        {name: value for name, value in o.items() if value is not None or name == "figure"}
        for o in objects
    ]
    return msgspec.convert(kept, type=list[Figure])


def _null_for_empty(values: dict[str, object]) -> dict[str, object]:
    return {name: None if value == "" else value for name, value in values.items()}


def regressions(
    now: Sequence[Figure],
    committed: Sequence[Figure],
    left_out: Collection[tuple[str, str]] = (),
) -> list[str]:
    """What has become worse by more than REGRESSION, in words; only ratios are compared.

    Figures of two machines, or of one on two days, say little; ratios taken within a run do. A
    ratio that was there and cannot be taken any more counts as well, and one that is gone with its
    peer or its line, where others of the same measure were taken. `left_out`: the (measure, peer)
    that this run does without.
    """
    taken = {(figure.measure, figure.peer): figure for figure in now}
    ran = {_module(figure) for figure in now}
    found = []
    for known in committed:
        key = (known.measure, known.peer)
        if known.ratio is None or _module(known) not in ran:
            continue
        if key in taken:
            words = fallen(taken[key], known)
        elif key in left_out:
            words = None
        else:
            words = f"{about(known)}: it is not measured any more, its ratio was {known.ratio:.2f}"
        found += [] if words is None else [words]
    return found


def _module(figure: Figure) -> str:
    """The NAME of the measure that a line is of: what stands before the first hyphen."""
    return figure.measure.partition("-")[0]


def comparable(ratio: float | None) -> bool:
    """Whether a ratio says anything: it is there, and a number above nothing."""
    return ratio is not None and math.isfinite(ratio) and ratio > 0


def fallen(figure: Figure, known: Figure) -> str | None:
    """By how much a ratio is worse than the `known` one, in words; None: by REGRESSION at most."""
    then = f"it was {known.ratio:.2f}" if known.ratio is not None else "there was none"
    if figure.ratio is None or not comparable(figure.ratio):
        why = figure.note if figure.ratio is None else f"it came out as {figure.ratio:g}"
        return f"{about(figure)}: no ratio ({why}), {then}"
    if known.ratio is None or not comparable(known.ratio):
        return f"{about(figure)}: the ratio is {figure.ratio:.2f}, {then}: nothing to compare with"
    kept = figure.ratio / known.ratio if figure.better == "higher" else known.ratio / figure.ratio
    if kept >= 1 - REGRESSION:
        return None
    return (
        f"{about(figure)}: the ratio is {figure.ratio:.2f}, {then} "
        f"({figure.better} is better, {1 - kept:.0%} worse)"
    )


def verdict(figure: Figure) -> str:
    """One word for a line: what became of its goal."""
    if figure.figure is None:
        return "FAILED"
    if figure.peer and figure.ratio is None:
        return "NOT RUN"
    if figure.met is None:
        return ""
    return "met" if figure.met else "MISSED"


def table(figures: Sequence[Figure]) -> str:
    """All figures for a terminal; notes below."""
    rows = [("what", "figure", "", "peer", "its", "ratio", "goal", "")]
    rows += [
        (
            f.what,
            number(f.figure),
            f.unit,
            f.peer,
            number(f.peer_figure),
            number(f.ratio),
            f.goal,
            verdict(f),
        )
        for f in figures
    ]
    widths = [min(_WHAT_WIDTH, max(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    right = {1, 4, 5}
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines += [f"* {about(f)}: {f.note}" for f in figures if f.note]
    return "\n".join(lines)


def about(figure: Figure) -> str:
    """What a line is about, with its peer."""
    return f"{figure.what}, against {figure.peer}" if figure.peer else figure.what


def number(value: float | None) -> str:
    """Three digits of a small number, whole large ones; "-" for none."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def spread_text(spread: Spread | None) -> str:
    """Quartiles, and smallest to largest in brackets."""
    if spread is None:
        return "-"
    return (
        f"{number(spread.lower)}..{number(spread.upper)} "
        f"({number(spread.low)}..{number(spread.high)})"
    )


def to_markdown(
    figures: Sequence[Figure], facts: Mapping[str, str], plots: Sequence[tuple[str, str]]
) -> str:
    """docs/performance.md: `facts` are versions and the machine, `plots` (title, file) pairs."""
    head = (
        "| what | figure | quartiles (all) | peer | its | ratio | quartiles (all) | goal | |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    rows = [
        f"| {f.what} | {number(f.figure)} {f.unit} | {spread_text(f.spread)} | {f.peer or '-'} "
        f"| {number(f.peer_figure)} | {number(f.ratio)} | {spread_text(f.ratio_spread)} "
        f"| {f.goal or '-'} | {verdict(f)} |"
        for f in figures
    ]
    notes = [f"- {about(f)}: {f.note}" for f in figures if f.note]
    return "\n".join(
        [
            "# Performance",
            "This page is the output of `make bench`, which writes it anew together with",
            "[performance.json](performance.json). Product and peers ran in turns on one machine",
            "that ran all servers and the load as well. A figure is the median of its rounds, a",
            "ratio the median of the ratios round by round. Figures are those of this machine:",
            "compare ratios. Why a goal is missed, and what the limit is: [limits.md](limits.md).",
            "",
            *head,
            *rows,
            "",
            *(["Notes:", "", *notes, ""] if notes else []),
            "## Where it ran",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in facts.items()),
            "",
            *(line for title, file in plots for line in (f"![{title}]({file})", "")),
            "## What each measure is",
            "The first lines of every module of `ops/bench/measures` say what is measured and how.",
            "",
        ]
    )
