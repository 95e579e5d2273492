"""Two cells of the embedded kind with readers who follow authors, for tests of checks.

Workers apply a batch when they are told to; faults are planted in the tables.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cell.dashboard import Context, NewFollow
from cell.ingest import IngestSettings
from cell.stores import CellStores
from cell.tables import Tables
from firehose.event import Draft
from idgen.ids import spread
from tests.sim.move_world import MoveWorld

CTX = Context(10_000)
AUTHORS, READERS = (1, 2), (11, 12, 4, 10)
"""Of both the first half is homed in cell b, the other in cell a."""


class CheckedWorld:
    """Readers who follow authors, all of them homed in cell a."""

    def __init__(self, folder: Path) -> None:
        self.moves = MoveWorld(folder, IngestSettings(batch_events=50, poll_ms=0))
        self.posts = {author: [self.publish(author) for _ in range(3)] for author in AUTHORS}
        for reader in READERS:
            for author in AUTHORS:
                self.follow(reader, author)
        self.moves.settle()

    def publish(self, author: int) -> int:
        return self.moves.router.publish(CTX, author, Draft(body="text"), None).id

    def follow(self, reader: int, author: int) -> None:
        self.moves.router.follow(CTX, NewFollow(reader, author, None, 100))

    def home_of(self, reader: int) -> CellStores:
        slices = self.moves.routes.slices()
        return self.moves.cells[slices.at(spread(reader)).cell].stores

    def work(self, _seconds: float = 0) -> None:
        self.moves.tick()
        for cell in self.moves.cells.values():
            cell.work()

    def interrupted(
        self, name: str, every: int, busy: Callable[[], object], table: str = ""
    ) -> CellStores:
        """A cell in whose reading `busy` comes, before every so many-th call (for a table)."""
        stores = self.moves.cells[name].stores
        tables = Interrupted(stores.tables, every, busy, table)
        return replace(stores, tables=tables)  # type: ignore[arg-type]


class Interrupted:
    """Tables of a cell on which something happens before every so many-th call (for a table)."""

    def __init__(
        self, tables: Tables, every: int, busy: Callable[[], object], table: str = ""
    ) -> None:
        self._tables = tables
        self._table = table
        self._every = every
        self._busy = busy
        self._reads = 0

    def __getattr__(self, name: str) -> object:
        verb = getattr(self._tables, name)

        def call(*arguments: object, **options: object) -> object:
            self._reads += self._table in ("", *arguments[:1])
            if self._reads and self._reads % self._every == 0:
                self._busy()
            return verb(*arguments, **options)

        return call


def drop(tables: Tables, table: str, key: bytes) -> None:
    (row,) = tables.get(table, [key])
    assert row is not None
    tables.sweep(table, [(key, row.version)])
