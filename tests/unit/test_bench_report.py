"""Reports of benches: the JSON's shape, the table, and what counts as having fallen."""

import json
import math

import msgspec
import pytest

from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Trials, figures_of
from ops.bench.report import from_json, number, regressions, table, to_json, to_markdown, verdict

FANOUT = Measure(
    "fanout",
    "deliveries, 1,000 followers",
    "1/s",
    higher_is_better=True,
    goals=(Goal(0.85, "bare loop"), Goal(1.5, "java")),
)
SLOW = Measure("page", "a page", "ms", higher_is_better=False, goals=(Goal(10.0),))


def some() -> list[Figure]:
    trials = Trials(
        {PRODUCT: [90.0, 95.0, 99.0], "bare loop": [100.0, 100.0, 100.0]},
        {"java": "PeerMissing: there is no Java here"},
    )
    return [*figures_of(FANOUT, trials), *figures_of(SLOW, Trials({PRODUCT: [12.0]}))]


def with_ratio(ratio: float, better: str = "higher", peer: str = "bare loop") -> Figure:
    return Figure(
        measure="m", what="w", figure=1.0, unit="u", better=better, peer=peer, ratio=ratio
    )


def test_the_json_is_a_list_of_objects_with_the_agreed_names():
    objects = json.loads(to_json(some()))
    assert [list(o)[:8] for o in objects] == [
        ["what", "figure", "unit", "peer", "peer_figure", "ratio", "goal", "met"]
    ] * 3
    assert (
        objects[0]
        | {
            "what": "deliveries, 1,000 followers",
            "figure": 95.0,
            "unit": "1/s",
            "peer": "bare loop",
            "peer_figure": 100.0,
            "ratio": 0.95,
            "goal": ">= 0.85 x",
            "met": True,
            "rounds": 3,
        }
        == objects[0]
    )
    assert objects[0]["spread"]["low"] == 90.0
    assert objects[2]["peer"] is None
    assert objects[2]["peer_figure"] is None


def test_json_can_be_read_again():
    assert from_json(to_json(some())) == some()


def test_other_json_is_refused():
    with pytest.raises(msgspec.ValidationError):
        from_json(b'{"what": "x"}')


def test_goals_are_met_missed_not_run_or_failed():
    assert [verdict(f) for f in some()] == ["met", "NOT RUN", "MISSED"]
    (failed,) = figures_of(FANOUT, Trials(absent={PRODUCT: "it died"}))
    assert verdict(failed) == "FAILED"
    assert verdict(with_ratio(1.0)) == ""


def test_the_table_says_why_a_peer_is_missing():
    text = table(some())
    assert "NOT RUN" in text
    assert "there is no Java here" in text
    assert "MISSED" in text


def test_the_page_has_every_figure_and_where_it_ran():
    page = to_markdown(some(), {"Java": "17.0.1"}, [("a curve", "performance/curve.svg")])
    assert page.count("deliveries, 1,000 followers |") == 2
    assert "| Java | 17.0.1 |" in page
    assert "![a curve](performance/curve.svg)" in page
    assert "there is no Java here" in page


@pytest.mark.parametrize(
    ("before", "now", "better", "fallen"),
    [
        (1.0, 0.81, "higher", False),
        (1.0, 0.79, "higher", True),
        (1.0, 1.5, "higher", False),
        (1.0, 1.24, "lower", False),
        (1.0, 1.26, "lower", True),
        (1.0, 0.5, "lower", False),
    ],
)
def test_a_ratio_worse_by_a_fifth_has_fallen(before: float, now: float, better: str, fallen: bool):
    found = regressions([with_ratio(now, better)], [with_ratio(before, better)])
    assert bool(found) is fallen


def test_only_the_same_measure_and_peer_are_compared():
    found = regressions([with_ratio(0.1, peer="java"), with_ratio(1.0)], [with_ratio(1.0)])
    assert not found
    assert not regressions([with_ratio(0.1)], [])


def test_a_peer_and_a_line_that_are_gone_have_fallen():
    line = msgspec.structs.replace(with_ratio(2.0), measure="m-p50", what="half of them")
    gone = regressions([with_ratio(1.0, peer="java")], [with_ratio(1.0), line])
    assert gone == [
        "w, against bare loop: it is not measured any more, its ratio was 1.00",
        "half of them, against bare loop: it is not measured any more, its ratio was 2.00",
    ]


def test_what_the_run_does_without_has_not_fallen():
    other = msgspec.structs.replace(with_ratio(1.0), measure="m_beside-p50")
    now = [with_ratio(1.0, peer="java")]
    assert not regressions(now, [with_ratio(1.0), other], {("m", "bare loop")})


def test_a_ratio_that_cannot_be_taken_any_more_has_fallen():
    lost = Figure(
        measure="m", what="w", figure=1.0, unit="u", better="higher", peer="bare loop", note="gone"
    )
    (words,) = regressions([lost], [with_ratio(1.0)])
    assert "gone" in words


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_ratio_that_is_no_number_above_nothing_is_told_and_not_reckoned_with(
    ratio: float, better: str
):
    (now,) = regressions([with_ratio(ratio, better)], [with_ratio(1.0, better)])
    assert f"no ratio (it came out as {ratio:g}), it was 1.00" in now
    (before,) = regressions([with_ratio(1.0, better)], [with_ratio(ratio, better)])
    assert "nothing to compare with" in before


def test_numbers_have_three_digits_or_are_whole():
    assert [number(x) for x in (None, 0.01234, 1.5, 99.94, 123.4, 178_000.2)] == [
        "-", "0.0123", "1.5", "99.9", "123", "178,000",
    ]  # fmt: skip
