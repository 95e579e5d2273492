"""A cell's own dashboard endpoint: the reads of the readers homed here, and every write.

Writes only append to the firehose (`firehose.writes`), so a cell takes them like the router does.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from cell import cursor, keys
from cell.cursor import NEWEST, OLDEST, Place
from cell.dashboard import (
    BATCH_MAX,
    CAP_MAX,
    LIMIT_MAX,
    Build,
    Context,
    Count,
    Follows,
    Home,
    KeptEntries,
    Page,
    PageQuery,
    PostView,
    Topology,
)
from cell.freshness import Freshness
from cell.lane_scan import Range, Reader
from cell.marks import marks_of
from cell.page import Pages, Shown, fitting
from cell.page_cache import PageCache, ReadPage
from cell.posts import Posts, bounded_views
from cell.snapshot import LOOK_MS, Snapshot, Snapshots
from cell.state import CellState
from cell.stores import CellStores
from cell.timeline import timeline, timeline_entries
from cell.versions import band_of, floor_of
from firehose.event import Lane, PostRef
from firehose.position import join, parse_token
from firehose.validation import check_batch, check_ref, check_user
from firehose.writes import Ids, Writes
from idgen.clock import Clock
from idgen.errors import BadRequest, Moved, Unavailable
from idgen.ids import spread

FOLLOWS_MAX = 1_000
TOKENS_MAX = 1_000
PAGE_CACHE_BYTES = 128 * 1024 * 1024
WALK_SHARE = 2
"""A walk ends after half of the time that is left: the rest is for filling the page."""


class CellHandler(Writes):
    """`cell.dashboard.Dashboard` of one cell. Used by any number of threads.

    `homes` tells where a reader is homed, and `topology` all of it: ports over the routes.
    """

    def __init__(
        self,
        stores: CellStores,
        ids: Ids,
        clock: Clock,
        homes: Callable[[int], Home],
        topology: Callable[[], Topology],
        build: Build,
        backfill_default: int = 100,
        page_cache_bytes: int = PAGE_CACHE_BYTES,
    ) -> None:
        super().__init__(stores.firehose, ids, clock, backfill_default)
        self._stores = stores
        self._clock = clock
        self._homes = homes
        self._topology = topology
        self._build = build
        self._posts = Posts(stores.tables, stores.cache)
        self._pages = Pages(stores.tables, self._posts, clock)
        state = CellState(stores.tables, stores.firehose.partitions)
        self.freshness = Freshness(stores.changes, state)
        self.snapshots = Snapshots(state, self.freshness, stores.firehose, clock)
        self.page_cache = PageCache(self.freshness, page_cache_bytes)

    def page(self, ctx: Context, query: PageQuery) -> Page:
        """A page of the reader's dashboard."""
        check_user("reader", query.reader)
        _check_between("limit", query.limit, 1, LIMIT_MAX)
        within = _range(query)
        deadline_ms = self._clock.monotonic_ms() + ctx.deadline_ms
        snapshot = self._including(query.at_least, deadline_ms)
        reader = self._reader(query.reader, snapshot)
        asked = replace(query, at_least=()) if query.at_least else query
        shown = self.page_cache.get(reader, asked, snapshot)
        if shown is None:
            turn = self.page_cache.turn()
            read = self._read_page(reader, asked, within, snapshot, deadline_ms)
            self.page_cache.put(turn, reader, asked, snapshot, read)
            shown = read.shown
        return self._page(shown, snapshot, reader.band)

    def _read_page(
        self, reader: Reader, query: PageQuery, within: Range, asof: Snapshot, deadline_ms: int
    ) -> ReadPage:
        until_ms = deadline_ms - (deadline_ms - self._clock.monotonic_ms()) // WALK_SHARE
        found = self._pages.walk(reader, query, within, asof, until_ms)
        marks = marks_of(self._stores.tables, reader.place)
        entries = self._pages.filled(found, query.reader, query, marks, asof)
        going_on = b""
        if not found.end and found.last is not None:
            going_on = cursor.encode(cursor.DASHBOARD, query.reader, found.last)
        originals = (e.post.original for e in entries if e.post is not None)
        made_of = set(found.stored) | {each.ref for each in originals if each is not None}
        shown = fitting(Shown(entries, going_on, found.end))
        kept = shown._replace(entries=KeptEntries(shown.entries))
        return ReadPage(kept, made_of, found.cut)

    def author_posts(
        self, ctx: Context, author: int, before: bytes, after: bytes, limit: int
    ) -> Page:
        """An author's own posts, newest first; every cell has them all."""
        check_user("author", author)
        _check_between("limit", limit, 1, LIMIT_MAX)
        snapshot = self.snapshots.now()
        found, end = timeline(self._stores.tables, author, before, after, limit)
        entries = timeline_entries(self._posts, found, snapshot)
        going_on = entries[-1].cursor if entries and not end else b""
        shown = fitting(Shown(entries, going_on, end))
        return self._page(shown, snapshot, snapshot.homes.band(spread(author)))

    def posts(self, ctx: Context, refs: Sequence[PostRef]) -> list[PostView]:
        """Posts by address, in the order asked for; one that is not there is shown as removed."""
        check_batch("refs", refs, BATCH_MAX)
        for i, ref in enumerate(refs):
            check_ref(f"refs[{i}]", ref)
        return bounded_views(self._posts, refs, self.snapshots.now())

    def count_newer(self, ctx: Context, reader: int, lane: Lane, cursor: bytes, cap: int) -> Count:
        """How many entries of the lane are newer than a cursor."""
        check_user("reader", reader)
        return self._count(ctx, reader, lane, _place("cursor", cursor, reader), cap)

    def unread(self, ctx: Context, reader: int, lane: Lane, cap: int) -> Count:
        """How many entries of the lane are above its mark."""
        check_user("reader", reader)
        mark = marks_of(self._stores.tables, spread(reader)).get(lane, 0)
        return self._count(ctx, reader, lane, NEWEST._replace(id=mark), cap)

    def following(self, ctx: Context, reader: int, after: int, limit: int) -> Follows:
        """The authors that a reader follows, by their ids."""
        check_user("reader", reader)
        _check_between("limit", limit, 1, FOLLOWS_MAX)
        if after:
            check_user("after", after)
        home = self._reader(reader, self.snapshots.now())
        rows = self._stores.tables.scan(
            keys.FOLLOWING,
            keys.pair_key(home.place, after + 1),
            keys.after_prefix(home.place),
            limit + 1,
            floor=floor_of(home.band),
            skip=keys.GONE,
        )
        shown = rows[:limit]
        authors = [keys.parse_pair(r.key)[1] for r in shown if band_of(r.version) == home.band]
        more = len(rows) > limit
        return Follows(tuple(authors), keys.parse_pair(shown[-1].key)[1] if more else 0)

    def is_following(self, ctx: Context, reader: int, authors: Sequence[int]) -> tuple[int, ...]:
        """Those of `authors` whom the reader follows."""
        check_user("reader", reader)
        check_batch("authors", authors, BATCH_MAX)
        for i, author in enumerate(authors):
            check_user(f"authors[{i}]", author)
        home = self._reader(reader, self.snapshots.now())
        names = [keys.pair_key(home.place, author) for author in authors]
        rows = self._stores.tables.get(keys.FOLLOWING, names, floor_of(home.band))
        return tuple(
            author
            for author, row in zip(authors, rows, strict=True)
            if row is not None
            and band_of(row.version) == home.band
            and keys.parse_flagged(row.value).live
        )

    def route(self, ctx: Context, reader: int) -> Home:
        """Where a reader is homed."""
        check_user("reader", reader)
        return self._homes(reader)

    def topology(self, ctx: Context) -> Topology:
        """All slices and cells."""
        return self._topology()

    def version(self, ctx: Context) -> Build:
        """What answers."""
        return self._build

    def look_after(self, stop: threading.Event) -> None:
        """Look where the cell and the log are, again and again until `stop`, so that pages need not
        and can tell the cell's lag."""
        while not stop.is_set():
            with suppress(Unavailable):  # what was seen grows older, and the lag with it
                self.snapshots.look()
            stop.wait(LOOK_MS / 1000)

    def _including(self, tokens: Sequence[bytes], deadline_ms: int) -> Snapshot:
        if not tokens:
            return self.snapshots.now()
        if len(tokens) > TOKENS_MAX:
            raise BadRequest("at_least", f"at most {TOKENS_MAX} tokens; keep the newest ones")
        partitions = self._stores.firehose.partitions
        need = join((parse_token(t, partitions) for t in tokens), self.snapshots.log)
        return self.snapshots.including(need, deadline_ms)

    def _reader(self, user: int, snapshot: Snapshot) -> Reader:
        """The reader, homed here. Raises Moved(cell, epoch), or Unavailable while arriving."""
        place = spread(user)
        band = snapshot.homes.band(place)
        if not band:
            home = self._homes(user)
            if home.cell != self._stores.name:
                raise Moved(home.cell, home.epoch)
            # It may have arrived since the table was read, which positions do not tell.
            band = self.snapshots.renewed().homes.band(place)
        if not band:
            raise Unavailable("the reader's slice is still arriving in this cell", 500)
        return Reader(user, place, band)

    def _count(self, ctx: Context, user: int, lane: Lane, above: Place, cap: int) -> Count:
        _check_between("cap", cap, 1, CAP_MAX)
        snapshot = self.snapshots.now()
        reader = self._reader(user, snapshot)
        query = PageQuery(user, frozenset((lane,)), limit=cap, hydrate=False)
        until_ms = self._clock.monotonic_ms() + ctx.deadline_ms // WALK_SHARE
        found = self._pages.walk(reader, query, Range(oldest=above), snapshot, until_ms)
        return Count(len(found.entries), capped=not found.end)

    def _page(self, shown: Shown, snapshot: Snapshot, band: int) -> Page:
        return Page(
            entries=shown.entries,
            next_cursor=shown.next_cursor,
            previous_cursor=shown.entries[0].cursor if shown.entries else b"",
            end=shown.end,
            token=self.snapshots.token(snapshot),
            cell=self._stores.name,
            epoch=band,
            lag_ms=self.snapshots.lag_ms(),
        )


def _check_between(field: str, number: int, lowest: int, highest: int) -> None:
    if not lowest <= number <= highest:
        raise BadRequest(field, f"{number} is not between {lowest} and {highest}")


def _place(field: str, given: bytes, reader: int) -> Place:
    return cursor.decode(field, given, cursor.DASHBOARD, reader)


def _range(query: PageQuery) -> Range:
    """The places between a query's cursors."""
    newest = _place("before", query.before, query.reader) if query.before else NEWEST
    oldest = _place("after", query.after, query.reader) if query.after else OLDEST
    return Range(newest, oldest, query.oldest_first)
