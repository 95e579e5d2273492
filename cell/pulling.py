"""What a page looks up because it was not pushed to the reader.

Of few authors at the authors themselves (cell.author_look_up); of many in the index of all posts by
time, as long as that is the cheaper: a call costs as much as some hundred rows of the index.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from cell.author_look_up import AuthorLookUp, Follow
from cell.by_time import Part, Posts, posts_by_time
from cell.coverage import PulledEvents
from cell.cursor import Place
from cell.dashboard import EntryKind
from cell.follow_sets import Edges, FollowSets, ManyEdges
from cell.freshness import Freshness
from cell.hot_timelines import HotTimelines
from cell.lane_scan import LANE_MAX, LiveEntry, Range, Reader, Seen
from cell.page_coverage import NEVER, Pulled
from cell.side_by_side import SideBySide
from cell.snapshot import Snapshot
from cell.tables import Tables
from firehose.event import Lane
from idgen.ids import MAX_USER, U64Array, spread_array, unspread

AUTHORS_FEW: Final = 64
"""Up to here authors are asked one by one at once."""
ROWS_A_CALL: Final = 140
"""Rows of the index by which a walk goes on for each author followed, before it asks the authors:
half of what a table answers in the time of a call (850,000 rows/s against 3,000 calls/s)."""


class LookUp(NamedTuple):
    """What is to be looked up for a page, as of a position.

    `follows`: at authors. `events`: of all whom `edges` has, by time. `hot_alone`: only of authors
    whom everybody pulls, so that their changes are told.
    """

    follows: Sequence[Follow]
    events: PulledEvents
    edges: Edges | ManyEdges
    asof: Snapshot
    hot_alone: bool

    @property
    def authors(self) -> Collection[int]:
        """Of whom posts are looked up, where they can be counted."""
        return [follow.author for follow in self.follows]


class Pulling:
    """Looks up posts for pages; used by many threads."""

    def __init__(self, tables: Tables, partitions: int, freshness: Freshness) -> None:
        self._tables = tables
        self._partitions = partitions
        self._follow_sets = FollowSets(tables, freshness)
        self._side_by_side = SideBySide()
        hot = HotTimelines(tables, freshness)
        self._authors = AuthorLookUp(tables, hot, self._side_by_side)

    def look_up(self, reader: Reader, pulled: Pulled | None, asof: Snapshot) -> LookUp | None:
        """What a page of a reader has to look up; None: all was pushed."""
        if pulled is None:
            return None
        edges = self._follow_sets.of(reader, asof)
        events = pulled.reader
        hot_alone = not events and not pulled.pairs
        if events and isinstance(edges, Edges) and len(edges.authors) <= AUTHORS_FEW:
            events = NEVER
            follows = self._follows(edges.authors, edges, pulled)
        else:
            single = set(pulled.pairs) | {unspread(place) for place in pulled.hot}
            authors = np.array(sorted(single), dtype=np.uint64)
            follows = self._follows(authors, edges, pulled._replace(reader=NEVER))
        if not events and not follows:
            return None
        return LookUp(follows, events, edges, asof, hot_alone)

    def entries(
        self, look_up: LookUp, within: Range, wanted: int
    ) -> list[Iterator[LiveEntry | Seen]]:
        """The entries of a range that were not pushed, in its order; one may come twice."""
        found: list[Iterator[LiveEntry | Seen]] = []
        if look_up.follows:
            found.append(self._authors.entries(look_up.follows, look_up.asof, within, wanted))
        if look_up.events:
            found.append(self._by_time(look_up, within, wanted))
        return found

    def _follows(
        self, authors: U64Array, edges: Edges | ManyEdges, pulled: Pulled
    ) -> list[Follow]:
        """Those of some authors whom the reader follows and of whom something was not pushed."""
        found: list[Follow] = []
        columns = (authors, spread_array(authors), edges.of(authors))
        for author, place, at in zip(*(column.tolist() for column in columns), strict=True):
            if not at:
                continue
            events = pulled.of(author, place, place % self._partitions)
            after = tuple((max(since, at + 1), until) for since, until in events)
            if kept := tuple((since, until) for since, until in after if since < until):
                found.append(Follow(author, place, kept, place in pulled.hot))
        return found

    def _by_time(
        self, look_up: LookUp, within: Range, wanted: int
    ) -> Iterator[LiveEntry | Seen]:
        """Entries by the index; from where that has become the dearer, at the authors."""
        edges, events = look_up.edges, look_up.events
        rows_max = ROWS_A_CALL * len(edges.authors) if isinstance(edges, Edges) else None
        for part in posts_by_time(self._tables, self._side_by_side, within, events.floor()):
            yield from self._matching(part.posts, look_up, within)
            if part.upto is None:
                return
            yield from _seen(part, within)
            if isinstance(edges, Edges) and rows_max is not None and part.rows > rows_max:
                pulled = Pulled(events, {}, {})
                follows = self._follows(edges.authors, edges, pulled)
                rest = _rest(part.upto, within)
                yield from self._authors.entries(follows, look_up.asof, rest, wanted)
                return

    def _matching(self, posts: Posts, look_up: LookUp, within: Range) -> Iterator[LiveEntry]:
        """Those of some posts that were not pushed to who follows their authors."""
        partitions = spread_array(posts.authors) % np.uint64(self._partitions)
        edge_ats = look_up.edges.of(posts.authors)
        followed = (edge_ats > 0) & (posts.ats > edge_ats)
        which = np.flatnonzero(followed & look_up.events.contained(partitions, posts.ats))
        columns = (posts.ids[which], posts.authors[which], posts.kinds[which])
        for post_id, author, kind in zip(*(column.tolist() for column in columns), strict=True):
            place = Place(post_id, Lane.POSTS, author)
            if within.oldest < place < within.newest:
                yield LiveEntry(place, EntryKind(kind), None)


def _seen(part: Part, within: Range) -> Iterator[Seen]:
    """That all up to an id was looked at, but for posts of that id itself."""
    assert part.upto is not None
    place = Place(part.upto, 0, 0)
    if not within.oldest_first:
        place = Place(part.upto, LANE_MAX, MAX_USER)
    if within.oldest < place < within.newest:
        yield Seen(place)


def _rest(upto: int, within: Range) -> Range:
    """What of a range was not looked at yet."""
    if within.oldest_first:
        return within._replace(oldest=max(within.oldest, Place(upto, 0, 0)))
    return within._replace(newest=min(within.newest, Place(upto + 1, 0, 0)))
