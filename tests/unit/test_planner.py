"""Plans for loads, each reckoned by hand from round figures."""

from dataclasses import replace
from pathlib import Path

import pytest

from ops.bench.measures import fanout, giant, memory, pages, size, week
from ops.planner.amounts import amount, count, percent, span
from ops.planner.figures import SOURCES, FigureMissing, FigureUnfit, NoFigures, measured
from ops.planner.limits import limits, years_until
from ops.planner.load import Load, kept_share
from ops.planner.plan import Plan, deciding, make_plan
from ops.planner.presets import Wanted, design, design_notes, site
from ops.planner.resources import Kind, Resource, Setting, machines_by_kind
from tests.unit.planner_figures import KEEPING, MACHINE, MEASURED, figures, line, performance

COMMITTED = Path(__file__).parents[2] / "docs" / "performance.json"
SETTING = Setting(MEASURED, KEEPING, MACHINE)
LOAD = Load(
    users=10e6,
    posts_per_day=8_640_000,  # 100 a second
    fan_out=199,  # 20,000 deliveries a second
    views_per_day=432_000_000,  # 5,000 a second
    peak=2,
    post_bytes=500,
    follows=50,
    active=0.1,
    largest_author=4e6,
)


def plan_of(cells: int) -> Plan:
    return make_plan(SETTING, LOAD, cells, 1)


def lines_of(cells: int = 4, load: Load = LOAD, setting: Setting = SETTING) -> dict[str, Resource]:
    return {each.name: each for each in make_plan(setting, load, cells, 1).resources}


def test_figures_are_found_by_the_names_of_the_measures():
    assert measured(performance()) == MEASURED


def test_the_names_are_those_that_the_bench_gives():
    names = " ".join(SOURCES.values())
    for name in (f"{fanout.NAME}-1000", f"{pages.NAME}-most", f"{pages.NAME}-read",
                 f"{giant.NAME}-warm", size.NAME, week.NAME, memory.NAME):  # fmt: skip
        assert name in names


NAMES = ("fanout-1000", "pages-most", "pages-read", "giant-warm", "week", "size", "memory")


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_that_is_not_there_is_named_with_its_remedy(name):
    others = [each for each in figures() if each.measure != name]
    with pytest.raises(FigureMissing, match=f"'{name}'.*make bench"):
        measured(performance(others))
    failed = line(name, None, count=1_000, note="there was no time left")
    with pytest.raises(FigureMissing, match=f"'{name}' is missing.*no time left.*make bench"):
        measured(performance([*others, failed]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, -1.0, 5e-324, 1e-30, 1e30, 1e300])
def test_a_figure_that_no_machine_has_is_refused_with_what_is_plausible(name, value):
    lines = [each for each in figures() if each.measure != name]
    other = line(name, value, count=1_000, note="a note about something else")
    with pytest.raises(FigureUnfit, match=f"'{name}' says .*plausible: .*make bench") as refused:
        measured(performance([*lines, other]))
    assert f"{value:g} " in str(refused.value)
    assert "something else" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "figure", "count"),
    [("week", 50.0, 10**400), ("week", 50.0, 10**13), ("week", 1e-3, 10**12), ("week", 9e6, 1),
     ("memory", 90.0, 10**400), ("memory", 90.0, 10**10), ("memory", 9e6, 1)],
)  # fmt: skip
def test_a_count_that_makes_no_plausible_figure_is_refused(name, figure, count):
    lines = [each for each in figures() if each.measure != name]
    written = performance([*lines, line(name, figure, count=77_777)])
    with pytest.raises(FigureUnfit, match=f"'{name}'.*make bench"):
        measured(written.replace(b"77777", str(count).encode()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("unit", "said"), [("ns", "in 'ns'"), ("", "without a unit")])
def test_a_figure_in_another_unit_is_refused_with_both_and_a_remedy(name, unit, said):
    lines = [each for each in figures() if each.measure != name]
    other = line(name, 7.0, unit=unit, count=1_000)
    with pytest.raises(FigureUnfit, match=f"'{name}' is {said} and not in .*make bench"):
        measured(performance([*lines, other]))


def test_the_units_are_those_that_the_bench_writes():
    measured(COMMITTED.read_bytes())


def test_a_figure_that_does_not_say_of_how_many_is_no_use():
    others = [each for each in figures() if each.measure != "week"]
    with pytest.raises(FigureMissing, match=r"'week' has no count.*make bench"):
        measured(performance([*others, line("week", 50.0)]))


OTHER_BYTES = (b"", b"{}", b"[1]", b'[{"measure": "size"}]', b"\xff", b'[{"measure": "\xff"}]',
               b'[{"a": ' * 20_000)  # fmt: skip


@pytest.mark.parametrize("data", OTHER_BYTES)
def test_other_bytes_are_no_figures(data):
    with pytest.raises(NoFigures):
        measured(data)


@pytest.mark.parametrize(
    ("name", "demand", "capacity"),
    [
        # A machine of 16 cores, half of it free, is four of the bench's with two.
        ("deliveries", 200 * 200 / 4, 400_000),
        ("posts of everybody", 200, 40_000),
        ("pages", 10_000 / 4, 4 / (0.2 / 8_000 + 0.8 / 2_000)),
        ("inbox", 8_640_000 * 200 / 4 * 365 * 16 * 3, 16e12 * 0.7),
        ("posts of everybody, kept", 8_640_000 * 365 * 500 * 3, 16e12 * 0.7),
        ("follower sets", 2.5e6 * 50 * 200, 120e9),
        ("block cache", 250_000 * 65_536, 120e9),
        ("post cache", 8_640_000 * 500, 120e9),
        ("kept pages", 250_000 * 20 * 500, 120e9),
        ("firehose, kept", 8_640_000 * 500 * 7 * 3, 16e12 * 0.7),
        ("firehose, sent", 200 * 500 * 6, 0.625e9),
        ("ids", 200, 10_000),
    ],
)
def test_each_line_is_what_one_reckons_by_hand(name, demand, capacity):
    resource = lines_of()[name]
    assert kept_share(LOAD) == pytest.approx(0.2)
    assert resource.demand == pytest.approx(demand)
    assert resource.capacity == pytest.approx(capacity)
    assert resource.machines == pytest.approx(demand / capacity)


def test_a_cell_shares_its_machines_and_the_kind_that_takes_most_decides():
    plan = plan_of(4)
    disk = (7.569e12 + 4.7304e12) / 11.2e12
    assert machines_by_kind(plan.cell)[Kind.DISK] == pytest.approx(disk, rel=1e-3)
    assert plan.cell_machines == 3  # as many as copies, where two would do
    assert deciding(plan.cell, plan.cell_machines) == "copies"
    one = plan_of(1)
    assert one.cell_machines == 4
    assert deciding(one.cell, one.cell_machines) == "disk"
    assert one.machines == 4 + 3 + 3


def test_every_cell_holds_all_posts():
    few, many = lines_of(2), lines_of(40)
    for name in ("posts of everybody", "posts of everybody, kept", "post cache"):
        assert few[name].demand == many[name].demand
    assert few["inbox"].demand == pytest.approx(20 * many["inbox"].demand)


def test_cells_follow_the_users_unless_given():
    assert make_plan(SETTING, LOAD, None, 5e6).cells == 2
    assert make_plan(SETTING, LOAD, None, 4e6).cells == 3
    assert make_plan(SETTING, LOAD.times(10), None, 5e6).cells == 20
    assert make_plan(SETTING, LOAD, 7, 5e6).cells == 7


def test_processes_are_as_many_as_the_bench_had_for_such_a_rate():
    processes = plan_of(1).processes
    assert processes.workers == 1  # 0.4 + 0.02 of the bench's, twice for headroom
    assert processes.dashboards == 17  # 10,000 / 2,353, twice; the bench had two
    assert processes.routers == 5  # the bench had two for 8,000
    assert processes.id_servers == 2


def test_each_id_server_has_a_small_machine_and_there_are_no_fewer_than_three():
    for ids_per_s, small in ((200, 3), (30_000, 3), (30_001, 4), (115_741, 12)):
        load = replace(LOAD, posts_per_day=ids_per_s * 43_200, peak=2)
        plan = make_plan(SETTING, load, 1, 1)
        assert plan.small_machines == small
        assert plan.machines == plan.cell_machines + plan.firehose_machines + small


def test_kept_pages_can_be_told():
    told = Setting(MEASURED, KEEPING, MACHINE, kept=1.0)
    assert lines_of(setting=told)["pages"].capacity == pytest.approx(4 * 8_000)


def test_the_design_s_writes_are_two_terabytes_of_keys_a_day():
    load = design(Wanted())
    assert load.deliveries_per_s == pytest.approx(1e6)
    assert load.pages_per_s == pytest.approx(50e3)
    assert load.users == 45e6
    assert load.deliveries_per_day * 24 == pytest.approx(2.0736e12)
    assert load.posts_per_day * load.post_bytes == pytest.approx(50e9)
    notes = "\n".join(design_notes())
    for said in ("2.07 TB/day", "2.7 TB/day", "31 B a row", "1.3 M writes/s", "174 B", "77 days"):
        assert said in notes


def test_a_preset_gives_way_to_what_is_wanted():
    assert design(Wanted(fan_out=99)).posts_per_day == pytest.approx(1e6 * 86_400 / 100)
    assert design(Wanted(posts_per_day=1e6)).post_bytes == pytest.approx(50_000)
    assert site(Wanted(users=50)).fan_out == 50
    assert site(Wanted(users=3e6)).views_per_day == 30e6


@pytest.mark.parametrize("preset", [site, design])
def test_what_is_not_given_fits_what_is(preset):
    few = preset(Wanted(users=10))
    assert (few.fan_out, few.follows, few.largest_author) == (10, 10, 10)
    assert preset(Wanted(largest_author=20)).fan_out == 20
    assert preset(Wanted(users=5e6, fan_out=2e6)).largest_author == 2e6
    assert preset(Wanted(fan_out=1_000, largest_author=10)).fan_out == 1_000


def test_the_largest_author_s_post_is_shared_by_cells():
    (author,) = [
        each for each in limits(SETTING, plan_of(4), 0.5, 10.0) if "largest author" in each.name
    ]
    assert author.factor == pytest.approx(10 / (5.0 * 4 / 4))
    assert not author.machines_help


def test_when_is_by_growth():
    assert years_until(4.0, 1.0) == pytest.approx(2.0)
    assert years_until(0.5, 1.0) == 0.0
    assert years_until(1.0, 1.0) == 0.0
    assert years_until(4.0, 0.0) is None
    assert years_until(1.0, 0.0) is None
    assert years_until(4.0, -0.5) is None


def test_what_shrinks_still_has_on_its_disks_what_came_before():
    assert LOAD.after(2, 0.5).held(365) == 1.0
    assert LOAD.after(2, -0.5).held(365) == pytest.approx(2.0)
    assert LOAD.after(2, -0.5).held(5 * 365) == pytest.approx(4.0)
    setting = replace(SETTING, keeping=replace(KEEPING, inbox_days=5 * 365))
    later = lines_of(load=LOAD.after(2, -0.5), setting=setting)
    assert later["inbox"].demand == pytest.approx(lines_of(setting=setting)["inbox"].demand)


def test_each_line_has_of_what_came_before_as_much_as_it_keeps():
    """After two years of losing nine tenths a year, on disks for a year, a year and a week."""
    now, then = lines_of(), lines_of(load=LOAD.after(2, -0.9))
    for name, held in (("inbox", 10.0), ("posts of everybody, kept", 10.0),
                       ("firehose, kept", 10 ** (7 / 365))):  # fmt: skip
        assert then[name].demand == pytest.approx(now[name].demand / 100 * held)
    assert "x 1.05 (more came before)" in then["firehose, kept"].formula


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [(2.0736e12, "B", "2.07 TB"), (174.0, "B", "174 B"), (65_536, "B", "65.5 kB"),
     (3_322.3, "/s", "3,322/s"), (999_999, "", "1 M"), (0.1735, "", "0.173"),
     (0.0000667, "", "0.000067"), (0.0, "", "0"), (5, "s", "5 s"), (1.26e6, "", "1.26 M")],
)  # fmt: skip
def test_amounts_have_three_digits_and_a_prefix(value, unit, said):
    assert amount(value, unit) == said


@pytest.mark.parametrize(
    ("years", "said"),
    [(1, "1 year"), (2.5, "2.5 years"), (0.5, "6 months"), (1 / 12, "1 month"),
     (0.01, "3.65 days"), (0, "0 days")],
)  # fmt: skip
def test_times_are_in_the_unit_that_suits_them(years, said):
    assert span(years) == said
    assert (percent(0.5), percent(0.0476), percent(100)) == ("50 %", "4.76 %", "10,000 %")
    assert (count(1, "cell"), count(9, "cell")) == ("1 cell", "9 cells")
