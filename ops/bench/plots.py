"""Plots of a run, as SVG files: what every side did, ratios to goals, and curves."""

from collections.abc import Sequence
from pathlib import Path

from ops.bench.bench import Curve
from ops.bench.measure import PRODUCT, Figure
from ops.bench.report import number


def draw(folder: Path, figures: Sequence[Figure], curves: Sequence[Curve]) -> list[tuple[str, str]]:
    """Write the plots into `folder`; (title, file name) of each.

    Raises ImportError without matplotlib, which the extra `bench` brings.
    """
    import matplotlib as mpl  # noqa: PLC0415 - of the extra `bench`; a quick run does without

    mpl.use("svg")
    # The same figures make the same bytes.
    mpl.rcParams["svg.hashsalt"] = "dashcell"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    compared = [f for f in figures if f.peer_spread is not None and f.spread is not None]
    for name in dict.fromkeys(f.measure for f in compared):
        lines = [f for f in compared if f.measure == name]
        drawn.append((lines[0].what, _bars(folder / f"{name}.svg", lines)))
    drawn += [(curve.title, _curve(folder / curve.file, curve)) for curve in curves]
    return drawn


def _bars(file: Path, lines: Sequence[Figure]) -> str:
    """Medians of all sides of a measure, with whiskers from the smallest to the largest."""
    import matplotlib.pyplot as plt  # noqa: PLC0415

    own = lines[0].spread
    assert own is not None
    names, spreads = [PRODUCT], [own]
    for line in lines:
        if line.peer_spread is not None:
            names.append(line.peer)
            spreads.append(line.peer_spread)
    medians = [s.median for s in spreads]
    whiskers = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.45 * len(names)))
    axes.barh(names, medians, xerr=whiskers, color=["#2f6f8f"] + ["#b9c3c9"] * (len(names) - 1))
    axes.invert_yaxis()
    axes.set_xlabel(lines[0].unit)
    axes.set_title(lines[0].what, fontsize=10)
    for row, median in enumerate(medians):
        axes.annotate(f" {number(median)}", (0, row), va="center", fontsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    return file.name


def _curve(file: Path, curve: Curve) -> str:
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4))
    for name, points in curve.lines.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
    axes.set_xlabel(curve.x)
    axes.set_ylabel(curve.y)
    axes.set_title(curve.title, fontsize=10)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    return file.name
