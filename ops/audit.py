"""Reach: the share of readers who see an acknowledged post, and how late they do.

The firehose is followed for a while, and of the posts that are appended meanwhile some are drawn.
Of each, readers are drawn in every cell, and their inboxes are looked into until all have it. So
what is measured is the way from the log to the tables that pages are read from.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random

from cell.stores import CellStores
from cell.versions import at_of_offset
from firehose.codec import Kind, Poison, UnknownKind, decode, open_envelope
from firehose.event import PostCreated, PostRef
from firehose.log import Log, Record
from idgen.clock import Clock
from idgen.errors import Corrupt, Unavailable
from ops.checks_port import Audit, AuditedCell, AuditSettings, Missed, Steps
from ops.post_watch import CellWatch, Pair, SampledPost, all_pairs

LOOK_MS = 100
"""Looks are so far apart, and as much further as a look takes."""
READ_AT_ONCE = 500
READ_MS = 1_000
MISSED_MAX = 1_000


class Auditor:
    """One audit of all cells. `homed` tells the cell that a place is homed in, as of now."""

    def __init__(
        self,
        cells: Mapping[str, CellStores],
        homed: Callable[[int], str],
        clock: Clock,
        settings: AuditSettings,
    ) -> None:
        first = next(iter(cells.values()))
        self._firehose: Log = first.root
        self._log_base = first.log_base
        self._clock = clock
        self._settings = settings
        self._rnd = Random(settings.seed)
        self._cells = [
            CellWatch(stores, homed, settings.readers, self._rnd) for stores in cells.values()
        ]
        self._posts: list[SampledPost] = []
        self._published = 0
        self._next: list[int] = []
        self._looked_ms = 0
        self._apart_ms = 0

    def run(self, moved_on: Steps) -> Audit:
        """Follow, look and tell. Raises Unavailable when the firehose does not answer."""
        settings = self._settings
        began_ms = self._looked_ms = self._clock.monotonic_ms()
        self._next = self._ends()
        ends = self._next
        while True:
            passed_ms = self._clock.monotonic_ms() - began_ms
            moved_on(min(passed_ms, settings.for_ms), settings.for_ms)
            if passed_ms < settings.for_ms:
                ends = self._ends()
            self._follow(ends)
            self._look()
            followed = passed_ms >= settings.for_ms and self._next == ends
            over = passed_ms >= settings.for_ms + settings.wait_ms
            if over or (followed and self._all_seen()):
                return self._told()
            self._clock.pause(LOOK_MS)

    def _ends(self) -> list[int]:
        return [span.end for span in self._firehose.spans()]

    def _follow(self, ends: Sequence[int]) -> None:
        """Read on in all partitions, up to READ_AT_ONCE records of each."""
        for partition, end in enumerate(ends):
            offset = self._next[partition]
            if offset >= end:
                continue
            limit = min(READ_AT_ONCE, end - offset)
            for record in self._firehose.read(partition, offset, limit, READ_MS):
                self._next[partition] = record.offset + 1
                if (ref := _published(record)) is not None:
                    self._draw(record, ref)

    def _draw(self, record: Record, ref: PostRef) -> None:
        """Each post has the same chance to be watched in the end (Vitter's algorithm R)."""
        self._published += 1
        place = len(self._posts)
        if place < self._settings.posts:
            self._posts.append(self._watched(record, ref))
        elif (place := self._rnd.randrange(self._published)) < self._settings.posts:
            self._posts[place] = self._watched(record, ref)

    def _watched(self, record: Record, ref: PostRef) -> SampledPost:
        return SampledPost(ref, at_of_offset(self._log_base, record.offset), record.at_ms)

    def _look(self) -> None:
        for cell in self._cells:
            with suppress(Unavailable):  # nobody of this cell is seen to have a post then
                for post in self._posts:
                    if cell.name not in post.pairs:
                        post.pairs[cell.name] = cell.pairs_of(post)
                cell.look(self._posts, self._clock.now_ms)
        now_ms = self._clock.monotonic_ms()
        self._apart_ms = max(self._apart_ms, now_ms - self._looked_ms)
        self._looked_ms = now_ms

    def _all_seen(self) -> bool:
        return all(
            cell.name in post.pairs and all(p.late_ms is not None for p in post.pairs[cell.name])
            for post in self._posts
            for cell in self._cells
        )

    def _told(self) -> Audit:
        cells, missed = [], list[Missed]()
        posts = [post for post in self._posts if not self._repeats(post)]
        for cell in self._cells:
            lost = [(post, pair) for post in posts for pair in self._missed(cell, post)]
            late = sorted(p.late_ms for p in all_pairs(posts, cell.name) if p.late_ms is not None)
            unknown = sum(cell.name not in post.pairs for post in posts)
            cells.append(AuditedCell(cell.name, len(late) + len(lost), tuple(late), unknown))
            missed += (Missed(cell.name, pair.reader, post.ref) for post, pair in lost)
        return Audit(
            seed=self._settings.seed,
            published=self._published,
            posts=len(posts),
            cells=tuple(cells),
            missed=tuple(missed[:MISSED_MAX]),
            apart_ms=self._apart_ms,
        )

    def _missed(self, cell: CellWatch, post: SampledPost) -> list[Pair]:
        try:
            return cell.missed(post)
        except Unavailable:  # whoever cannot be looked at does not see it
            return [p for p in post.pairs.get(cell.name, ()) if p.late_ms is None]

    def _repeats(self, post: SampledPost) -> bool:
        for cell in self._cells:
            with suppress(Unavailable):
                return cell.repeats(post)
        return False


def _published(record: Record) -> PostRef | None:
    """The post that an event publishes; None for other events, and for what is none."""
    try:
        if open_envelope(record.value)[0] != Kind.POST_CREATED:
            return None
        event = decode(record.value)
    except (Corrupt, Poison, UnknownKind):
        return None
    return PostRef(event.author, event.id) if isinstance(event, PostCreated) else None
