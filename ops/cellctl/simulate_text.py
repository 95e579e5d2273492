"""A simulation as lines for people, and as the document of --json."""

from collections.abc import Iterator
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from ops.planner.amounts import percent
from ops.simulate import paper
from ops.simulate.feeding_frenzy import BASE_RATIO, THRESHOLDS, Costs, Outcome, Priced, Variant
from ops.simulate.workload import EVENTS_PER_H

COLUMNS = 98


def lines(outcome: Outcome) -> Iterator[str]:
    """For people: a table for each experiment, the paper's figures beside."""
    ranked, shuffled = outcome.variants
    yield (
        f"FEEDING FRENZY  {outcome.authors:,} producers, {outcome.readers:,} consumers, "
        f"{outcome.pairs:,} pairs, seed {outcome.seed}"
    )
    yield "  event rates are drawn in two ways: ranked with fan-out, and shuffled"
    yield ""
    yield f"COSTS of push all / hybrid / push none, threshold {paper.THRESHOLD:g}"
    yield _columns(
        "ratio", "paper", "ranked, fitted", "shuffled, fitted", "ranked, H / L", "shuffled"
    )
    tables = [_priced(v, name).costs for name in ("fitted", "theorem") for v in outcome.variants]
    for row in zip(*tables, strict=True):
        yield _cost_row(row, outcome.authors * EVENTS_PER_H)
    yield "  fitted: an event's row, a push and a read, at prices fitted to the paper's pure costs"
    yield "  H / L: pulls for each event, a push counting as three; nothing else counted"
    yield ""
    yield "ORDER, the cheapest first"
    yield f"  {'ratio':>5}  {'paper':<20}{'ranked, fitted':<20}{'ranked, H / L':<20}shuffled, H / L"
    for i, cost in enumerate(_priced(ranked, "fitted").costs):
        yield _order_row(outcome, i, cost.ratio)
    yield ""
    yield f"{'':<34}{'paper':>10}{'ranked':>10}{'shuffled':>10}"
    yield from _figures(ranked, shuffled)
    yield ""
    yield f"DASHCELL'S RULE, per reader, over the hybrid's cost per pair ({paper.THRESHOLD:g})"
    for name in ("fitted", "theorem"):
        for variant in outcome.variants:
            costs = _priced(variant, name).costs
            said = "  ".join(f"{c.ratio}: {c.per_reader / c.hybrid:.2f}" for c in costs)
            yield f"  {_how(variant) + ', ' + _prices(name):<21}{said}"
    yield ""
    yield from _flash(outcome)
    yield ""
    yield "WHAT THE PAPER'S TEXT DOES NOT ALLOW TO REPRODUCE"
    for note in paper.NOT_REPRODUCED:
        yield from wrap(note, COLUMNS, initial_indent="  ", subsequent_indent="    ")


def _priced(variant: Variant, name: str) -> Priced:
    return variant.priced[name]


def _how(variant: Variant) -> str:
    return "ranked" if variant.ranked else "shuffled"


def _prices(name: str) -> str:
    return "fitted" if name == "fitted" else "H / L = 3"


def _cost_row(row: tuple[Costs, ...], events: float) -> str:
    ratio = row[0].ratio
    published = paper.COSTS.get(ratio)
    said = "/".join(f"{cost:.0f}" for cost in published) if published else "-"
    fitted = [f"{c.push_all:.0f}/{c.hybrid:.0f}/{c.push_none:.0f}" for c in row[:2]]
    counted = [
        "/".join(f"{cost / events:.3g}" for cost in (c.push_all, c.hybrid, c.push_none))
        for c in row[2:]
    ]
    return _columns(str(ratio), said, *fitted, *counted)


def _columns(*said: str) -> str:
    widths = (7, 15, 16, 18, 18, 18)
    return "".join(each.rjust(width) for each, width in zip(said, widths, strict=True))


def _order_row(outcome: Outcome, i: int, ratio: int) -> str:
    ranked, shuffled = outcome.variants
    fitted, counted = (_priced(ranked, name).costs[i].order for name in ("fitted", "theorem"))
    last = _priced(shuffled, "theorem").costs[i].order
    published = paper.COSTS.get(ratio)
    said = Costs(ratio, *published, per_reader=0.0).order if published else "-"
    return f"  {ratio:>5}  {said:<20}{fitted:<20}{counted:<20}{last}"


def _figures(ranked: Variant, shuffled: Variant) -> Iterator[str]:
    both = (ranked, shuffled)
    for name in ("fitted", "theorem"):
        a, b = (f"{_priced(v, name).crossing:.1f}" for v in both)
        yield f"  {'pure ones cross, ' + _prices(name):<32}{'8 to 16':>10}{a:>10}{b:>10}"
    for name in ("fitted", "theorem"):
        a, b = (f"{_priced(v, name).best_threshold(BASE_RATIO):g}" for v in both)
        yield f"  {'best threshold, ' + _prices(name):<32}{paper.THRESHOLD:>10g}{a:>10}{b:>10}"
    for threshold, share in paper.FULL.items():
        a, b = (percent(v.full[threshold]) for v in both)
        what = f"fully pushed at threshold {threshold}"
        yield f"  {what:<32}{percent(share):>10}{a:>10}{b:>10}"
    for skew, gain in paper.GAINS.items():
        a, b = (percent(v.gains[skew]) for v in both)
        yield f"  {f'gain of the hybrid, skew {skew}':<32}{percent(gain):>10}{a:>10}{b:>10}"


def _flash(outcome: Outcome) -> Iterator[str]:
    yield (
        f"FLASH  {outcome.flashes[0].authors} quiet producers speed up; shuffled, fitted, "
        f"ratio {BASE_RATIO}; over the cost before"
    )
    heads = f"{'followers':>10}{'faster by':>11}{'fan-out':>12}{'static':>8}{'adapting':>10}"
    yield f"  {'':<32}{heads}"
    static, adapted = f"{paper.FLASH_STATIC:.2f}", f"{paper.FLASH_ADAPTED:.2f}"
    yield f"  {'paper':<32}{'-':>10}{'-':>11}{'15 -> 100':>12}{static:>8}{adapted:>10}"
    for each in outcome.flashes:
        fan_out = f"{each.fan_out[0]:.0f} -> {each.fan_out[1]:.0f}"
        yield (
            f"  {each.chosen:<32}{each.followers:>10.0f}{each.speed_up:>11,.0f}{fan_out:>12}"
            f"{each.static[-1]:>8.2f}{each.settled:>10.2f}"
        )


def document(outcome: Outcome) -> dict[str, Any]:
    """The same for programs; shares and gains are parts of one, keys of objects are text."""
    return {
        "seed": outcome.seed,
        "scale": outcome.scale,
        "producers": outcome.authors,
        "consumers": outcome.readers,
        "pairs": outcome.pairs,
        "mean_ratio": outcome.mean_ratio,
        "thresholds": THRESHOLDS,
        "variants": [_variant(variant) for variant in outcome.variants],
        "flashes": [asdict(flash) for flash in outcome.flashes],
        "paper": {
            "costs": {str(ratio): costs for ratio, costs in paper.COSTS.items()},
            "threshold": paper.THRESHOLD,
            "gains": {str(skew): gain for skew, gain in paper.GAINS.items()},
            "full": {str(threshold): share for threshold, share in paper.FULL.items()},
            "flash": {"static": paper.FLASH_STATIC, "adapting": paper.FLASH_ADAPTED},
        },
        "not_reproduced": paper.NOT_REPRODUCED,
    }


def _variant(variant: Variant) -> dict[str, Any]:
    return {
        "event_rates": "ranked" if variant.ranked else "shuffled",
        "fully_pushed": {str(threshold): share for threshold, share in variant.full.items()},
        "gains": {str(skew): gain for skew, gain in variant.gains.items()},
        "priced": {
            name: {
                "prices": asdict(each.prices),
                "costs": [{**asdict(c), "gain": c.gain, "order": c.order} for c in each.costs],
                "hybrid_by_threshold": {str(r): row for r, row in each.thresholds.items()},
                "best_threshold": {str(r): each.best_threshold(r) for r in each.thresholds},
                "crossing": each.crossing,
            }
            for name, each in variant.priced.items()
        },
    }
