"""What has to be true of a user who was moved, whatever there is of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cell import keys
from cell.dashboard import Context
from cell.slice_rows import SLICE_TABLES
from cell.state import homes_now
from cell.tables import Row, Tables
from cell.verify_reader import ReaderVerifier
from cell.versions import at_of, band_of, floor_of
from firehose.codec import encode
from firehose.event import Lane, PostCreated
from idgen.errors import Unavailable
from idgen.ids import partition_of, spread
from ops.reader_check import checked_reader
from router.move_records import Wanted
from tests.contract.patience import until
from tests.higgs.driver import DEADLINE_MS, Ids, _send_all, asker, batches, draft_of
from tests.oracle.compare import compare
from tests.oracle.model import Model
from tests.oracle.operations import POSTS, Marked, Operation, Published
from tests.sim.embedded_world import EmbeddedWorld

CTX = Context(DEADLINE_MS)
WAIT_S = 240.0
CHUNK = 5_000
APPENDED_AT_ONCE = 2_000
FOLLOWS_MAX = 1_000

Held = frozenset[tuple[bytes, int, bytes]]
"""Rows as they are in every cell: key, the event that wrote it, value."""


@dataclass
class Told:
    """What was done on a platform, and what it has to look like."""

    world: EmbeddedWorld
    model: Model = field(default_factory=Model)
    ids: Ids = field(default_factory=Ids)
    tokens: list[bytes] = field(default_factory=list)

    def do(self, operations: Sequence[Operation]) -> None:
        """Through the API, one batch after the other; acknowledged when this returns."""
        for batch in batches(operations):
            self.tokens = [_send_all(self.world.client(), batch)[-1].token]
            self.model.apply_all(batch)

    def append(self, posts: Sequence[Published]) -> None:
        """Posts straight to the firehose, as a router appends them."""
        firehose = self.world._platform.seams.firehose()
        for at in range(0, len(posts), APPENDED_AT_ONCE):
            part = posts[at : at + APPENDED_AT_ONCE]
            events = [PostCreated(p.id, p.author, draft_of(p.content)) for p in part]
            partitions = firehose.partitions
            firehose.append([(partition_of(e.author, partitions), encode(e)) for e in events])
            self.model.apply_all(part)

    def settle(self) -> None:
        """Every cell has applied all of it."""
        until("every cell has applied the log", self.world.caught_up, WAIT_S)

    # Moving.

    def home(self, user: int) -> str:
        """The cell that a user is homed in."""
        return self.world.home(spread(user))

    def other(self, user: int) -> str:
        """The other one of the two."""
        here = self.home(user)
        return next(cell for cell in self.world.cells if cell != here)

    def wanted(self, user: int) -> Wanted:
        """A move of a user to the other cell, which lets go of the cell before at once."""
        return Wanted(spread(user), spread(user), self.other(user), user, 0)

    def finish(self, moves: Sequence[int]) -> None:
        """Wait until moves are over; none has come into trouble."""
        desk = self.world.moves()

        def over() -> bool:
            found = [desk.show(move).move for move in moves]
            assert not any(move.trouble for move in found), found
            return all(move.finished for move in found)

        until(f"{len(moves)} moves are over", over, WAIT_S)

    # What a cell holds.

    def held(self, cell: str, user: int) -> dict[str, Held]:
        """What a cell holds of a user, by table, in the user's present band."""
        stores = self.world._platform.seams.cell(cell)
        band = homes_now(stores.state().read().values()).band(spread(user))
        assert band, f"user {user} is not homed in cell {cell}"
        found: dict[str, Held] = {}
        for table in SLICE_TABLES:
            marks = table == keys.MARKS
            rows = list(_rows(stores.tables, table, user, 0 if marks else floor_of(band)))
            assert marks or {band_of(row.version) for row in rows} <= {band}
            found[table] = frozenset((row.key, at_of(row.version), row.value) for row in rows)
        exchanged = [keys.exchanged_pair(key) for key, _, _ in found[keys.FOLLOWING]]
        edges = stores.tables.get(keys.FOLLOWERS, exchanged, floor_of(band))
        found[keys.FOLLOWERS] = frozenset(
            (row.key, at_of(row.version), row.value) for row in edges if row is not None
        )
        return found

    def nothing_held(self, cell: str, user: int, before: dict[str, Held]) -> None:
        """A cell that was left holds nothing of the user, of any band, but marks."""
        tables = self.world._platform.seams.cell(cell).tables
        for table in SLICE_TABLES:
            if table != keys.MARKS:
                assert not list(_rows(tables, table, user, 0)), (cell, user, table)
        for at in range(0, len(before[keys.FOLLOWERS]), CHUNK):
            names = [key for key, _, _ in sorted(before[keys.FOLLOWERS])[at : at + CHUNK]]
            assert tables.get(keys.FOLLOWERS, names) == [None] * len(names), (cell, user)

    # What is right.

    def pages(self, user: int, *, both_ways: bool = True) -> None:
        """Every page of a user to the end, newest first and oldest first, and whom they follow."""
        ask = asker(self.world.client())
        assert compare(self.model, ask, user, at_least=tuple(self.tokens)) == ""
        if both_ways:
            assert compare(self.model, ask, user, oldest_first=True, limit=97) == ""
        assert set(self._following(user)) == self.model.following(user)

    def _following(self, user: int) -> Iterator[int]:
        after = 0
        while True:
            found = self.world.client().following(CTX, user, after, FOLLOWS_MAX)
            yield from found.authors
            after = found.next_after
            if not after:
                return

    def unread(self, user: int) -> None:
        """What is unread is above the mark."""
        count = self.world.client().unread(CTX, user, Lane.POSTS, 1_000)
        assert count.count == min(1_000, self.model.unread(user, POSTS))

    def mark(self, user: int, upto: int) -> None:
        """A user has read the posts up to one."""
        self.do([Marked(self.ids.take(), user, POSTS, upto)])

    def moved(self, user: int, source: str, before: dict[str, Held]) -> None:
        """After a move that is over: all is in the new home, once, and nothing in the other."""
        target = self.other_of(source)
        until("the router knows the new home", lambda: self._served_by(user, target), WAIT_S)
        assert self.held(target, user) == before
        self.nothing_held(source, user, before)
        self.pages(user)
        self.unread(user)
        check = checked_reader(ReaderVerifier(self.world._platform.seams.cell(target)), user)
        assert (check.missing, check.extra) == (frozenset(), frozenset())

    def other_of(self, cell: str) -> str:
        """The other cell."""
        return next(each for each in self.world.cells if each != cell)

    def _served_by(self, user: int, cell: str) -> bool:
        try:
            return self.world.client().route(CTX, user).cell == cell
        except Unavailable:
            return False


def _rows(tables: Tables, table: str, user: int, floor: int) -> Iterator[Row]:
    start, stop = keys.place_bytes(spread(user)), keys.after_prefix(spread(user))
    while True:
        rows = tables.scan(table, start, stop, CHUNK, floor=floor)
        yield from rows
        if len(rows) < CHUNK:
            return
        start = rows[-1].key + b"\0"
