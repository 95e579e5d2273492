"""What a dashboard has to hold, worked out anew from edges and posts, beside what it does hold.

The rule (ARCHITECTURE.md, "The rule"): the posts that are not gone which the reader wrote, and of
each author whom the reader follows those from the floor of the edge on. They are in the reader's
inbox, but for those of events at which the reader, the author or their pair was pulled: these may
be (they were filled in, and that was not told yet), and pages look them up. So pages are compared
with the rule too, as they are made for readers.
"""

from collections.abc import Iterator
from typing import NamedTuple

from cell import keys
from cell.author_posts import newest
from cell.coverage import PulledEvents
from cell.cursor import NEWEST
from cell.dashboard import PageQuery
from cell.freshness import Freshness
from cell.lane_scan import Range, Reader
from cell.page import Asked, Pages
from cell.page_coverage import PageCoverage
from cell.posts import Posts
from cell.pulling import Pulling
from cell.reader_coverage import ReaderCoverage
from cell.snapshot import Snapshots
from cell.stores import CellStores
from cell.tables import Row, Tables
from cell.unacknowledged import Unacknowledged
from cell.versions import at_of, band_of, floor_of
from firehose.event import Lane, PostRef
from idgen.clock import SystemClock
from idgen.ids import spread

CHUNK = 5_000
WALKED_AT_ONCE = 1_000
WALK_MS = 60_000


class VerifiedReader(NamedTuple):
    """How many authors were followed and entries expected, and how many of these are looked up;
    what is missing in the inbox or in pages, and what is there and should not be."""

    authors: int
    entries: int
    pulled: int
    missing: frozenset[PostRef]
    extra: frozenset[PostRef]


class _Rule(NamedTuple):
    """What must be shown; of that, what must be in the inbox; and what pages pass over if it is."""

    authors: int
    shown: set[PostRef]
    pushed: set[PostRef]
    passed_over: set[PostRef]


class ReaderVerifier:
    """Verifies readers of one cell; what it knows of the cell's coverage serves all of them."""

    def __init__(self, stores: CellStores) -> None:
        self.stores = stores
        self._clock = SystemClock()
        state = stores.state()
        freshness = Freshness(stores.changes, state)
        self._snapshots = Snapshots(state, freshness, stores.root, self._clock)
        self._coverage = PageCoverage(stores, self._clock)
        self._pulling = Pulling(stores.tables, stores.firehose.partitions, freshness)
        posts = Posts(stores.tables, stores.cache)
        self._pages = Pages(stores.tables, posts, self._pulling, self._clock)

    def verify(self, reader: int, band: int) -> VerifiedReader:
        """Compare a reader's inbox and pages with what they have to hold, as all are while this
        reads.

        What an event or a switch changes meanwhile may be told as a difference: look again.
        """
        tables = self.stores.tables
        # Before the inbox: what is no longer covered then was filled in before.
        coverage = ReaderCoverage(tables, self.stores.firehose.partitions, reader, band)
        rule = _rule(self.stores, coverage, reader, band)
        found = {
            PostRef(author, post_id)
            for row in _rows(tables, keys.INBOX, spread(reader), band)
            if row.value != keys.GONE
            for post_id, author in [keys.parse_entry(row.key)]
        }
        served = set(self._served(Reader(reader, spread(reader), band)))
        missing = (rule.pushed - found) | (rule.shown - served)
        extra = (found - rule.shown - rule.passed_over) | (served - rule.shown)
        pulled = len(rule.shown - rule.pushed)
        authors, entries = rule.authors, len(rule.shown)
        return VerifiedReader(authors, entries, pulled, frozenset(missing), frozenset(extra))

    def _served(self, reader: Reader) -> Iterator[PostRef]:
        """What pages of the reader's posts show, from the newest to the oldest."""
        asof = self._snapshots.renewed()
        look_up = self._pulling.look_up(reader, self._coverage.of(reader, asof), asof)
        query = PageQuery(
            reader.user, frozenset((Lane.POSTS,)), limit=WALKED_AT_ONCE, hydrate=False
        )
        before = NEWEST
        while True:
            until_ms = self._clock.monotonic_ms() + WALK_MS
            found = self._pages.walk(Asked(reader, query, look_up), Range(before), asof, until_ms)
            for entry in found.entries:
                yield PostRef(entry.place.actor, entry.place.id)
            if found.end or found.last is None:
                return
            before = found.last


def _rule(stores: CellStores, coverage: ReaderCoverage, reader: int, band: int) -> _Rule:
    tables, partitions = stores.tables, stores.firehose.partitions
    own = set(_posts_from(tables, reader, 0))
    rule = _Rule(0, own, set(own), set())
    for row in _rows(tables, keys.FOLLOWING, spread(reader), band):
        edge = keys.parse_flagged(row.value)
        if edge.live:
            author, at = keys.parse_pair(row.key)[1], at_of(row.version)
            rule = rule._replace(authors=rule.authors + 1)
            address = author, spread(author) % partitions
            _add(rule, tables, address, edge.number, at, coverage.pulled(author))
    return rule


def _add(
    rule: _Rule,
    tables: Tables,
    author: tuple[int, int],
    floor: int,
    edge_at: int,
    pulled: PulledEvents,
) -> None:
    """Posts of an author (user, partition), followed at `edge_at` with a backfill from `floor`."""
    user, partition = author
    for post in newest(tables, Unacknowledged(), spread(user), floor=floor):
        ref, at = PostRef(user, post.id), post.created_at
        looked_up = at > edge_at and pulled.contain(partition, at)
        if post.gone_at:
            # Whoever had not heard yet that it is pulled may have pushed it, and nobody takes it
            # back.
            if looked_up:
                rule.passed_over.add(ref)
        elif at_of(at) >= floor:
            rule.shown.add(ref)
            if not looked_up:
                rule.pushed.add(ref)


def _posts_from(tables: Tables, author: int, floor: int) -> Iterator[PostRef]:
    """The author's posts that were created from `floor` up (as in versions) and are not gone."""
    for post in newest(tables, Unacknowledged(), spread(author), floor=floor):
        if not post.gone_at and at_of(post.created_at) >= floor:
            yield PostRef(author, post.id)


def _rows(tables: Tables, table: str, place: int, band: int) -> Iterator[Row]:
    """The rows of a reader in one band."""
    start, stop = keys.place_bytes(place), keys.after_prefix(place)
    while True:
        rows = tables.scan(table, start, stop, CHUNK, floor=floor_of(band))
        yield from (row for row in rows if band_of(row.version) == band)
        if len(rows) < CHUNK:
            return
        start = rows[-1].key + b"\0"
