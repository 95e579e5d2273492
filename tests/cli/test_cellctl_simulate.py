"""`cellctl simulate`: what it says, what it draws, and what it says where it cannot."""

import json

import pytest

from ops.simulate import plots
from tests.cli.stand_in import Bench

WORDS = ("simulate", "feeding-frenzy", "--scale", "0.005")


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_the_paper_s_figures_stand_beside_and_what_cannot_be_had_is_said(bench):
    text = bench.done(*WORDS)
    for said in (
        "439/280/298", "440/395/467", "518/498/640", "pure ones cross", "8 to 16", "15 -> 100",
        "WHAT THE PAPER'S TEXT DOES NOT ALLOW TO REPRODUCE", "seed 1",
    ):  # fmt: skip
        assert said in text
    assert text == bench.done(*WORDS, "--seed", "1")
    assert text != bench.done(*WORDS, "--seed", "2")
    assert max(map(len, text.splitlines())) <= 100


def test_json_has_the_same(bench):
    found = json.loads(bench.done(*WORDS, "--json"))
    assert set(found) == {
        "seed", "scale", "producers", "consumers", "pairs", "mean_ratio", "thresholds", "variants",
        "flashes", "paper", "not_reproduced",
    }  # fmt: skip
    ranked, shuffled = found["variants"]
    assert (ranked["event_rates"], shuffled["event_rates"]) == ("ranked", "shuffled")
    costs = shuffled["priced"]["theorem"]["costs"]
    assert [each["ratio"] for each in costs] == [4, 8, 16, 24]
    assert set(costs[0]) == {
        "ratio", "push_all", "hybrid", "push_none", "per_reader", "gain", "order",
    }  # fmt: skip
    assert found["paper"]["costs"]["16"] == [440, 395, 467]


def test_a_scale_of_nobody_is_a_usage_error(bench):
    ended = bench.run("simulate", "feeding-frenzy", "--scale", "0.0001")
    assert ended.exit_code == 2


def test_without_matplotlib_a_sentence_says_so(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    ended = bench.run(*WORDS, "--plots", str(tmp_path / "figures"))
    assert ended.exit_code == 5
    assert "matplotlib is not installed" in ended.stderr
    assert not (tmp_path / "figures").exists()


@pytest.mark.slow
def test_figures_are_drawn_the_same_twice(bench, tmp_path):
    pytest.importorskip("matplotlib")
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        bench.done(*WORDS, "--plots", str(folder))
    drawn = sorted(path.name for path in folders[0].iterdir())
    assert {"costs-ranked.svg", "costs-shuffled.png", "flash.svg", "gains.svg"} <= set(drawn)
    for name in drawn:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
