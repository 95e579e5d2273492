"""A trivial platform in memory: the one that the workloads and the machine are tried on.

It is built like the product and not like the model: entries are pushed into inboxes as events
come. `Eager(spoil=...)` leaves one rule out, to see that whoever tests it notices.
"""

import threading
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from cell.commands import Command
from cell.dashboard import (
    Build,
    Context,
    Count,
    Entry,
    EntryKind,
    Follows,
    Home,
    NewFollow,
    NewPost,
    Page,
    PageQuery,
    PostView,
    Receipt,
    Topology,
)
from firehose.event import Draft, Lane, PostRef
from idgen.errors import BadRequest
from idgen.ids import at_ms
from tests.higgs.driver import Ids

Key = tuple[int, int, int]
"""Event id, lane, actor."""

SPOILS = (
    "backfill",
    "own posts",
    "removal leaves entries",
    "removal leaves notices",
    "unfollow leaves backfilled",
    "refollow brings nothing",
    "follow again notifies",
    "follow again brings posts",
    "like again notifies",
    "unlike leaves notice",
    "liked and removed shows",
    "marks go back",
    "retry is a new post",
    "oldest first skips",
    "before includes itself",
    "original shows when removed",
    "restart forgets marks",
)


@dataclass(slots=True)
class _Slot:
    kind: EntryKind
    post: PostRef | None
    target: PostRef | None = None


@dataclass
class Eager:
    """A Dashboard in memory."""

    spoil: str = ""
    _ids: Ids = field(default_factory=lambda: Ids(worker=1))
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _posts: dict[PostRef, Draft | None] = field(default_factory=dict)
    _order: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _followers: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _lists: dict[int, dict[Key, _Slot]] = field(default_factory=lambda: defaultdict(dict))
    _likes: dict[tuple[int, PostRef], int] = field(default_factory=dict)
    _marks: dict[tuple[int, Lane], int] = field(default_factory=dict)
    _parted: set[tuple[int, int]] = field(default_factory=set)

    def publish(self, ctx: Context, author: int, draft: Draft, brought_id: int | None) -> Receipt:
        with self._lock:
            post_id = brought_id or self._ids.take()
            if self.spoil == "retry is a new post" and PostRef(author, post_id) in self._posts:
                post_id = self._ids.take()
            ref = PostRef(author, post_id)
            draft = replace(draft, mentions=tuple(dict.fromkeys(draft.mentions)))
            if ref not in self._posts:
                self._posts[ref] = draft
                self._order[author].append(post_id)
                readers = set(self._followers[author])
                if self.spoil != "own posts":
                    readers.add(author)
                for reader in readers:
                    self._push(reader, ref)
                for reader, slot in _notices(ref, draft).items():
                    self._lists[reader][post_id, Lane.NOTICES, author] = slot
            return Receipt(brought_id or post_id, b"token")

    def publish_many(self, ctx: Context, posts: Sequence[NewPost]) -> list[Receipt]:
        return [self.publish(ctx, p.author, p.draft, p.brought_id) for p in posts]

    def remove_post(
        self, ctx: Context, author: int, post_id: int, brought_id: int | None
    ) -> Receipt:
        with self._lock:
            ref = PostRef(author, post_id)
            self._posts[ref] = None
            for reader in list(self._lists):
                if self.spoil != "removal leaves entries":
                    self._lists[reader].pop((post_id, Lane.POSTS, author), None)
                if self.spoil != "removal leaves notices":
                    self._lists[reader].pop((post_id, Lane.NOTICES, author), None)
            return self._receipt(brought_id)

    def follow(self, ctx: Context, follow: NewFollow) -> Receipt:
        with self._lock:
            follower, author = follow.follower, follow.author
            event = follow.brought_id or self._ids.take()
            again = follower in self._followers[author]
            if not again or self.spoil == "follow again notifies":
                key = (event, Lane.NOTICES, follower)
                self._lists[author][key] = _Slot(EntryKind.FOLLOW, None)
            if again and self.spoil == "follow again brings posts":
                self._backfill(follower, author, follow.backfill)
            if not again:
                self._followers[author].add(follower)
                refollow = (follower, author) in self._parted
                if self.spoil != "backfill" and not (
                    refollow and self.spoil == "refollow brings nothing"
                ):
                    self._backfill(follower, author, follow.backfill)
            return Receipt(event, b"token")

    def follow_many(self, ctx: Context, follows: Sequence[NewFollow]) -> list[Receipt]:
        return [self.follow(ctx, follow) for follow in follows]

    def unfollow(self, ctx: Context, follower: int, author: int, brought_id: int | None) -> Receipt:
        with self._lock:
            self._followers[author].discard(follower)
            self._parted.add((follower, author))
            mine = sorted(k for k in self._lists[follower] if k[1:] == (Lane.POSTS, author))
            spare = 1 if self.spoil == "unfollow leaves backfilled" else 0
            for key in mine[spare:]:
                del self._lists[follower][key]
            return self._receipt(brought_id)

    def like(self, ctx: Context, actor: int, post: PostRef, brought_id: int | None) -> Receipt:
        with self._lock:
            event = brought_id or self._ids.take()
            again = (actor, post) in self._likes
            if not again or self.spoil == "like again notifies":
                self._likes[actor, post] = event
                if actor != post.author:
                    key = (event, Lane.NOTICES, actor)
                    self._lists[post.author][key] = _Slot(EntryKind.LIKE, post, post)
            return Receipt(event, b"token")

    def unlike(self, ctx: Context, actor: int, post: PostRef, brought_id: int | None) -> Receipt:
        with self._lock:
            event = self._likes.pop((actor, post), None)
            if event is not None and self.spoil != "unlike leaves notice":
                self._lists[post.author].pop((event, Lane.NOTICES, actor), None)
            return self._receipt(brought_id)

    def mark_read(self, ctx: Context, reader: int, lane: Lane, event_id: int) -> Receipt:
        with self._lock:
            old = 0 if self.spoil == "marks go back" else self._marks.get((reader, lane), 0)
            self._marks[reader, lane] = max(old, event_id)
            return self._receipt(None)

    def page(self, ctx: Context, query: PageQuery) -> Page:
        with self._lock:
            found = self._entries(query.reader, query.lanes, query.kinds)
            before, after = _key(query.before), _key(query.after)
            if query.oldest_first:
                found.reverse()
            if before:
                spoilt = self.spoil == "before includes itself"
                found = [e for e in found if _place(e) < before or (spoilt and _place(e) == before)]
            if after:
                found = [e for e in found if _place(e) > after]
            if self.spoil == "oldest first skips" and query.oldest_first and query.limit < 3:
                found = found[1:]
            entries = tuple(found[: query.limit])
            if not query.hydrate:
                entries = tuple(replace(e, post=None) for e in entries)
            return _page(entries, end=len(found) <= query.limit)

    def author_posts(
        self, ctx: Context, author: int, before: bytes, after: bytes, limit: int
    ) -> Page:
        with self._lock:
            refs = [PostRef(author, p) for p in self._order[author]]
            there = [(r, self._posts[r]) for r in sorted(refs, key=lambda r: -r.id)]
            found = [self._entry(author, _own(r, d)) for r, d in there if d is not None]
            low, high = _key(after), _key(before)
            found = [e for e in found if (not low or _place(e) > low)]
            found = [e for e in found if (not high or _place(e) < high)]
            return _page(tuple(found[:limit]), end=len(found) <= limit)

    def posts(self, ctx: Context, refs: Sequence[PostRef]) -> list[PostView]:
        with self._lock:
            return [self._view(ref) for ref in refs]

    def count_newer(self, ctx: Context, reader: int, lane: Lane, cursor: bytes, cap: int) -> Count:
        found = self._entries(reader, (lane,))
        count = sum(_place(e) > (_key(cursor) or (0, 0, 0)) for e in found)
        return Count(min(cap, count), count >= cap)

    def unread(self, ctx: Context, reader: int, lane: Lane, cap: int) -> Count:
        count = sum(e.unread for e in self._entries(reader, (lane,)))
        return Count(min(cap, count), count >= cap)

    def following(self, ctx: Context, reader: int, after: int, limit: int) -> Follows:
        found = sorted(a for a, f in self._followers.items() if reader in f and a > after)
        return Follows(tuple(found[:limit]), found[limit - 1] if len(found) > limit else 0)

    def is_following(self, ctx: Context, reader: int, authors: Sequence[int]) -> tuple[int, ...]:
        return tuple(a for a in authors if reader in self._followers[a])

    def route(self, ctx: Context, reader: int) -> Home:
        return Home("one", 1)

    def topology(self, ctx: Context) -> Topology:
        return Topology(())

    def version(self, ctx: Context) -> Build:
        return Build("0", "eager")

    def restart(self) -> None:
        """Nothing is kept elsewhere, so nothing is lost; but for a rule left out."""
        if self.spoil == "restart forgets marks":
            self._marks.clear()

    def _receipt(self, brought_id: int | None) -> Receipt:
        return Receipt(brought_id or self._ids.take(), b"token")

    def _push(self, reader: int, ref: PostRef) -> None:
        draft = self._posts[ref]
        if draft is not None:
            slot = _Slot(EntryKind(draft.kind), ref)
            self._lists[reader][ref.id, Lane.POSTS, ref.author] = slot

    def _backfill(self, follower: int, author: int, count: int | None) -> None:
        there = [p for p in self._order[author] if self._posts[PostRef(author, p)] is not None]
        for post_id in sorted(there, reverse=True)[: 100 if count is None else count]:
            self._push(follower, PostRef(author, post_id))

    def _entries(
        self, reader: int, lanes: Collection[Lane], kinds: Collection[EntryKind] = ()
    ) -> list[Entry]:
        found = []
        for key, slot in sorted(self._lists[reader].items(), reverse=True):
            if key[1] not in lanes or (kinds and slot.kind not in kinds):
                continue
            entry = self._entry(reader, (key, slot))
            hidden = slot.kind is EntryKind.LIKE and entry.post is not None and entry.post.removed
            if not hidden or self.spoil == "liked and removed shows":
                found.append(entry)
        return found

    def _entry(self, reader: int, item: tuple[Key, _Slot]) -> Entry:
        (event, lane, actor), slot = item
        return Entry(
            id=event,
            lane=Lane(lane),
            kind=slot.kind,
            actor=actor,
            at_ms=at_ms(event),
            unread=event > self._marks.get((reader, Lane(lane)), 0),
            cursor=_cursor((event, lane, actor)),
            post=None if slot.post is None else self._view(slot.post),
            target=slot.target,
        )

    def _view(self, ref: PostRef, *, deep: bool = True) -> PostView:
        draft = self._posts.get(ref)
        if draft is None:
            return PostView(ref, at_ms(ref.id), None, removed=True)
        original = None
        if deep and draft.reblog_of is not None:
            original = self._view(draft.reblog_of, deep=False)
            if original.removed and self.spoil == "original shows when removed":
                original = None
        time_ms = at_ms(ref.id) if draft.at_ms is None else draft.at_ms
        return PostView(ref, time_ms, draft, original=original)


@dataclass
class EagerWorld:
    """`tests.sim.machine.World` over `Eager`: nothing is kept elsewhere, so nothing can be lost."""

    dashboard: Eager
    cells: tuple[str, ...] = ("one", "two")

    def restart(self) -> None:
        self.dashboard.restart()

    def crash_ingest(self, cell: str) -> None:
        assert cell in self.cells

    def rewind(self, cell: str, back: int | None) -> None:
        assert cell in self.cells

    def tell(self, cell: str, command: Command) -> None:
        assert cell in self.cells, command

    def fill(self, cell: str) -> None:
        assert cell in self.cells


def _notices(ref: PostRef, draft: Draft) -> dict[int, _Slot]:
    found: dict[int, _Slot] = {}
    for user in reversed(draft.mentions):
        found[user] = _Slot(EntryKind.MENTION, ref, ref)
    if draft.reblog_of is not None:
        found[draft.reblog_of.author] = _Slot(EntryKind.REBLOG, ref, draft.reblog_of)
    if draft.reply_to is not None:
        found[draft.reply_to.author] = _Slot(EntryKind.REPLY, ref, draft.reply_to)
    found.pop(ref.author, None)
    return found


def _own(ref: PostRef, draft: Draft) -> tuple[Key, _Slot]:
    return (ref.id, Lane.POSTS, ref.author), _Slot(EntryKind(draft.kind), ref)


def _place(entry: Entry) -> Key:
    return entry.id, int(entry.lane), entry.actor


def _cursor(key: Key) -> bytes:
    return b",".join(str(part).encode() for part in key)


def _key(cursor: bytes) -> Key | None:
    if not cursor:
        return None
    parts = cursor.split(b",")
    if len(parts) != 3:
        raise BadRequest("cursor", "not one of ours; pass it on unchanged")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _page(entries: tuple[Entry, ...], *, end: bool) -> Page:
    last = entries[-1].cursor if entries else b""
    first = entries[0].cursor if entries else b""
    return Page(entries, b"" if end else last, first, end, b"token", "one", 1, 0)
