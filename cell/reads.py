"""What a worker reads while it evaluates a batch: ahead in bulk, and through its own writes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cell import keys
from cell.author_posts import AuthorPost, Runs, newest
from cell.edges import EdgeSet
from cell.fanout import JobKey
from cell.followers import FollowerSets
from cell.known_coverage import KnownCoverage
from cell.residents import Homes
from cell.side_by_side import SideBySide
from cell.tables import Row, Tables
from cell.unacknowledged import Unacknowledged
from cell.versions import band_of, version_of
from firehose.event import (
    Event,
    Followed,
    Liked,
    MarkedRead,
    PostCreated,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from idgen.ids import spread

RUN = 100
"""Post rows read ahead per author for a backfill; the default number of posts it takes."""


class Applying(NamedTuple):
    """An event on its way: where it came from, its bytes, and who is homed here for it.

    `at` is the lower part of all versions it writes. `again`: it, or what is behind it, was applied
    before (a replay).
    """

    partition: int
    offset: int
    at: int
    homes: Homes
    event: Event
    value: bytes
    again: bool = False

    @property
    def key(self) -> JobKey:
        """Which event it is."""
        return JobKey(self.partition, self.offset)


class _Wanted:
    """The rows that a batch of events will look at."""

    def __init__(self, coverage: KnownCoverage) -> None:
        self._coverage = coverage
        self.points: dict[str, set[bytes]] = defaultdict(set)
        self.authors: set[int] = set()

    def add(self, a: Applying) -> None:
        """What one event will look at."""
        match a.event:
            case PostCreated(id=post_id, author=author, brought=brought):
                if not self._coverage.is_hot(a.partition, spread(author), a.at):
                    self.authors.add(spread(author))
                if brought or a.again:
                    self.points[keys.POSTS].add(keys.post_key(author, post_id))
            case PostRemoved(author=author, post_id=post_id):
                self.authors.add(spread(author))
                self.points[keys.POSTS].add(keys.post_key(author, post_id))
            case Followed() | Unfollowed():
                self._add_edge(a.event, a.homes)
            case Liked(author=author) | Unliked(author=author) if a.homes.band(spread(author)):
                key = keys.like_key(author, a.event.post_id, a.event.actor)
                self.points[keys.LIKES].add(key)
            case Liked() | Unliked() | MarkedRead():
                pass

    def _add_edge(self, e: Followed | Unfollowed, homes: Homes) -> None:
        author = spread(e.author)
        if homes.band(spread(e.follower)):
            self.authors.add(author)
        if homes.band(author):
            self.points[keys.FANS].add(keys.pair_key(author, e.follower))


class Reads:
    """Reads of one worker thread. `begin` each batch, when the one before is acknowledged."""

    def __init__(
        self,
        tables: Tables,
        followers: FollowerSets,
        side_by_side: SideBySide,
        coverage: KnownCoverage,
    ) -> None:
        self._tables = tables
        self._coverage = coverage
        self._followers = followers
        self._reader = Runs(tables, side_by_side, RUN)
        self._unacknowledged = Unacknowledged()
        self._points: dict[tuple[str, bytes], Row | None] = {}
        self._runs: dict[int, list[Row]] = {}

    def begin(self, upcoming: Sequence[Applying], held: Iterable[tuple[str, Row]]) -> None:
        """Forget the last batch's writes but for those `held` back, and read ahead."""
        self._unacknowledged = Unacknowledged()
        for table, row in held:
            self.wrote(table, row)
        wanted = _Wanted(self._coverage)
        for applying in upcoming:
            wanted.add(applying)
        self._points.clear()
        for table, points in wanted.points.items():
            names = sorted(points)
            for key, found in zip(names, self._tables.get(table, names), strict=True):
                self._points[table, key] = found
        self._followers.load(wanted.authors, self._unacknowledged)
        self._runs = self._reader.read(
            spread(a.event.author)
            for a in upcoming
            if isinstance(a.event, Followed) and self._backfills(a.event, a)
        )

    def _backfills(self, e: Followed, a: Applying) -> bool:
        """Whether a follow will bring posts along, as far as is known before its batch."""
        band = a.homes.band(spread(e.follower))
        if not band or not e.backfill:
            return False
        edge = self.edges(spread(e.author)).get(e.follower)
        version = version_of(band, a.at)
        return edge is None or edge.version == version or not (edge.live or edge.version > version)

    def wrote(self, table: str, row: Row) -> None:
        """Remember a write that is not acknowledged yet."""
        self._unacknowledged.put(table, row)

    def row(self, table: str, key: bytes, band: int) -> Row | None:
        """The row as of now; one of another band does not exist."""
        if (table, key) not in self._points:
            self._points[table, key] = self._tables.get(table, [key])[0]
        newest_row = self._unacknowledged.newest(table, key, self._points[table, key])
        if newest_row is None or band_of(newest_row.version) != band:
            return None
        return newest_row

    def edges(self, author: int) -> EdgeSet:
        """The edges of an author (by place) that `begin` has read ahead."""
        return self._followers.of(author)

    def posts_alive(self, author: int, at: int) -> Iterator[AuthorPost]:
        """The author's posts as of `at`, newest first: created before it and not gone at it."""
        run = self._runs.get(author)
        posts = newest(self._tables, self._unacknowledged, author, run=run, run_limit=RUN)
        return (p for p in posts if p.created_at < at and not 0 < p.gone_at < at)

    def posts_since(self, author: int, floor: int, at: int) -> Iterator[AuthorPost]:
        """The author's posts created from `floor` up and before `at`, whether gone or not."""
        posts = newest(self._tables, self._unacknowledged, author, floor=floor)
        return (p for p in posts if floor <= p.created_at < at)
