"""A cell's own dashboard endpoint: the reads of the readers homed here, and every write.

Writes only append to the firehose (`firehose.writes`), so a cell takes them like the router does.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from cell import cursor, keys
from cell.activity import Activity, ActivityRows, Saving
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
    Homed,
    Homes,
    KeptEntries,
    Page,
    PageQuery,
    PostView,
    Topology,
)
from cell.freshness import Freshness
from cell.lane_scan import Range, Reader
from cell.marks import marks_of
from cell.metered_pulling import MeteredPulling
from cell.page import Asked, Pages, Shown, fitting
from cell.page_cache import PageCache, ReadPage
from cell.page_coverage import PageCoverage
from cell.posts import Posts, bounded_views
from cell.pulling import LookUp
from cell.snapshot import LOOK_MS, Snapshot, Snapshots
from cell.stores import CellStores
from cell.timeline import timeline, timeline_entries
from cell.versions import band_of, floor_of
from firehose.event import Lane, PostRef
from firehose.position import ends_position, join, parse_token
from firehose.validation import check_batch, check_ref, check_user
from firehose.writes import Ids, Writes
from idgen.clock import Clock
from idgen.errors import BadRequest, Behind, Moved, Unavailable
from idgen.ids import spread

FOLLOWS_MAX = 1_000
TOKENS_MAX = 1_000
PAGE_CACHE_BYTES = 128 * 1024 * 1024
_ARRIVING_MS = 500
WALK_SHARE = 2
"""A walk ends after half of the time that is left: the rest is for filling the page."""


class CellHandler(Writes):
    """`cell.dashboard.Dashboard` of one cell. Used by any number of threads.

    `homes` is what it knows of the routes.
    """

    def __init__(
        self,
        stores: CellStores,
        ids: Ids,
        clock: Clock,
        homes: Homes,
        build: Build,
        backfill_default: int = 100,
        page_cache_bytes: int = PAGE_CACHE_BYTES,
        activity: Activity | None = None,
        process: str = "dashboard",
    ) -> None:
        super().__init__(stores.root, ids, clock, backfill_default)
        self._stores = stores
        self._clock = clock
        self._homes = homes
        self._build = build
        self._posts = Posts(stores.tables, stores.cache)
        state = stores.state()
        self.freshness = Freshness(stores.changes, state)
        self._coverage = PageCoverage(stores, clock)
        self.activity = activity or Activity()
        rows = ActivityRows(stores.tables, process, self.activity.settings)
        self._saving = Saving(self.activity, rows)
        self._pulling = MeteredPulling(
            stores.tables, stores.firehose.partitions, self.freshness, self.activity.costs
        )
        self._pages = Pages(stores.tables, self._posts, self._pulling, clock)
        self.snapshots = Snapshots(state, self.freshness, stores.root, clock)
        self.page_cache = PageCache(self.freshness, page_cache_bytes)

    def page(self, ctx: Context, query: PageQuery) -> Page:
        """A page of the reader's dashboard."""
        check_user("reader", query.reader)
        _check_between("limit", query.limit, 1, LIMIT_MAX)
        within = _range(query)
        deadline_ms = self._deadline_ms(ctx)
        reader, snapshot = self._at_home(query.reader, deadline_ms, query.at_least)
        self.activity.page(reader.place)
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
        look_up = self._look_up(reader, query, asof)
        found = self._pages.walk(Asked(reader, query, look_up), within, asof, until_ms)
        marks = marks_of(self._stores.tables, reader.place)
        entries = self._pages.filled(found, query.reader, query, marks, asof)
        going_on = b""
        if not found.end and found.last is not None:
            going_on = cursor.encode(cursor.DASHBOARD, query.reader, found.last)
        originals = (e.post.original for e in entries if e.post is not None)
        made_of = set(found.stored) | {each.ref for each in originals if each is not None}
        shown = fitting(Shown(entries, going_on, found.end))
        kept = shown._replace(entries=KeptEntries(shown.entries))
        if look_up is None:
            return ReadPage(kept, made_of, good_once=found.cut)
        good_once = found.cut or not look_up.hot_alone
        return ReadPage(kept, made_of, look_up.authors, good_once)

    def _look_up(self, reader: Reader, query: PageQuery, asof: Snapshot) -> LookUp | None:
        """What a page has to look up: after its position is taken and before the inbox is read,
        which then has all that was pushed."""
        if Lane.POSTS not in query.lanes:
            return None
        return self._pulling.look_up(reader, self._coverage.of(reader, asof), asof)

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
        return self._count(ctx, reader, lane, None, cap)

    def following(self, ctx: Context, reader: int, after: int, limit: int) -> Follows:
        """The authors that a reader follows, by their ids."""
        check_user("reader", reader)
        _check_between("limit", limit, 1, FOLLOWS_MAX)
        if after:
            check_user("after", after)
        home, _ = self._at_home(reader, self._deadline_ms(ctx))
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
        home, _ = self._at_home(reader, self._deadline_ms(ctx))
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
        return self._homes.of(reader)

    def topology(self, ctx: Context) -> Topology:
        """All slices and cells."""
        return self._homes.topology()

    def version(self, ctx: Context) -> Build:
        """What answers."""
        return self._build

    def look_after(self, stop: threading.Event) -> None:
        """Look where the cell and the log are, again and again until `stop`, so that pages need not
        and can tell the cell's lag; and count the pages that were asked for."""
        while not stop.is_set():
            with suppress(Unavailable):  # what was seen grows older, and the lag with it
                self.snapshots.look()
            with suppress(Unavailable):  # what is counted is saved the next time
                self.activity.fold(self._clock.now_ms())
                self._saving.look(self._clock.now_ms())
            stop.wait(LOOK_MS / 1000)
        with suppress(Unavailable):
            self.activity.fold(self._clock.now_ms())
            self._saving.save(self._clock.now_ms())

    def _including(self, tokens: Sequence[bytes], deadline_ms: int) -> Snapshot:
        if not tokens:
            return self.snapshots.now()
        if len(tokens) > TOKENS_MAX:
            raise BadRequest("at_least", f"at most {TOKENS_MAX} tokens; keep the newest ones")
        partitions = self._stores.firehose.partitions
        need = join((parse_token(t, partitions) for t in tokens), self.snapshots.log)
        return self.snapshots.including(need, deadline_ms)

    def _deadline_ms(self, ctx: Context) -> int:
        return self._clock.monotonic_ms() + ctx.deadline_ms

    def _at_home(
        self, user: int, deadline_ms: int, tokens: Sequence[bytes] = ()
    ) -> tuple[Reader, Snapshot]:
        """The reader, homed here, and a snapshot that includes `tokens` and what the home before
        may have shown.

        Raises Moved(cell, epoch); Behind; Unavailable while the slice arrives.
        """
        snapshot = self._including(tokens, deadline_ms)
        place = spread(user)
        homed = self._homed(user, snapshot.homes.band(place))
        if homed.cell != self._stores.name:
            raise Moved(homed.cell, homed.epoch)
        if homed.after:
            snapshot = self._after(homed.after, snapshot, deadline_ms)
        # It may have arrived since the table was read, which positions do not tell.
        band = snapshot.homes.band(place) or self.snapshots.renewed().homes.band(place)
        if not band:
            raise Unavailable("the reader's slice is still arriving in this cell", _ARRIVING_MS)
        return Reader(user, place, band), snapshot

    def _homed(self, user: int, band: int) -> Homed:
        """Where the routes have a reader, whom this cell has in `band` (0: it does not)."""
        homed = self._homes.homed(user)
        if homed.cell != self._stores.name and homed.epoch < band:
            with suppress(Unavailable):  # what arrived here is newer than the routes known here
                self._homes.renew()
            homed = self._homes.homed(user)
        return homed

    def _after(self, ends: Sequence[int], snapshot: Snapshot, deadline_ms: int) -> Snapshot:
        """A snapshot that has applied all below `ends`, by partition."""
        position = ends_position(self.snapshots.log, ends)
        if position.met_by(snapshot.applied):
            return snapshot
        try:
            return self.snapshots.including(position, deadline_ms)
        except Behind as behind:
            why = "the cell has not applied yet what the reader's home before has shown"
            raise Unavailable(why, _ARRIVING_MS) from behind

    def _count(self, ctx: Context, user: int, lane: Lane, above: Place | None, cap: int) -> Count:
        """Entries above a place; None: above the lane's mark."""
        _check_between("cap", cap, 1, CAP_MAX)
        reader, snapshot = self._at_home(user, self._deadline_ms(ctx))
        if above is None:
            mark = marks_of(self._stores.tables, reader.place).get(lane, 0)
            above = NEWEST._replace(id=mark)
        query = PageQuery(user, frozenset((lane,)), limit=cap, hydrate=False)
        until_ms = self._clock.monotonic_ms() + ctx.deadline_ms // WALK_SHARE
        asked = Asked(reader, query, self._look_up(reader, query, snapshot))
        found = self._pages.walk(asked, Range(oldest=above), snapshot, until_ms)
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
