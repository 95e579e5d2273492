"""Pages: the lanes of one reader merged, checked, and filled, from any place and to any depth.

A page is full, or says `end`, or is short and goes on at `next_cursor`: a bound on time ends a
page whose range holds very many gone or filtered rows.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cell import cursor
from cell.cursor import Place
from cell.dashboard import Entry, EntryKind, PageQuery, PostView
from cell.lane_scan import LiveEntry, Range, Reader, Seen, live_entries
from cell.posts import Posts, Stored, text_bytes_of, with_originals
from cell.pulling import LookUp, Pulling
from cell.snapshot import Snapshot
from cell.tables import Tables
from firehose.event import Lane, PostCreated, PostRef
from idgen.clock import Clock
from idgen.ids import at_ms

PAGE_TEXT_BYTES_MAX = 4 * 1024 * 1024
"""Most text of one page: a hundred reblogs with full bodies would have 13 MB."""


class Shown(NamedTuple):
    """A page without what is new each time: entries, where it goes on, and whether it ends."""

    entries: tuple[Entry, ...]
    next_cursor: bytes
    end: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a walk has found: entries, the posts read on the way, and how it ended.

    `stored` has all posts that were looked at, also of entries that are not shown; None: it is not
    there. `last` is the last place looked at, in the same way; None: nothing was there. `end`:
    nothing is left in the range. `cut`: the time was over before.
    """

    entries: list[LiveEntry]
    stored: dict[PostRef, Stored | None]
    last: Place | None
    end: bool
    cut: bool = False


class Asked(NamedTuple):
    """What is asked for, by whom, and what has to be looked up for it."""

    reader: Reader
    query: PageQuery
    look_up: LookUp | None = None


class _Step(NamedTuple):
    """Entries of a lane or of both, the last place looked at, and whether that was the end."""

    candidates: list[LiveEntry]
    last: Place | None
    end: bool


def post_of(entry: LiveEntry) -> PostRef | None:
    """The post that an entry shows: the post itself, what caused the notice, or what was liked."""
    if entry.kind is EntryKind.FOLLOW:
        return None
    if entry.kind is EntryKind.LIKE:
        return entry.target
    return PostRef(entry.place.actor, entry.place.id)


class Pages:
    """Walks lanes and fills pages; used by many threads."""

    def __init__(self, tables: Tables, posts: Posts, pulling: Pulling, clock: Clock) -> None:
        self._tables = tables
        self._pulling = pulling
        self._posts = posts
        self._clock = clock

    def walk(self, asked: Asked, within: Range, asof: Snapshot, until_ms: int) -> Found:
        """Up to `query.limit` entries of the range, in its order.

        Stops with what it has when `until_ms` (monotonic) has passed.
        """
        query = asked.query
        stream = _each_once(self._merged(asked, within))
        found: list[LiveEntry] = []
        stored: dict[PostRef, Stored | None] = {}
        last: Place | None = None
        while True:
            wanted = query.limit - len(found) + 1  # one more, to know whether anything is left
            step = self._next(stream, wanted, until_ms)
            for entry in self._shown(step.candidates, stored, asked, asof):
                if len(found) == query.limit:
                    return Found(found, stored, found[-1].place, end=False)
                found.append(entry)
            last = step.last or last
            if step.end:
                return Found(found, stored, last, end=True)
            if self._clock.monotonic_ms() >= until_ms:
                return Found(found, stored, last, end=False, cut=True)

    def _next(self, stream: Iterator[LiveEntry | Seen], wanted: int, until_ms: int) -> "_Step":
        """Up to `wanted` entries; fewer, when the stream has ended or `until_ms` has passed."""
        candidates: list[LiveEntry] = []
        last: Place | None = None
        for item in stream:
            last = item.place
            if isinstance(item, LiveEntry):
                candidates.append(item)
                if len(candidates) == wanted:
                    return _Step(candidates, last, end=False)
            elif self._clock.monotonic_ms() >= until_ms:
                return _Step(candidates, last, end=False)
        return _Step(candidates, last, end=True)

    def _merged(self, asked: Asked, within: Range) -> Iterator[LiveEntry | Seen]:
        reader, query, look_up = asked
        first_chunk = query.limit + 8  # a few gone rows do not cost a second call
        lanes: list[Iterator[LiveEntry | Seen]] = [
            live_entries(self._tables, reader, lane, within, first_chunk)
            for lane in sorted(query.lanes)
        ]
        if look_up is not None and Lane.POSTS in query.lanes:
            lanes += self._pulling.entries(look_up, within, first_chunk)
        return heapq.merge(*lanes, key=lambda e: e.place, reverse=not within.oldest_first)

    def _shown(
        self,
        candidates: list[LiveEntry],
        stored: dict[PostRef, Stored | None],
        asked: Asked,
        asof: Snapshot,
    ) -> list[LiveEntry]:
        """Those of the kinds asked for whose post is there; of a like's only this tells, and of
        what somebody pushed who had not heard yet that it is pulled."""
        query = asked.query
        kept = [e for e in candidates if not query.kinds or e.kind in query.kinds]
        needed = {
            ref
            for e in kept
            if (ref := post_of(e)) is not None
            and (query.hydrate or e.kind is EntryKind.LIKE or asked.look_up is not None)
        }
        unknown = needed - stored.keys()
        stored.update(dict.fromkeys(unknown) | self._posts.get(unknown, asof))
        return [
            e
            for e in kept
            if (ref := post_of(e)) not in needed or isinstance(stored.get(ref), PostCreated)
        ]

    def filled(
        self, found: Found, owner: int, query: PageQuery, marks: dict[Lane, int], asof: Snapshot
    ) -> tuple[Entry, ...]:
        """The entries as readers see them."""
        refs = [ref for e in found.entries if (ref := post_of(e)) is not None]
        shown: dict[PostRef, PostView] = {}
        if query.hydrate:
            shown = with_originals(self._posts, found.stored, refs, asof)
        return tuple(
            Entry(
                id=e.place.id,
                lane=Lane(e.place.lane),
                kind=e.kind,
                actor=e.place.actor,
                at_ms=at_ms(e.place.id),
                unread=e.place.id > marks.get(Lane(e.place.lane), 0),
                cursor=cursor.encode(cursor.DASHBOARD, owner, e.place),
                post=shown.get(ref) if (ref := post_of(e)) is not None else None,
                target=_target(e),
            )
            for e in found.entries
        )


def _each_once(stream: Iterator[LiveEntry | Seen]) -> Iterator[LiveEntry | Seen]:
    """What was pushed and is pulled too, once."""
    last: Place | None = None
    for item in stream:
        if isinstance(item, LiveEntry):
            if item.place == last:
                continue
            last = item.place
        yield item


def fitting(shown: Shown) -> Shown:
    """The page up to PAGE_TEXT_BYTES_MAX of text, at least one entry; it then goes on behind."""
    text_bytes = 0
    for count, entry in enumerate(shown.entries):
        text_bytes += text_bytes_of(entry.post) if entry.post is not None else 0
        if count and text_bytes > PAGE_TEXT_BYTES_MAX:
            kept = shown.entries[:count]
            return Shown(kept, kept[-1].cursor, end=False)
    return shown


def _target(entry: LiveEntry) -> PostRef | None:
    """Of a notice the reader's own post, or the post that mentions the reader."""
    return entry.target if entry.kind.lane is Lane.NOTICES else None
