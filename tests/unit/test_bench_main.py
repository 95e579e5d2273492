"""A whole run of benches: what fails is told, and what the exit code says."""

import math
from pathlib import Path

import msgspec
import pytest

from ops.bench import main as whole
from ops.bench.bench import Bench
from ops.bench.main import MEASURES, QUICK, exit_code, measured
from ops.bench.measure import PRODUCT, Figure, Goal, Measure, Trials, figures_of
from ops.bench.measures import depth
from ops.bench.peers_of_stage import BARE, BARE_PAGES
from ops.bench.report import from_json, regressions, to_json

COMMITTED = Path(__file__).parents[2] / "docs" / "performance.json"

MEASURE = Measure("m", "what", "1/s", higher_is_better=True, goals=(Goal(1.0, "peer"),))


def figures(ours: float, theirs: float | None = 100.0) -> list[Figure]:
    trials = Trials({PRODUCT: [ours]}, {"peer": "not installed"} if theirs is None else {})
    if theirs is not None:
        trials.by_side["peer"] = [theirs]
    return figures_of(MEASURE, trials)


def bench(folder: Path) -> Bench:
    return Bench(quick=True, cache=folder, week_folder=None)


def test_a_measure_that_fails_is_told_and_the_others_are_taken(tmp_path: Path):
    def fails(_: Bench) -> list[Figure]:
        raise RuntimeError("the server is on fire")

    found = measured(bench(tmp_path), [("one", fails), ("two", lambda _: figures(120))])
    assert [f.measure for f in found] == ["one", "m"]
    assert (found[0].figure, found[0].note) == (None, "RuntimeError: the server is on fire")
    assert exit_code(found, None, required=False) == 1


def test_no_measure_is_begun_when_there_is_no_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ops.bench.main.MINUTES_MAX", -1.0)
    (found,) = measured(bench(tmp_path), [("one", lambda _: figures(120))])
    assert found.note == "there was no time left"


def test_a_figure_that_is_no_number_is_a_failure(capsys: pytest.CaptureFixture[str]):
    assert exit_code(figures(math.nan), None, required=False) == 1
    assert "what: the figure is nan" in capsys.readouterr().err


def test_a_missed_goal_is_a_result_and_no_failure():
    (missed,) = figures(50)
    assert missed.met is False
    assert exit_code([missed], None, required=False) == 0


def test_a_peer_that_cannot_run_is_a_failure_only_where_it_is_required(
    capsys: pytest.CaptureFixture[str],
):
    found = figures(120, None)
    assert exit_code(found, None, required=False) == 0
    assert exit_code(found, None, required=True) == 1
    assert "not installed" in capsys.readouterr().err


def test_a_fallen_ratio_is_a_failure(capsys: pytest.CaptureFixture[str]):
    assert exit_code(figures(100), figures(120), required=False) == 0
    assert exit_code(figures(90), figures(120), required=False) == 1
    assert "0.90, it was 1.20" in capsys.readouterr().err


def test_a_run_is_compared_with_the_file_as_it_was_before_it_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    committed = tmp_path / "performance.json"
    committed.write_bytes(to_json(figures(120)))
    monkeypatch.setattr(whole, "measured", lambda *_: figures(90))
    monkeypatch.setattr(whole.machine, "facts", dict)
    monkeypatch.setattr(whole, "draw", lambda *_: [])  # matplotlib is of the extra `bench`
    words = ["--only", "depth", "--out", str(tmp_path), "--against", str(committed)]
    assert whole.main(words) == 1
    assert "0.90, it was 1.20" in capsys.readouterr().err
    assert from_json(committed.read_bytes()) == figures(90)


def test_a_ratio_that_is_gone_is_a_failure(capsys: pytest.CaptureFixture[str]):
    found = figures(120)
    gone = msgspec.structs.replace(found[0], peer="another")
    assert exit_code(found, [*found, gone], required=False) == 1
    assert "against another: it is not measured any more" in capsys.readouterr().err
    assert exit_code(found, [*found, gone], required=False, left_out=[("m", "another")]) == 0


def test_a_measure_without_a_figure_is_told(tmp_path: Path):
    (found,) = measured(bench(tmp_path), [("one", lambda _: [])])
    assert (found.measure, found.figure, found.note) == ("one", None, "it gave no figure")


def test_a_quick_run_misses_no_ratio_of_the_committed_file_but_those_it_does_without():
    """What quick runs give, by their modules: the names are those of docs/performance.json."""
    committed = from_json(COMMITTED.read_bytes())
    given = {("fanout-1000", BARE), ("pages-most", BARE_PAGES), ("depth", depth.PEER)}
    now = [f for f in committed if (f.measure, f.peer) in given]
    assert len(now) == len(given) == len(QUICK)
    assert regressions(now, committed, whole.QUICK_WITHOUT) == []
    assert regressions(now[:1], committed, whole.QUICK_WITHOUT) == []
    for key in whole.QUICK_WITHOUT:
        assert key in {(f.measure, f.peer) for f in committed}


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"{}",
        b"[]",
        b'[{"what": "x"}]',
        b'[{"what": "\xff"}]',
        b'[{"a":' * 20_000,
        to_json(figures(90))[:-9],
        to_json(figures(90, None)),
        to_json(figures(0)),
    ],
)
def test_nothing_is_measured_when_there_is_nothing_to_compare_with(
    data: bytes | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def begun(*_: object) -> list[Figure]:
        raise AssertionError("it measures")

    monkeypatch.setattr(whole, "measured", begun)
    committed = tmp_path / "performance.json"
    if data is not None:
        committed.write_bytes(data)
    assert whole.main(["--quick", "--against", str(committed)]) == 2
    said = capsys.readouterr().err
    assert str(committed) in said
    assert "--against" in said


def test_every_measure_has_a_name_of_its_own_and_says_what_it_is():
    names = [m.NAME for m in MEASURES]
    assert len(set(names)) == len(names)
    assert all((m.__doc__ or "").strip() for m in MEASURES)
    assert set(QUICK) <= set(MEASURES)
