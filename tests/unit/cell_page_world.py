"""A cell whose rows a test writes itself, and the dashboard over it."""

from dataclasses import dataclass, field

import msgspec

from cell import keys
from cell.dashboard import Build, Context, EntryKind, Home, Homed, Page, PageQuery, Topology
from cell.handler import CellHandler
from cell.post_cache import PostCache
from cell.post_cache_memory import MemoryPostCache
from cell.residents import Resident
from cell.state import CellState
from cell.stores import CellStores
from cell.tables import Row
from cell.versions import version_of
from firehose.codec import encode, encode_gone
from firehose.dead_letters import DeadLetters
from firehose.event import Draft, Lane, NoticeKind, PostCreated, PostKind, PostRef
from idgen.ids import U64, compose, spread
from tests.sim.cell_world import MemoryLog
from tests.unit.firehose_world import NOW_MS, IdsInARow, ManualClock
from tests.unit.memory_tables import MemoryTables

READER = 7
BAND = 3
CTX = Context(40)


def event_id(n: int) -> int:
    """The n-th id of the test's."""
    return compose(NOW_MS + n, 1, 0)


@dataclass
class PageWorld:
    """Rows of READER, written one by one; `versions` grow with every write."""

    cache: PostCache | None = None
    tables: MemoryTables = field(default_factory=MemoryTables)
    clock: ManualClock = field(default_factory=ManualClock)
    home: Home = field(default_factory=lambda: Home("a", BAND))
    after: tuple[int, ...] = ()
    renewals: int = 0

    def __post_init__(self) -> None:
        self.tables.create(keys.TABLES)
        self.log = MemoryLog(2)
        self.state = CellState(self.tables, 2)
        self.at = 0
        self.set_state(residents=(Resident(0, U64, BAND, 0),))
        stores = CellStores(
            "a",
            self.tables,
            self.cache or MemoryPostCache(1_000, 60_000, self.clock),
            self.log,
            MemoryLog(1),
            MemoryLog(1),
            DeadLetters(MemoryLog(1)),
        )
        self.stores = stores
        self.handler = CellHandler(
            stores,
            IdsInARow(),
            self.clock,
            self,
            Build("0", "dashboard", "a"),
        )

    def homed(self, reader: int) -> Homed:
        """`cell.dashboard.Homes`: everybody is where `home` says, from `after` on."""
        return Homed(self.home.cell, self.home.epoch, self.after)

    def of(self, reader: int) -> Home:
        return self.home

    def topology(self) -> Topology:
        return Topology(())

    def renew(self) -> None:
        self.renewals += 1

    def set_state(self, **changes: object) -> None:
        """Change the state of both partitions, as seen by the next page."""
        for partition in range(2):
            have = self.state.claim([partition])[partition]
            changed = msgspec.structs.replace(have, **changes)
            self.state.advance({partition: self.state.change(partition, have, changed)})
        self.clock.ms += 1_001

    def _put(self, table: str, key: bytes, value: bytes, band: int) -> None:
        self.at += 1
        self.tables.put(table, [Row(key, version_of(band, self.at), value)])

    def post(self, author: int, n: int, **draft: object) -> PostRef:
        """A post's row."""
        event = PostCreated(event_id(n), author, Draft(**draft))  # type: ignore[arg-type]
        self._put(keys.POSTS, keys.post_key(author, event.id), encode(event), 0)
        return PostRef(author, event.id)

    def removed(self, author: int, n: int) -> None:
        """A removed post's row."""
        key = keys.post_key(author, event_id(n))
        self._put(keys.POSTS, key, encode_gone(self.at, ()), 0)

    def entry(
        self, author: int, n: int, kind: PostKind = PostKind.TEXT, *, band: int = BAND
    ) -> None:
        """A row of the inbox with its post."""
        self.post(author, n, kind=kind, body=f"{author}/{n}")
        key = keys.entry_key(spread(READER), event_id(n), author)
        self._put(keys.INBOX, key, bytes((kind,)), band)

    def gone_entry(self, author: int, n: int) -> None:
        """A gone row of the inbox."""
        key = keys.entry_key(spread(READER), event_id(n), author)
        self._put(keys.INBOX, key, keys.GONE, BAND)

    def notice(self, actor: int, n: int, kind: NoticeKind, target: PostRef | None = None) -> None:
        """A row of the notices."""
        key = keys.entry_key(spread(READER), event_id(n), actor)
        self._put(keys.NOTICES, key, keys.pack_notice(kind, target), BAND)

    def gone_notice(self, actor: int, n: int) -> None:
        """A gone row of the notices."""
        key = keys.entry_key(spread(READER), event_id(n), actor)
        self._put(keys.NOTICES, key, keys.GONE_NOTICE, BAND)

    def page(self, **query: object) -> Page:
        """A page of READER."""
        return self.handler.page(CTX, PageQuery(READER, **query))  # type: ignore[arg-type]

    def all(self, **query: object) -> list[tuple[int, Lane, int]]:
        """All entries, page by page, by `next_cursor` alone."""
        found: list[tuple[int, Lane, int]] = []
        turn = "after" if query.get("oldest_first") else "before"
        for _ in range(10_000):
            page = self.page(**query)
            found += [(e.id, e.lane, e.actor) for e in page.entries]
            assert len(page.entries) <= query.get("limit", 20)  # type: ignore[operator]
            assert page.end == (not page.next_cursor)
            if page.end:
                return found
            query[turn] = page.next_cursor
        raise AssertionError("pages without end")


BOTH = frozenset(Lane)
POSTS_ONLY = frozenset((Lane.POSTS,))
__all__ = ["BAND", "BOTH", "CTX", "POSTS_ONLY", "READER", "EntryKind", "PageWorld", "event_id"]
