"""The facts that decide over one entry, read from the tables of the reader's home cell.

What they amount to is said above this package, in `ops.explanation`.
"""

from dataclasses import dataclass

from cell import keys
from cell.author_posts import author_post
from cell.keys import INBOX
from cell.reader_coverage import CoverageFacts, ReaderCoverage
from cell.state import homes_now
from cell.stores import CellStores
from cell.tables import Row, Tables
from cell.versions import at_of, band_of
from firehose.event import PostKind
from idgen.ids import partition_of, spread

PREFIX_ROWS = 2
"""Inbox rows of one reader and one post id: one, unless two authors brought the same id."""


@dataclass(frozen=True, slots=True)
class EdgeFacts:
    """The reader's edge to the author: at its version, with the floor of its backfill."""

    live: bool
    band: int
    at: int
    """The lower part of its version: log_base + offset + 1 of the follow or unfollow."""
    floor: int
    """The lowest creation version (lower part) among what was backfilled, else the edge's own."""


@dataclass(frozen=True, slots=True)
class PostFacts:
    """The post's row: where it was created in the log, and where removed."""

    removed: bool
    at: int
    """The lower part of the row's present version."""
    created_at: int | None
    """The same of its creation; None: a removal that came before its post."""


@dataclass(frozen=True, slots=True)
class InboxFacts:
    """The reader's inbox row for the post."""

    live: bool
    band: int
    at: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class PositionFacts:
    """How far the reader's cell has applied the author's partition, in offsets."""

    partition: int
    low: int
    high: int
    end: int
    log_base: int = 0

    def reached(self, at: int) -> bool:
        """Whether the event at `at` (the lower part of a version) is done for sure."""
        return self.log_base + self.low >= at


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that decides over one entry, as read from the reader's home cell."""

    reader: int
    author: int | None
    """None: not given, and no inbox row that would tell."""
    post_id: int
    cell: str
    epoch: int
    band: int
    edge: EdgeFacts | None
    post: PostFacts | None
    inbox: InboxFacts | None
    position: PositionFacts | None
    coverage: tuple[CoverageFacts, ...] = ()
    """What says whether this entry is pushed; none: it is, for nobody has ever said otherwise."""


def explain(
    stores: CellStores, epoch: int, reader: int, author: int | None, post_id: int
) -> Explanation:
    """All that this cell knows of one post in one reader's dashboard, homed here since `epoch`.

    Without `author` the inbox row tells who wrote the post; where there is none, nothing more is
    known. Raises Unavailable.
    """
    states = stores.state().read()
    place = spread(reader)
    band = homes_now(states.values()).band(place)
    inbox = _inbox_row(stores.tables, place, author, post_id)
    if author is None and inbox is not None:
        author = keys.parse_entry(inbox.key)[1]
    edge = post = position = None
    coverage: tuple[CoverageFacts, ...] = ()
    if author is not None:
        (edge,) = stores.tables.get(keys.FOLLOWING, [keys.pair_key(place, author)])
        (post,) = stores.tables.get(keys.POSTS, [keys.post_key(author, post_id)])
        partition = partition_of(author, stores.firehose.partitions)
        applied = states[partition].applied
        end = stores.root.spans()[partition].end
        position = PositionFacts(partition, applied.low, applied.high, end, stores.log_base)
        created_at = None if post is None else _post_facts(post).created_at
        partitions = stores.firehose.partitions
        covered = ReaderCoverage(stores.tables, partitions, reader, band)
        coverage = covered.facts(author, created_at)
    return Explanation(
        reader=reader,
        author=author,
        post_id=post_id,
        cell=stores.name,
        epoch=epoch,
        band=band,
        edge=None if edge is None else _edge_facts(edge),
        post=None if post is None else _post_facts(post),
        inbox=None if inbox is None else _inbox_facts(inbox),
        position=position,
        coverage=coverage,
    )


def _inbox_row(tables: Tables, place: int, author: int | None, post_id: int) -> Row | None:
    if author is not None:
        return tables.get(INBOX, [keys.entry_key(place, post_id, author)])[0]
    start = keys.entry_key(place, post_id, 0)
    rows = tables.scan(INBOX, start, start[:16] + b"\xff" * 9, PREFIX_ROWS)
    live = [row for row in rows if not row.value.startswith(keys.GONE)]
    return next(iter(live or rows), None)


def _edge_facts(row: Row) -> EdgeFacts:
    flagged = keys.parse_flagged(row.value)
    return EdgeFacts(flagged.live, band_of(row.version), at_of(row.version), flagged.number)


def _post_facts(row: Row) -> PostFacts:
    post = author_post(row)
    created: int | None = post.created_at
    if post.gone_at and post.created_at == post.gone_at:
        created = None  # removed before it was there: its creation is given the removal's version
    return PostFacts(post.gone_at > 0, row.version, created)


def _inbox_facts(row: Row) -> InboxFacts:
    kind = row.value[0]
    name = PostKind(kind).name.lower() if kind else ""
    return InboxFacts(kind > 0, band_of(row.version), at_of(row.version), name)
