"""The figures of a simulation, as SVG and PNG."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ops.simulate import paper
from ops.simulate.feeding_frenzy import BASE_RATIO, THRESHOLDS, Outcome

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines by name over x; `dashed` are the paper's."""

    name: str
    title: str
    x: str
    y: str
    solid: Mapping[str, Points]
    dashed: Mapping[str, Points]


def possible() -> bool:
    """Whether matplotlib is there (the extra `bench` brings it)."""
    return find_spec("matplotlib") is not None


def draw(folder: Path, outcome: Outcome) -> list[Path]:
    """Write the figures into `folder` and name them. Raises ImportError without matplotlib."""
    import matplotlib as mpl  # noqa: PLC0415 - of the extra `bench`

    mpl.use("svg")
    # The same figures make the same bytes.
    mpl.rcParams["svg.hashsalt"] = "dashcell"
    folder.mkdir(parents=True, exist_ok=True)
    return [file for drawing in drawings(outcome) for file in _draw(folder, drawing)]


def drawings(outcome: Outcome) -> Iterator[Drawing]:
    """Costs by ratio, costs by threshold, gains by skew, the flash."""
    names = ("push all", "hybrid", "push none")
    published = {
        f"{name} (paper)": [(ratio, each[i]) for ratio, each in paper.COSTS.items()]
        for i, name in enumerate(names)
    }
    for variant in outcome.variants:
        how = "ranked" if variant.ranked else "shuffled"
        fitted = variant.priced["fitted"]
        rows = [(c.ratio, (c.push_all, c.hybrid, c.push_none)) for c in fitted.costs]
        solid = {name: [(r, row[i]) for r, row in rows] for i, name in enumerate(names)}
        yield Drawing(
            f"costs-{how}",
            f"Costs with fitted prices, event rates {how}",
            "queries for each event",
            "cost, in the paper's unit",
            solid,
            published,
        )
        yield Drawing(
            f"thresholds-{how}",
            f"The hybrid's cost by threshold at ratio {BASE_RATIO}, event rates {how}",
            "threshold (queries for each event of a pair, from which it is pushed)",
            "over the lowest",
            {
                name: [
                    (t, cost / min(each.thresholds[BASE_RATIO]))
                    for t, cost in zip(THRESHOLDS, each.thresholds[BASE_RATIO], strict=True)
                ]
                for name, each in variant.priced.items()
            },
            {},
        )
    yield Drawing(
        "gains",
        f"What the hybrid saves of the better pure policy, at ratio {BASE_RATIO}",
        "skew of both rates (Zipf's exponent)",
        "%",
        {
            "ranked" if v.ranked else "shuffled": [(s, 100 * gain) for s, gain in v.gains.items()]
            for v in outcome.variants
        },
        {"paper": [(skew, 100 * gain) for skew, gain in paper.GAINS.items()]},
    )
    yield Drawing(
        "flash",
        "A flash: quiet producers speed up",
        "minutes",
        "cost over the cost before",
        {
            f"{name}, {flash.chosen}": list(zip(flash.minutes, costs, strict=True))
            for flash in outcome.flashes
            for name, costs in (("as it was", flash.static), ("adapting", flash.adapting))
        },
        {},
    )


def _draw(folder: Path, drawing: Drawing) -> Iterator[Path]:
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4))
    for style, lines in (("-", drawing.solid), ("--", drawing.dashed)):
        for name, points in lines.items():
            axes.plot([x for x, _ in points], [y for _, y in points], style, marker="o", label=name)
    axes.set_xlabel(drawing.x)
    axes.set_ylabel(drawing.y)
    axes.set_title(drawing.title, fontsize=10)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    figure.tight_layout()
    for suffix in ("svg", "png"):
        file = folder / f"{drawing.name}.{suffix}"
        dated = {"Date": None} if suffix == "svg" else {}
        figure.savefig(file, metadata=dated)
        yield file
    plt.close(figure)
