"""Plans of any load: more takes no less, and what breaks first is the first that does."""

from dataclasses import fields, replace

from hypothesis import assume, given
from hypothesis import strategies as st

from ops.planner.figures import Measured
from ops.planner.limits import IDS_PER_S, limits
from ops.planner.load import PARTITIONS, Keeping, Load, Machine
from ops.planner.plan import Plan, make_plan
from ops.planner.resources import Kind, Setting, of_cell, of_firehose, of_ids

WITHIN_S = 5.0


def between(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


loads = st.builds(
    Load,
    users=between(1e3, 1e9),
    posts_per_day=between(1, 1e10),
    fan_out=between(0.1, 1e3),
    views_per_day=between(1, 1e11),
    peak=between(1, 20),
    post_bytes=between(1, 1e5),
    follows=between(0.1, 1e3),
    active=between(0.001, 1),
    largest_author=between(1, 1e8),
)
settings = st.builds(
    Setting,
    measured=st.builds(Measured, **{each.name: between(1, 1e6) for each in fields(Measured)}),
    keeping=st.builds(
        Keeping,
        inbox_days=between(1, 1e4),
        posts_days=between(1, 1e4),
        firehose_days=between(1, 30),
        replication=st.integers(1, 5),
    ),
    machine=st.builds(
        Machine,
        cores=between(1, 256),
        memory=between(9e9, 4e12),
        disk=between(1e11, 1e15),
        network=between(1e7, 1e11),
        disk_full=between(0.1, 1),
        headroom=between(0, 0.9),
        bench_cores=between(1, 64),
    ),
    kept=st.none() | between(0, 1),
)
cells = st.integers(1, 500)
MORE = ("users", "posts_per_day", "fan_out", "post_bytes", "peak", "follows", "active")


def plan_of(setting: Setting, load: Load, count: int) -> Plan:
    return make_plan(setting, load, count, cell_users=1)


@given(settings, loads, cells, st.sampled_from(MORE), between(1, 50))
def test_more_of_anything_takes_no_fewer_machines(
    setting: Setting, load: Load, count: int, what: str, factor: float
) -> None:
    setting = replace(setting, kept=setting.kept or 0.0)
    more = replace(load, **{what: getattr(load, what) * factor})
    before, after = plan_of(setting, load, count), plan_of(setting, more, count)
    assert after.machines >= before.machines
    for a, b in zip(before.resources, after.resources, strict=True):
        assert b.machines >= a.machines


@given(settings, loads, cells)
def test_twice_the_load_takes_twice_the_machines_but_for_rounding(
    setting: Setting, load: Load, count: int
) -> None:
    once, twice = plan_of(setting, load, count), plan_of(setting, load.times(2), count)
    least = setting.keeping.replication
    assert twice.cell_machines <= 2 * once.cell_machines
    assert twice.cell_machines == least or twice.cell_machines >= 2 * once.cell_machines - 1 or (
        once.cell_machines == least
    )
    for a, b in zip(once.resources, twice.resources, strict=True):
        assert abs(b.machines - 2 * a.machines) <= 1e-9 * b.machines


@given(settings, loads, cells)
def test_more_cells_take_no_fewer_machines_since_each_holds_all_posts(
    setting: Setting, load: Load, count: int
) -> None:
    assume(setting.kept is None)
    one, many = plan_of(setting, load, 1), plan_of(setting, load, count)
    assert count * many.cell_machines >= one.cell_machines


@given(settings, loads, cells)
def test_the_machines_are_enough_and_one_fewer_in_each_cell_is_not(
    setting: Setting, load: Load, count: int
) -> None:
    plan = plan_of(setting, load, count)
    assert use(setting, plan, load, with_headroom=True) <= 1 + 1e-9
    if plan.cell_machines > setting.keeping.replication:
        fewer = replace(plan, cell_machines=plan.cell_machines - 1)
        assert use(setting, fewer, load, with_headroom=True) > 1 - 1e-9


@given(settings, loads, cells)
def test_what_breaks_first_is_the_first_when_the_load_has_grown(
    setting: Setting, load: Load, count: int
) -> None:
    """By applying the load anew, just below and just above the factor."""
    plan = plan_of(setting, load, count)
    found = limits(setting, plan, 0.5, WITHIN_S)
    first = found[0].factor
    assert all(first <= other.factor for other in found)
    if 1e-6 < first < 1e9:
        assert broken(setting, plan, load.times(first * 0.999)) == set()
        assert found[0].name in broken(setting, plan, load.times(first * 1.001))
    for limit in found:
        if 1e-6 < limit.factor < 1e9:
            assert limit.name not in broken(setting, plan, load.times(limit.factor * 0.999))
            assert limit.name in broken(setting, plan, load.times(limit.factor * 1.001))


def use(setting: Setting, plan: Plan, load: Load, *, with_headroom: bool) -> float:
    """How much of a cell's machines is used by whatever is used most."""
    machine = setting.machine
    sums = dict.fromkeys((Kind.CORES, Kind.DISK, Kind.MEMORY), 0.0)
    for each in of_cell(setting, load, plan.cells):
        capacity = each.capacity
        if each.kind is Kind.CORES and not with_headroom:
            capacity /= 1 - machine.headroom
        sums[each.kind] += each.demand / capacity / plan.cell_machines
    return max(sums.values())


def broken(setting: Setting, plan: Plan, load: Load) -> set[str]:
    """The limits that `load` passes on the machines of `plan`, reckoned from the load alone."""
    measured, machine = setting.measured, setting.machine
    found: set[str] = set()
    for whose, resources, machines in (
        ("a cell", of_cell(setting, load, plan.cells), plan.cell_machines),
        ("the firehose", of_firehose(setting, load, plan.cells), plan.firehose_machines),
        ("the id servers", of_ids(load), plan.processes.id_servers),
    ):
        for kind in {each.kind for each in resources}:
            used = sum(each.demand / each.capacity for each in resources if each.kind is kind)
            if kind in (Kind.CORES, Kind.NETWORK):
                used *= 1 - machine.headroom
            if used > machines:
                found.add(f"{whose}: {kind}")
    entries = load.posts_per_day * (load.fan_out + 1) / 86_400 * load.peak
    posts = load.posts_per_day / 86_400 * load.peak
    if entries / plan.cells / measured.deliveries_per_s + posts / measured.posts_per_s > PARTITIONS:
        found.add("a cell's ingest: one worker for each partition")
    if posts / measured.posts_per_s > PARTITIONS:
        found.add("ingest of everybody's posts, however many cells")
    copies = plan.cells + setting.keeping.replication - 1
    if posts * load.post_bytes * copies / PARTITIONS > machine.network:
        found.add("the firehose to all cells: one machine for each partition")
    if load.largest_author / plan.cells / 1e6 * measured.million_s > WITHIN_S:
        found.add("the largest author's post within 5 s")
    if posts > IDS_PER_S:
        found.add("ids of all workers")
    return found
