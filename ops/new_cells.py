"""Adding a cell: what stands in the way, and the record from which it is brought up."""

from cell import keys
from cell.post_rows import read_posts
from cell.tables import Tables
from idgen.errors import BadRequest, Conflict
from ops.cell_facts import Facts
from ops.given_servers import unreachable
from ops.platform_port import NewCell, NewCellPlan
from router.cells import Bootstrap, CellInfo, CellState, add_cell, groups_of, read_cell, read_cells
from router.history import Happened
from router.moves import Refused
from router.preflight import Blocker, donor_blockers
from router.registry import Registry
from router.slices import PLACES, check_cell_name

SAMPLE_ROWS = 5_000
"""Posts that are read to estimate how many there are."""
BYTES_PER_S = 7_000_000
"""14 million were copied in a second on real servers (`ops.bench.main --only cells`); comparing is
taken to cost as much again."""
SETTLE_S = 30.0
"""What it takes besides: servers start, commands are read, positions are waited for."""


def plan_new_cell(
    registry: Registry, tables_of_donor: Tables | None, facts: Facts, new: NewCell
) -> NewCellPlan:
    """What stands in the way of a cell, and about how much is to be copied.

    `tables_of_donor` None: there is no such cell. Raises BadRequest(cell|sample|endpoint|group).
    """
    _check(new)
    beside = tuple(groups_of(read_cells(registry)).get(new.group, ()))
    found = [_taken(each) for each in read_cells(registry) if each.name == new.name]
    disk_used = facts.disk_used()
    if tables_of_donor is None:
        why = "no active cell can give its posts: see `cellctl list-cells`"
        return NewCellPlan(new, (*found, Blocker("no_donor", why)), beside=beside)
    donor = facts.of(read_cell(registry, new.donor).info)
    found += donor_blockers(donor, disk_used)
    given = [a for a in (new.hbase_thrift1, new.hbase_thrift2, new.redis) if a]
    for address, why in unreachable(given).items():
        found.append(Blocker("unreachable", f"{address} {why}: give addresses of servers that run"))
    posts, size = (0, 0) if donor.lag_s is None else estimated_posts(tables_of_donor)
    seconds = SETTLE_S + size / BYTES_PER_S
    return NewCellPlan(new, tuple(found), posts, size, seconds, beside)


def donor_for(registry: Registry, facts: Facts, asked: str) -> str:
    """The cell to copy posts from: the one asked for, else the first active one in whose way
    nothing stands, else the first active one; empty: none. Raises NotFound for an unknown one."""
    if asked:
        return read_cell(registry, asked).info.name
    able = [i for i in read_cells(registry) if i.state is CellState.ACTIVE]
    fit = [info for info in able if not donor_blockers(facts.of(info), None)]
    return next((info.name for info in (*fit, *able)), "")


def begin_new_cell(registry: Registry, new: NewCell, by: str, now_ms: int) -> CellInfo:
    """Write the cell, which a mover then brings up. Raises Refused when the name is taken."""
    info = CellInfo(
        new.name,
        CellState.PROVISIONING,
        hbase_thrift1=_several(new.hbase_thrift1),
        hbase_thrift2=_several(new.hbase_thrift2),
        redis=new.redis,
        bootstrap=Bootstrap(donor=new.donor, sample=new.sample),
        history=(Happened(now_ms, CellState.PROVISIONING, by),),
        group=new.group,
    )
    try:
        add_cell(registry, info)
    except Conflict as conflict:
        taken = _taken(read_cell(registry, new.name).info)
        raise Refused(taken.cause, taken.why) from conflict
    return info


def estimated_posts(tables: Tables) -> tuple[int, int]:
    """About how many posts a cell holds, and their bytes, by the first of them."""
    rows, size, following = read_posts(tables, b"\0", b"", SAMPLE_ROWS)
    if not following:
        return len(rows), size
    share = (keys.place_of(rows[-1].key) + 1) / PLACES
    return int(len(rows) / share), int(size / share)


def _check(new: NewCell) -> None:
    check_cell_name("cell", new.name)
    if new.group:
        check_cell_name("group", new.group)
    if not 0 < new.sample <= 1:
        raise BadRequest("sample", f"{new.sample} is no share: above 0 and at most 1")
    given = [bool(a) for a in (new.hbase_thrift1, new.hbase_thrift2, new.redis)]
    if any(given) and not all(given):
        raise BadRequest(
            "endpoint", "give hbase-thrift1, hbase-thrift2 and redis, or none to have them started"
        )


def _several(addresses: str) -> tuple[str, ...]:
    return tuple(a.strip() for a in addresses.split(",")) if addresses else ()


def _taken(info: CellInfo) -> Blocker:
    name = info.name
    if info.state is CellState.RETIRED:
        return Blocker(
            "name_taken", f"cell {name} was retired, and its data may be there: take another name"
        )
    return Blocker(
        "name_taken",
        f"there is a cell {name}, which is {info.state}: `cellctl describe-cell {name}`; "
        "take another name for another one",
    )
