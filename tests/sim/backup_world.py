"""Lives of a platform that is backed up while it goes on, loses a cell, and gets it back.

What a cell holds is compared with what it held before it was lost, row by row with versions.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cell import keys
from cell.backup import Taken, Wish
from cell.backup_files import Manifest
from cell.commands import Switched
from cell.dashboard import Context, NewFollow, PageQuery
from cell.ingest import IngestSettings
from cell.materialization import Why
from cell.slice_rows import SLICE_TABLES
from cell.state import homes_now
from cell.tables import Row
from cell.versions import at_of, band_of
from firehose.event import Draft, Lane, PostRef
from idgen.ids import spread
from router.backup import take_backup
from router.move_records import Wanted
from router.moves import Refused
from router.restore import Restore, RestorePlan
from router.routes import read_routes
from tests.oracle.compare import difference, line_of
from tests.oracle.model import BOTH
from tests.oracle.operations import (
    NOTICES,
    POSTS,
    Content,
    Followed,
    Liked,
    Marked,
    Published,
    Removed,
    Unfollowed,
    Unliked,
)
from tests.sim.move_world import CELLS, MoveWorld

CTX = Context(10_000)
USERS = 6
LIMIT = 100
WHOLE = Wish()

Rows = dict[tuple[str, bytes], tuple[int, int, bytes]]
"""By table and key: band, the lower part of the version, value."""


TINY = IngestSettings(batch_events=3, giant_rows=2, chunk_rows=2, poll_ms=0)


class Killed(BaseException):
    """The process died."""


class BackupLife:
    """What users do, from a seed; and an operator's backups and restores."""

    def __init__(self, world: MoveWorld, seed: int) -> None:
        self.world = world
        self.rnd = random.Random(seed)
        self.posts: list[Published] = []
        self.events: list[int] = []

    # Users.

    def act(self, times: int = 1) -> None:
        """Some things that users do."""
        for _ in range(times):
            self.rnd.choice(
                (
                    *(self.publish, self.publish, self.follow, self.follow),
                    *(self.unfollow, self.like, self.remove, self.mark),
                )
            )()

    def user(self) -> int:
        return self.rnd.randint(1, USERS)

    def publish(self) -> None:
        author = self.user()
        mentions = (self.user(),) if self.rnd.random() < 0.3 else ()
        receipt = self.world.router.publish(
            CTX, author, Draft(body="text", mentions=mentions), None
        )
        post = Published(receipt.id, author, Content(kind=1, body="text", mentions=mentions))
        self.posts.append(post)
        self._did(post, receipt)

    def follow(self) -> None:
        a, b = self.rnd.sample(range(1, USERS + 1), 2)
        backfill = self.rnd.choice((0, 1, 100))
        receipt = self.world.router.follow(CTX, NewFollow(a, b, None, backfill))
        self._did(Followed(receipt.id, a, b, backfill), receipt)

    def unfollow(self) -> None:
        a, b = self.rnd.sample(range(1, USERS + 1), 2)
        receipt = self.world.router.unfollow(CTX, a, b, None)
        self._did(Unfollowed(receipt.id, a, b), receipt)

    def remove(self) -> None:
        if self.posts:
            post = self.rnd.choice(self.posts)
            receipt = self.world.router.remove_post(CTX, post.author, post.id, None)
            self._did(Removed(receipt.id, post.author, post.id), receipt)

    def like(self) -> None:
        if self.posts:
            post, actor = self.rnd.choice(self.posts), self.user()
            ref = PostRef(post.author, post.id)
            if self.rnd.random() < 0.3:
                receipt = self.world.router.unlike(CTX, actor, ref, None)
                self._did(Unliked(receipt.id, actor, post.author, post.id), receipt)
            else:
                receipt = self.world.router.like(CTX, actor, ref, None)
                self._did(Liked(receipt.id, actor, post.author, post.id), receipt)

    def mark(self) -> None:
        if self.events:
            reader, lane = self.user(), self.rnd.choice((POSTS, NOTICES))
            upto = self.rnd.choice(self.events)
            receipt = self.world.router.mark_read(CTX, reader, Lane(lane), upto)
            self._did(Marked(receipt.id, reader, lane, upto), receipt)

    def _did(self, operation, receipt) -> None:  # type: ignore[no-untyped-def]
        self.events.append(receipt.id)
        self.world.acknowledged(operation, receipt.token)

    def switch(self) -> None:
        """Somebody is pulled from now on in a cell, or pushed."""
        readers = [self.user() for _ in range(self.rnd.randint(0, 2))]
        authors = [self.user()] if self.rnd.random() < 0.5 else []
        pairs = [(self.user(), self.user())] if self.rnd.random() < 0.5 else []
        pull = self.rnd.random() < 0.6
        named = (tuple(readers), tuple(authors), tuple(pairs))
        self.world.tell(self.rnd.choice(CELLS), Switched(pull, Why.PINNED, *named))

    # Operators.

    def go_on(self) -> None:
        """Anything that goes on beside an operator: users, workers, movers, time."""
        for _ in range(self.rnd.randint(0, 3)):
            turn = self.rnd.random()
            if turn < 0.5:
                self.act()
            elif turn < 0.9:
                self.world.cells[self.rnd.choice(CELLS)].work()
            else:
                self.world.tick()

    def move(self) -> None:
        """A reader moves to the other cell, wholly."""
        place = spread(self.user())
        home = read_routes(self.world.registry).slices.at(place).cell
        target = CELLS[1 - CELLS.index(home)]
        self.world.begin(Wanted(place, place, target, 0, 0))
        self.world.settle()
        self.world.finish()
        self.world.routes.refresh()

    def take(
        self,
        cell: str,
        folder: Path,
        tell: Callable[[Taken], None] | None = None,
        wish: Wish = WHOLE,
    ) -> Manifest:
        """Back a cell up while all goes on."""
        return take_backup(
            self.world.registry,
            self.world.seams.cell(cell),
            folder,
            wish,
            "test",
            self.world.clock,
            tell or (lambda _: self.go_on()),
        )

    def restore(self, folder: Path, reach: Callable[[str], None] = lambda _: None) -> Restore:
        world = self.world
        return Restore(
            world.registry,
            world.seams.cell,
            world.seams.checkpoints,
            world.clock,
            folder,
            reach=reach,
        )

    def lose(self, cell: str, folder: Path, *, begins: bool = True) -> None:
        """The cell's tables are gone; its workers may begin anew at empty ones."""
        self.world.cells[cell].member.leave()
        empty(folder / f"cell-{cell}.db")
        if begins:
            self.world.begin_work(cell)
            for _ in range(4):
                self.world.cells[cell].work()
            self.world.cells[cell].member.leave()

    def restored(self, cell: str, folder: Path) -> RestorePlan:
        """Restore a cell, and let it catch up."""
        plan = self.restore(folder).execute()
        self.catch_up(cell, folder)
        return plan

    def catch_up(self, cell: str, folder: Path) -> None:
        self.world.begin_work(cell)

        def pause() -> bool:
            self.world.tick()
            self.world.cells[cell].work()
            return True

        assert self.restore(folder).catch_up(cell, pause)
        self.world.routes.refresh()

    # What is compared.

    def rows(self, cell: str) -> Rows:
        """What exists of a cell: rows of readers in their present band, marks of those homed here,
        and posts."""
        stores = self.world.seams.cell(cell)
        bands = self.bands(cell)
        found: Rows = {}
        for table in keys.TABLES:
            if table in (keys.CELL, keys.COVERAGE):
                continue  # whom a cell pulls is told otherwise where it is restored
            for row in stores.tables.scan(table, b"", b"", 100_000):
                if self._exists(table, row, bands):
                    found[table, row.key] = (band_of(row.version), at_of(row.version), row.value)
        return found

    def bands(self, cell: str) -> Callable[[int], int]:
        return homes_now(self.world.seams.cell(cell).state().read().values()).band

    def _exists(self, table: str, row: Row, bands: Callable[[int], int]) -> bool:
        if table in (keys.POSTS, keys.BY_TIME):
            return True
        if table == keys.FOLLOWERS:
            return bands(spread(keys.parse_pair(row.key)[1])) == band_of(row.version)
        assert table in SLICE_TABLES
        band = bands(keys.place_of(row.key))
        return band > 0 if table == keys.MARKS else band == band_of(row.version)

    def look(self) -> None:
        """Every page is what its cell has applied."""
        self.world.routes.refresh()
        self.world.tick()
        for reader in range(1, USERS + 1):
            page = self.world.page(PageQuery(reader, frozenset(Lane), limit=LIMIT))
            want = self.world.as_of(page.cell).entries(reader, BOTH, set())[:LIMIT]
            got = [line_of(entry) for entry in page.entries]
            assert got == want, (reader, difference(want, got))


def cause(life: BackupLife, folder: Path) -> tuple[str, str]:
    before = life.rows("a")
    with pytest.raises(Refused) as refused:
        life.restore(folder).execute()
    assert life.rows("a") == before
    return refused.value.cause, str(refused.value)


def bandless(rows: Rows) -> dict[tuple[str, bytes], tuple[int, bytes]]:
    """Rows without their bands."""
    return {name: (at, value) for name, (_, at, value) in rows.items()}


def empty(file: Path) -> None:
    """Take all rows of all tables away, as if another file lay there."""
    with closing(sqlite3.connect(file)) as connection:
        for name in list(_tables(connection)):
            connection.execute(f'DELETE FROM "{name}"')
        connection.commit()


def _tables(connection: sqlite3.Connection) -> Iterator[str]:
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        if name.startswith("cell:"):
            yield name
