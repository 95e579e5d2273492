"""Brings edges and activities into a platform: in order, in batches, each of them exactly once.

A batch whose receipts did not come is sent again under the ids that the journal has for it, which
is the same write. Servers refuse ids that are older than 15 minutes; a batch that was in doubt for
longer is first looked up post by post (a follow is simply done again: that changes nothing).
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cell.dashboard import Dashboard
from firehose.event import PostRef
from firehose.receipts import Context, NewFollow, NewPost
from idgen.clock import Clock
from idgen.errors import DashcellError, DeadlineExceeded, Throttled, Unavailable
from idgen.ids import at_ms
from ops.higgs import Activity, Planner
from ops.load_journal import Batch, Journal, Kind

BATCH_ITEMS = 500
STALE_MS = 10 * 60 * 1000
"""Well within the 15 minutes after which a brought id is refused."""
TRIES = 12
PAUSE_MS_MAX = 5_000

Item = TypeVar("Item")


class InDoubt(DashcellError):
    """A batch of long ago cannot be looked up before the cells have caught up."""

    reason = "in_doubt"


@dataclass(slots=True)
class Counts:
    """Items brought by this run, and found done by an earlier one."""

    follows: int = 0
    posts: int = 0
    earlier: int = 0


@dataclass(frozen=True)
class Source:
    """What a loader reads: `caught_up` says whether every cell has applied all of the log."""

    dashboard: Dashboard
    next_ids: Callable[[int], list[int]]
    caught_up: Callable[[], bool]
    clock: Clock
    context: Context


class Loader:
    """One load; call `follows`, then `posts`."""

    def __init__(
        self, source: Source, journal: Journal, moved_on: Callable[[int], None] = lambda _: None
    ) -> None:
        self._source = source
        self._journal = journal
        self._moved_on = moved_on
        self._number = 0
        self.counts = Counts()

    def follows(self, edges: Iterable[tuple[int, int]]) -> None:
        """Bring edges, as (follower, author).

        Raises Unavailable when the platform does not answer for long: run it again to go on.
        """
        for known, items in self._batches("follow", edges):
            if known is not None and self._is_done(known):
                continue
            fresh = known is not None and self._is_fresh(known)
            batch = known if known is not None and fresh else self._begin("follow", len(items))
            follows = [
                NewFollow(follower, author, brought_id)
                for (follower, author), brought_id in zip(items, batch.ids, strict=True)
            ]
            self._until_done(partial(self._dashboard.follow_many, self._context, follows))
            self._finish(batch)
            self.counts.follows += len(items)

    def posts(self, activities: Iterable[Activity]) -> None:
        """Bring activities as posts. Raises as `follows`, and InDoubt."""
        planner = Planner()
        for known, items in self._batches("publish", activities):
            if known is not None and self._is_done(known):
                for activity, post_id in zip(items, known.ids, strict=True):
                    planner.published(activity, post_id)
                continue
            batch = self._post_batch(known, items)
            posts = []
            for place, (activity, post_id) in enumerate(zip(items, batch.ids, strict=True)):
                if place not in batch.kept:
                    posts.append(NewPost(activity.author, planner.draft(activity), post_id))
                planner.published(activity, post_id)
            if posts:
                self._until_done(partial(self._dashboard.publish_many, self._context, posts))
            self._finish(batch)
            self.counts.posts += len(posts)
            self.counts.earlier += len(batch.kept)

    @property
    def _dashboard(self) -> Dashboard:
        return self._source.dashboard

    @property
    def _context(self) -> Context:
        return self._source.context

    def _batches(
        self, kind: Kind, items: Iterable[Item]
    ) -> Iterator[tuple[Batch | None, Sequence[Item]]]:
        """The items in batches as the journal has them, then in batches of the usual size."""
        rest = iter(items)
        known = {batch.number: batch for batch in self._journal.batches}
        while True:
            batch = known.get(self._number)
            if batch is not None and batch.kind != kind:
                return
            size = len(batch.ids) if batch is not None else BATCH_ITEMS
            chunk = list(itertools.islice(rest, size))
            if not chunk:
                return
            yield (batch if batch is not None and len(chunk) == size else None), chunk
            self._number += 1

    def _is_done(self, batch: Batch) -> bool:
        if not self._journal.is_done(batch.number):
            return False
        self.counts.earlier += len(batch.ids)
        self._moved_on(len(batch.ids))
        return True

    def _is_fresh(self, batch: Batch) -> bool:
        oldest = min(i for n, i in enumerate(batch.ids) if n not in batch.kept)
        return self._source.clock.now_ms() - at_ms(oldest) < STALE_MS

    def _begin(self, kind: Kind, size: int) -> Batch:
        batch = Batch(self._number, kind, tuple(self._source.next_ids(size)))
        self._journal.begin(batch)
        return batch

    def _finish(self, batch: Batch) -> None:
        self._journal.finish(batch.number)
        self._moved_on(len(batch.ids))

    def _post_batch(self, known: Batch | None, items: Sequence[Activity]) -> Batch:
        if known is None:
            return self._begin("publish", len(items))
        if len(known.kept) == len(known.ids) or self._is_fresh(known):
            return known
        if not self._source.caught_up():
            raise InDoubt(
                "whether the last batch arrived cannot be told before the cells have applied the "
                "whole log: wait until `cellctl status` shows no lag, and run the same again"
            )
        there = self._those_there(known, items)
        fresh = iter(self._source.next_ids(len(items) - len(there)))
        ids = tuple(i if n in there else next(fresh) for n, i in enumerate(known.ids))
        batch = Batch(known.number, "publish", ids, there)
        self._journal.begin(batch)
        return batch

    def _those_there(self, batch: Batch, items: Sequence[Activity]) -> frozenset[int]:
        refs = [
            PostRef(activity.author, post_id)
            for activity, post_id in zip(items, batch.ids, strict=True)
        ]
        views = self._dashboard.posts(self._context, refs)
        found = {view.ref for view in views if not view.removed and view.draft is not None}
        return batch.kept | {place for place, ref in enumerate(refs) if ref in found}

    def _until_done(self, write: Callable[[], object]) -> None:
        """Do it until it is acknowledged; the same ids make every try the same write."""
        for tries in itertools.count(1):
            try:
                write()
            except (Unavailable, Throttled, DeadlineExceeded) as error:
                if tries == TRIES:
                    raise Unavailable(
                        f"{error}; given up after {tries} tries, run the same again to go on"
                    ) from error
                wait_ms = min(PAUSE_MS_MAX, 100 * math.ceil(1.6**tries))
                self._source.clock.pause(max(wait_ms, getattr(error, "retry_after_ms", 0)))
            else:
                return
