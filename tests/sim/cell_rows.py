"""What a cell's tables hold for its readers, and how that differs from what they should."""

from cell import keys
from cell.keys import parse_entry, parse_flagged, parse_notice, parse_pair
from cell.residents import Homes
from cell.state import homes_now
from cell.versions import band_of
from firehose.codec import is_gone
from idgen.ids import spread, unspread
from tests.sim.cell_oracle import Held
from tests.sim.cell_world import (
    CellWorld,
)


def difference(found: Held, expected: Held) -> str:
    """What differs, table by table."""
    told = []
    for name in Held.__dataclass_fields__:
        have, want = getattr(found, name), getattr(expected, name)
        if isinstance(have, set):
            have, want = dict.fromkeys(have), dict.fromkeys(want)
        told += [f"{name} missing {k}: {v}" for k, v in want.items() if k not in have]
        told += [f"{name} ghost {k}: {v}" for k, v in have.items() if k not in want]
        told += [
            f"{name} {k} is {have[k]}, not {v}"
            for k, v in want.items()
            if k in have and have[k] != v
        ]
    return "\n".join(told)


def found_in(cell: CellWorld) -> Held:
    """The live rows of a cell."""
    homes = homes_now(cell.states().values())
    now = Held()
    rows = {name: cell.tables.scan(name, b"", b"", 1_000_000) for name in keys.TABLES}
    for row in rows[keys.POSTS]:
        place, _ = parse_pair(row.key)
        now.posts[unspread(place), keys.post_id_of(row.key)] = not is_gone(row.value)
    for name in (keys.INBOX, keys.NOTICES):
        for row in rows[name]:
            place = int.from_bytes(row.key[:8], "big")
            if not row.value[0] or homes.band(place) != band_of(row.version):
                continue
            key = (unspread(place), *parse_entry(row.key))
            if name == keys.INBOX:
                now.inbox[key] = row.value[0]
            else:
                notice = parse_notice(row.value)
                now.notices[key] = (notice.kind, (notice.target.author, notice.target.id))
    _read_edges(rows, homes, now)
    for row in rows[keys.LIKES]:
        place, post_id = parse_pair(row.key[:16])
        flagged = parse_flagged(row.value)
        if flagged.live and homes.band(place) == band_of(row.version):
            actor = int.from_bytes(row.key[16:], "big")
            now.likes[unspread(place), post_id, actor] = flagged.number
    for row in rows[keys.MARKS]:
        place = int.from_bytes(row.key[:8], "big")
        if homes.band(place):
            now.marks[unspread(place), row.key[8]] = row.version
    return now


def _read_edges(rows: dict, homes: Homes, now: Held) -> None:  # type: ignore[type-arg]
    both: dict[str, set[tuple[int, int]]] = {keys.FOLLOWING: set(), keys.FOLLOWERS: set()}
    for name, found in both.items():
        for row in rows[name]:
            place, other = parse_pair(row.key)
            pair = (unspread(place), other)
            if name == keys.FOLLOWERS:
                pair = pair[::-1]
            live = parse_flagged(row.value).live
            if live and homes.band(spread(pair[0])) == band_of(row.version):
                found.add(pair)
    assert both[keys.FOLLOWING] == both[keys.FOLLOWERS]
    now.edges = both[keys.FOLLOWING]
    for row in rows[keys.FANS]:
        place, follower = parse_pair(row.key)
        flagged = parse_flagged(row.value)
        if flagged.live and homes.band(place) == band_of(row.version):
            now.fans[unspread(place), follower] = flagged.number
