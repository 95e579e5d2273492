"""`cellctl plan`: what it says, where its figures are from, and what it refuses."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ops.cellctl import figures_file
from tests.cli.stand_in import Bench
from tests.unit.planner_figures import figures, line, performance


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def figures_json(tmp_path):
    path = tmp_path / "performance.json"
    path.write_bytes(performance())
    return str(path)


def document(bench, figures_json, *words):
    return json.loads(bench.done("plan", "--figures", figures_json, *words, "--json"))


def test_the_design_s_plan_shows_formulas_and_where_its_numbers_do_not_fit(bench, figures_json):
    text = bench.done("plan", "--load", "design", "--figures", figures_json)
    for said in (
        "deliveries, at peak                   1 M/s",
        "= 3,322 posts/s x 301 readers / 9 cells",
        "a machine: 100,000/s (fanout-1000) / 2 cores x 16 cores x (1 - 50 %)",
        "287 M posts/day x 365 d x 174 B x 3 copies, in every cell",
        "x (9 cells + 3 copies - 1)",
        "2.07 TB/day, where the design says 2.7 TB/day",
    ):
        assert said in text
    first, _, _ = text.partition("WHAT BREAKS FIRST, however many machines")
    assert "a cell: disk" in first.partition("WHAT BREAKS FIRST")[2]


@pytest.mark.parametrize(
    ("views_per_s", "said"),
    [
        # The bench had two routers for 8,000 pages a second; half of what they do stays free.
        (128_000, "listen.routers 64; "),
        (128_001, "listen.routers 33 on each of 2 machines; "),
        (8e9, "listen.routers 64 on each of 62,500 machines; "),
    ],
)
def test_no_setting_is_told_beyond_what_it_allows(bench, figures_json, views_per_s, said):
    views = f"{views_per_s * 86_400:.0f}"
    words = ("--peak", "1", "--views-per-day", views, "--kept", "100%")
    assert said in bench.done("plan", "--figures", figures_json, *words)


def test_a_cell_s_dashboards_are_told_by_machine_as_well(bench, figures_json):
    words = ("--peak", "1", "--views-per-day", f"{129_000 * 86_400}", "--kept", "100%")
    text = bench.done("plan", "--figures", figures_json, *words)
    assert "listen.dashboards 33 on each of 2 machines in each cell" in text


def test_json_has_the_same(bench, figures_json):
    found = document(bench, figures_json, "--load", "design")
    assert set(found) == {
        "inputs", "measured", "assumptions", "left_out", "now", "then", "breaks_first", "limits",
        "notes",
    }  # fmt: skip
    deliveries = found["now"]["resources"]["cell"][0]
    assert set(deliveries) == {
        "name", "kind", "demand", "unit", "capacity", "formula", "machines",
    }  # fmt: skip
    assert deliveries["demand"] == pytest.approx(1e6 / 9)
    assert found["now"]["cells"] == 9
    machines = found["now"]["machines"]
    assert machines["all"] == 9 * machines["cell"] + machines["firehose"] + machines["small"]
    assert found["limits"][0] == found["breaks_first"]
    assert found["measured"]["deliveries_per_s"]["measure"] == "fanout-1000"


EXACT = ("--users", "1M", "--posts-per-day", "1M", "--fan-out", "1", "--inbox-days", "1",
         "--posts-days", "8", "--post-bytes", "121", "--firehose-days", "1", "--disk", "1G",
         "--disk-full", "100%", "--cells", "1")  # fmt: skip
"""1 M x 2 entries x 16 B and 8 M posts of 121 B are 1 GB, in each of three copies."""


@pytest.mark.parametrize(("growth", "when"), [("50%", "now just enough"), ("0%", "not at this")])
def test_machines_that_are_just_enough_are_not_passed(bench, figures_json, growth, when):
    words = (*EXACT, "--growth", growth)
    found = document(bench, figures_json, *words)["limits"]
    (disk,) = [each for each in found if each["name"] == "a cell: disk"]
    assert disk["factor"] == 1
    text = bench.done("plan", "--figures", figures_json, *words)
    assert "passed already" not in text
    assert "not enough" not in text
    assert f"x 1.00      {when}" in text


def test_what_is_passed_is_named_with_the_machines(bench, figures_json):
    text = bench.done("plan", "--figures", figures_json, "--deliver-within", "1")
    assert "passed already" in text
    assert "not enough, see below, for: the largest author's post within 1 s" in text


def test_options_override_the_preset_and_say_what_is_planned(bench, figures_json):
    found = document(
        bench, figures_json, "--load", "design", "--users", "2M", "--posts-per-day", "1.5M",
        "--cells", "3", "--disk", "1Ti", "--growth", "-20%", "--years", "3", "--kept", "25%",
    )  # fmt: skip
    load = found["inputs"]["load"]
    assert (load["users"], load["posts_per_day"]) == (2e6, 1.5e6)
    assert found["inputs"]["machine"]["disk"] == 1 << 40
    assert found["inputs"]["cells"] == 3
    assert found["now"]["load"]["kept_pages"] == 0.25
    assert found["then"]["load"]["users"] == pytest.approx(2e6 * 0.8**3)
    assert found["then"]["cells"] == 3
    assert found["breaks_first"]["years"] in (None, 0.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--users", "0"], "--users"),
        (["--users", "-5"], "--users"),
        (["--users", "many"], "write it as 1500, 1.5k, 45M"),
        (["--users", "1e999"], "--users"),
        (["--posts-per-day", "nan"], "--posts-per-day"),
        (["--views-per-day", "0"], "--views-per-day"),
        (["--fan-out", "0"], "--fan-out"),
        (["--users", "100", "--fan-out", "200"], "--fan-out: 200 are more than the 100 users"),
        (["--users", "100", "--largest-author", "1k"], "--largest-author"),
        (["--fan-out", "1000", "--largest-author", "10"], "--fan-out: 1000 followers on average"),
        (["--load", "design", "--fan-out", "11", "--largest-author", "10"], "--largest-author"),
        (["--peak", "0.5"], "--peak"),
        (["--growth", "-100%"], "give -99.9% to 10000%"),
        (["--growth", "-150"], "--growth"),
        (["--growth", "10000%", "--years", "50"], "--growth: 10,000 % a year for 50 years"),
        (["--growth", "-99.9%", "--years", "4"], "give less, or fewer --years"),
        (["--growth", "fast"], "write it as 50%"),
        (["--years", "-1"], "--years"),
        (["--headroom", "100%"], "--headroom"),
        (["--disk-full", "0"], "--disk-full"),
        (["--memory", "2G"], "--memory: give more than 8 GB"),
        (["--replication", "0"], "--replication"),
        (["--cells", "0"], "--cells"),
        (["--cells", "2", "--cell-users", "1M"], "give one of them"),
        (["--load", "mine"], "--load"),
    ],
)
def test_bad_input_is_refused_by_option_with_a_remedy(bench, figures_json, words, said):
    result = bench.run("plan", "--figures", figures_json, *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_id_servers_are_counted_with_the_small_machines(bench, figures_json):
    words = ("--figures", figures_json, "--posts-per-day", "1T", "--growth", "0%")
    text = bench.done("plan", *words)
    assert re.search(r"registry, id servers +2,315 +2,315\n", text)


@pytest.mark.parametrize("preset", ["site", "design"])
def test_few_users_alone_are_a_load_too(bench, figures_json, preset):
    found = document(bench, figures_json, "--load", preset, "--users", "10")
    assert found["inputs"]["load"]["fan_out"] == 10


@pytest.mark.parametrize(("growth", "years"), [("40%", "40"), ("-99.9%", "1.9"), ("10000%", "2.9")])
def test_no_number_of_a_plan_is_longer_than_its_column(bench, figures_json, growth, years):
    words = ("--figures", figures_json, "--growth", growth, "--years", years)
    text = bench.done("plan", *words)
    assert max(len(number) for number in re.findall(r"[\d,.]+", text)) <= len("1,234,567,890,123")


def test_a_missing_figure_is_a_precondition_with_a_remedy(bench, tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes(performance([each for each in figures() if each.measure != "size"]))
    result = bench.run("plan", "--figures", str(path))
    assert result.exit_code == 5
    assert "there is no figure 'size'" in result.stderr
    assert "make bench" in result.stderr


def test_a_figure_in_another_unit_is_a_precondition_with_a_remedy(bench, tmp_path):
    path = tmp_path / "some.json"
    others = [each for each in figures() if each.measure != "size"]
    path.write_bytes(performance([*others, line("size", 0.0083, unit="KiB")]))
    result = bench.run("plan", "--figures", str(path))
    assert result.exit_code == 5
    assert f"{path}: the figure 'size' is in 'KiB' and not in 'bytes'" in result.stderr
    assert "make bench" in result.stderr


def test_a_file_that_is_not_there_or_something_else_is_told(bench, tmp_path):
    result = bench.run("plan", "--figures", str(tmp_path / "none.json"))
    assert result.exit_code == 3
    assert "make bench" in result.stderr
    other = tmp_path / "other.json"
    other.write_text("{}")
    result = bench.run("plan", "--figures", str(other))
    assert result.exit_code == 2
    assert "is no performance.json" in result.stderr


@pytest.mark.parametrize("path", ["/proc/self/mem", "/dev/zero"])
def test_a_file_that_cannot_be_read_whole_is_named(bench, path):
    result = bench.run("plan", "--figures", path)
    assert result.exit_code == 2
    assert f"--figures: {path} " in result.stderr
    assert "make bench" in result.stderr


def test_the_figures_are_those_of_the_package_else_of_the_checkout(bench, tmp_path, monkeypatch):
    installed, checkout = tmp_path / "installed.json", tmp_path / "checkout.json"
    monkeypatch.setattr(figures_file, "INSTALLED", installed)
    monkeypatch.setattr(figures_file, "CHECKOUT", checkout)
    result = bench.run("plan")
    assert result.exit_code == 5
    assert "make bench" in result.stderr
    checkout.write_bytes(performance())
    bench.done("plan")
    installed.write_text("broken")
    assert "installed.json" in bench.run("plan").stderr


def test_a_plan_imports_no_bench_and_no_vendor():
    code = "import sys; import ops.cellctl.plan; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"matplotlib", "confluent_kafka", "kazoo", "thriftpy2", "redis", "happybase"}
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not heavy & loaded
    assert "ops.bench" not in done.stdout.split()


def test_the_folders_are_those_of_the_wheel_and_of_the_checkout():
    root = Path(__file__).resolve().parents[2]
    assert root / "ops" / "data" / "performance.json" == figures_file.INSTALLED
    assert root / "docs" / "performance.json" == figures_file.CHECKOUT
