"""What each event writes in this cell: the rules of applying, one method per kind of event.

The four rules (ARCHITECTURE.md, "Applying events"): rows are acknowledged in phases (cell.batch);
an event whose edge or like row is newer writes nothing, and at its own version the same again; an
event reads as of its own offset; a worker reads through its own unacknowledged writes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from cell import keys
from cell.author_posts import author_post
from cell.batch import Batch, fanout_rows
from cell.by_time import index_row
from cell.edges import Edge
from cell.fanout import Job, JobKey
from cell.known_coverage import KnownCoverage
from cell.notices import notices_of
from cell.reads import Applying, Reads
from cell.tables import FixedRows, Row
from cell.versions import version_of
from firehose.codec import Gone, decode_stored, encode_gone, is_gone
from firehose.event import (
    Followed,
    Liked,
    MarkedRead,
    NoticeKind,
    PostCreated,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from idgen.ids import U64Array, spread

SIDE_BY_SIDE_MAX = 8
"""Jobs that go on at the same time; were it all of them, none would end before the last."""


class Evaluation:
    """Evaluates events in the order of their partition, into a batch and jobs."""

    def __init__(self, reads: Reads, coverage: KnownCoverage, giant_rows: int) -> None:
        self._reads = reads
        self._coverage = coverage
        self._giant_rows = giant_rows
        self.jobs: dict[JobKey, Job] = {}
        self.batch = Batch()
        self._rules: dict[type, Callable[[Any, Applying], None]] = {
            PostCreated: self._post_created,
            PostRemoved: self._post_removed,
            Followed: self._followed,
            Unfollowed: self._unfollowed,
            Liked: self._liked,
            Unliked: self._unliked,
            MarkedRead: self._marked_read,
        }

    def begin(self, upcoming: Sequence[Applying]) -> None:
        """Start a new batch; the last one is acknowledged. Reads ahead for its events."""
        self.batch = Batch()
        self._reads.begin(upcoming, (row for job in self.jobs.values() for row in job.state))

    def apply(self, applying: Applying) -> None:
        """Evaluate one event."""
        self._rules[type(applying.event)](applying.event, applying)

    def work(self, rows: int) -> None:
        """Put about `rows` rows of the oldest open jobs into the batch, as many of each: one with a
        million rows must not keep those with thousands waiting."""
        jobs = list(islice(self.jobs.values(), SIDE_BY_SIDE_MAX))
        for job in jobs:
            self.batch.entries.add_rows(job.take(-(-rows // len(jobs))))
            if job.finished:
                self._finish(job)

    def _state(self, table: str, row: Row) -> None:
        self.batch.state[table].append(row)
        self._reads.wrote(table, row)

    # Posts.

    def _post_created(self, e: PostCreated, a: Applying) -> None:
        key = keys.post_key(e.author, e.id)
        if e.brought or a.again:
            row = self._reads.row(keys.POSTS, key, 0)
            if row is not None and _is_settled_post(row, a.at):
                return
        post = Row(key, a.at, a.value)
        self.batch.posts.append(post)
        self._reads.wrote(keys.POSTS, post)
        self.batch.by_time.append(index_row(e.author, e.id, a.at, e.draft.kind))
        self._deliver(PostRef(e.author, e.id), a.at, a, e.draft.kind, [])
        for reader, (kind, target) in notices_of(e).items():
            self._notify(reader, e.id, e.author, a, keys.pack_notice(kind, target))

    def _post_removed(self, e: PostRemoved, a: Applying) -> None:
        key = keys.post_key(e.author, e.post_id)
        row = self._reads.row(keys.POSTS, key, 0)
        created_at, notified = _to_take_back(row, a.at)
        if row is not None and is_gone(row.value) and row.version < a.at:
            return
        for reader in notified:
            self._notify(reader, e.post_id, e.author, a, keys.GONE_NOTICE)
        gone = Row(key, a.at, encode_gone(created_at, notified))
        self.batch.by_time.append(index_row(e.author, e.post_id, a.at, 0))
        post = PostRef(e.author, e.post_id)
        self._deliver(post, created_at, a, 0, [(keys.POSTS, gone)])

    def _deliver(
        self, post: PostRef, created_at: int, a: Applying, value: int, state: list[tuple[str, Row]]
    ) -> None:
        """Entries (or gone values) of a post for the author and each follower who is pushed to;
        then the state rows."""
        event = (post.id, post.author, a.at)
        place = spread(post.author)
        entries = self.batch.entries
        own_band = a.homes.band(place)
        if own_band:
            entries.add(place, own_band, event, value)
        left_out = self._coverage.left_out(a.partition, (post.author, place), created_at, a.at)
        if left_out.places is None:
            self.batch.looked_up.add(post.author)
            if created_at == a.at:
                self.batch.unpushed.append(post.author)
                return
        edges = self._reads.edges(place)
        few = edges.receivers_few(a.at, left_out)
        if few is not None:
            self.batch.left_out += edges.left if created_at == a.at else 0
            for some in few:
                entries.add_few(some, event, value)
        else:
            receivers = edges.receivers(a.at, left_out)
            self.batch.left_out += edges.left if created_at == a.at else 0
            if len(receivers.places) > self._giant_rows:
                rows = partial(fanout_rows, receivers, event, value)
                self._hold(Job(a.key, len(receivers.places), rows, state))
                return
            entries.add_rows(fanout_rows(receivers, event, value))
        for table, row in state:
            self._state(table, row)

    def _hold(self, job: Job) -> None:
        self.jobs[job.key] = job
        for table, row in job.state:
            self._reads.wrote(table, row)

    def _finish(self, job: Job) -> None:
        del self.jobs[job.key]
        for table, row in job.state:
            self._state(table, row)

    # Edges.

    def _followed(self, e: Followed, a: Applying) -> None:
        author, follower = spread(e.author), spread(e.follower)
        band = a.homes.band(follower)
        if band:
            self._add_edge(e, a, author, follower, band)
        fan = self._fan(e, a, author)
        if fan is None:
            return
        key, version, row = fan
        if _settled(row, version, live=True):
            return
        notice = keys.pack_notice(NoticeKind.FOLLOW, None)
        self._notify(e.author, e.id, e.follower, a, notice)
        self._state(keys.FANS, Row(key, version, keys.pack_flagged(live=True, number=e.id)))

    def _add_edge(self, e: Followed, a: Applying, author: int, follower: int, band: int) -> None:
        version = version_of(band, a.at)
        edges = self._reads.edges(author)
        edge = edges.get(e.follower)
        if edge is not None and edge.version != version:
            if edge.version > version or edge.live:
                return
            self._finish_edge(e.follower, e.author)
        taken = list(islice(self._reads.posts_alive(author, a.at), e.backfill))
        for post in taken:
            # One that is gone by now counts as taken; its removal has written what is newer.
            if not post.gone_at:
                self.batch.entries.add(follower, band, (post.id, e.author, a.at), post.kind)
        floor = min((post.created_at for post in taken), default=a.at)
        if edge is not None and edge.version == version:
            # A dead letter behind it may have changed what is taken; what was taken stays known.
            floor = min(floor, edge.floor)
        edges.set(e.follower, Edge(version, live=True, floor=floor))
        for table, row in _edge_rows(e, version, live=True, floor=floor):
            self._state(table, row)

    def _unfollowed(self, e: Unfollowed, a: Applying) -> None:
        author, follower = spread(e.author), spread(e.follower)
        band = a.homes.band(follower)
        if band:
            self._end_edge(e, a, author, follower, band)
        fan = self._fan(e, a, author)
        if fan is None:
            return
        key, version, row = fan
        if row is not None and not _settled(row, version, live=False):
            followed = keys.parse_flagged(row.value)
            gone = keys.pack_flagged(live=False, number=followed.number)
            self._state(keys.FANS, Row(key, version, gone))

    def _fan(
        self, e: Followed | Unfollowed, a: Applying, author: int
    ) -> tuple[bytes, int, Row | None] | None:
        """The key of the author's row of this follower, the event's version for it, and the row
        as it is; None where the author is not homed here."""
        band = a.homes.band(author)
        if not band:
            return None
        key = keys.pair_key(author, e.follower)
        return key, version_of(band, a.at), self._reads.row(keys.FANS, key, band)

    def _end_edge(self, e: Unfollowed, a: Applying, author: int, follower: int, band: int) -> None:
        version = version_of(band, a.at)
        edges = self._reads.edges(author)
        edge = edges.get(e.follower)
        if edge is None or edge.version > version or (edge.version < version and not edge.live):
            return
        self._finish_edge(e.follower, e.author)
        ids = [p.id for p in self._reads.posts_since(author, edge.floor, a.at)]
        edges.set(e.follower, Edge(version, live=False, floor=edge.floor))
        state = _edge_rows(e, version, live=False, floor=edge.floor)
        if len(ids) > self._giant_rows:
            numbers = np.array(ids, dtype=np.uint64)
            rows = partial(_gone_rows, numbers, follower, e.author, version)
            self._hold(Job(a.key, len(ids), rows, state, (e.follower, e.author)))
            return
        for post_id in ids:
            self.batch.entries.add(follower, band, (post_id, e.author, a.at), 0)
        for table, row in state:
            self._state(table, row)

    def _finish_edge(self, follower: int, author: int) -> None:
        """Finish a long unfollow of this edge in this batch: a later event's state row must not
        be there while it is not done."""
        for job in list(self.jobs.values()):
            if job.edge == (follower, author):
                self.batch.entries.add_rows(job.take(job.left))
                self._finish(job)

    # Likes and marks.

    def _liked(self, e: Liked, a: Applying) -> None:
        band = a.homes.band(spread(e.author))
        if not band:
            return
        key = keys.like_key(e.author, e.post_id, e.actor)
        version = version_of(band, a.at)
        row = self._reads.row(keys.LIKES, key, band)
        if _settled(row, version, live=True):
            return
        if e.actor != e.author:
            notice = keys.pack_notice(NoticeKind.LIKE, PostRef(e.author, e.post_id))
            self._notify(e.author, e.id, e.actor, a, notice)
        self._state(keys.LIKES, Row(key, version, keys.pack_flagged(live=True, number=e.id)))

    def _unliked(self, e: Unliked, a: Applying) -> None:
        band = a.homes.band(spread(e.author))
        if not band:
            return
        key = keys.like_key(e.author, e.post_id, e.actor)
        version = version_of(band, a.at)
        row = self._reads.row(keys.LIKES, key, band)
        if row is None or _settled(row, version, live=False):
            return
        like = keys.parse_flagged(row.value)
        if e.actor != e.author:
            self._notify(e.author, like.number, e.actor, a, keys.GONE_NOTICE)
        gone = keys.pack_flagged(live=False, number=like.number)
        self._state(keys.LIKES, Row(key, version, gone))

    def _marked_read(self, e: MarkedRead, a: Applying) -> None:
        place = spread(e.reader)
        if a.homes.band(place):
            # The timestamp is the newest read event id: an exact maximum that never goes back.
            self._state(keys.MARKS, Row(keys.mark_key(place, e.lane), e.event_id, b""))

    def _notify(self, reader: int, event_id: int, actor: int, a: Applying, value: bytes) -> None:
        place = spread(reader)
        band = a.homes.band(place)
        if band:
            key = keys.entry_key(place, event_id, actor)
            self.batch.notices.append(Row(key, version_of(band, a.at), value))


def _settled(row: Row | None, version: int, *, live: bool) -> bool:
    """Whether an event at `version` changes nothing: its row is newer, or was so already."""
    if row is None or row.version == version:
        return False
    return row.version > version or keys.parse_flagged(row.value).live == live


def _is_settled_post(row: Row, at: int) -> bool:
    """Whether the creation `at` changes nothing: the post was there before, or is removed by now.

    The latter also where the removal was applied without it (a dead letter that is retried): that
    has taken back nothing.
    """
    post = author_post(row)
    return post.created_at < at or post.gone_at > at


def _to_take_back(row: Row | None, at: int) -> tuple[int, tuple[int, ...]]:
    """The creation version of a post, and whom it had notified; of none: as of the removal."""
    if row is None:
        return at, ()
    stored = decode_stored(row.value)
    if isinstance(stored, Gone):
        return stored.created_version, tuple(stored.notified)
    return row.version, tuple(notices_of(stored))


def _edge_rows(
    e: Followed | Unfollowed, version: int, *, live: bool, floor: int
) -> list[tuple[str, Row]]:
    value = keys.pack_flagged(live=live, number=floor)
    return [
        (keys.FOLLOWERS, Row(keys.pair_key(spread(e.author), e.follower), version, value)),
        (keys.FOLLOWING, Row(keys.pair_key(spread(e.follower), e.author), version, value)),
    ]


def _gone_rows(ids: U64Array, follower: int, author: int, version: int, part: slice) -> FixedRows:
    """Gone values of a part of the posts of one author in one reader's inbox."""
    ids = ids[part]
    numbers = np.empty((len(ids), 3), dtype=">u8")
    numbers[:, 0] = follower
    numbers[:, 1] = ~ids
    numbers[:, 2] = author
    return FixedRows(
        numbers.view(np.uint8).reshape(len(ids), keys.ENTRY_KEY_BYTES),
        np.full(len(ids), version, dtype=np.uint64),
        np.zeros((len(ids), 1), dtype=np.uint8),
    )
