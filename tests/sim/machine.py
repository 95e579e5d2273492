"""A random life of a whole platform, step by step against the model.

`PlatformMachine` is hypothesis's rule-based state machine; a subclass says which world it drives.
Every page asks for all receipts so far, so the model says exactly what it shows. Users of one life
are its own, so that many lives can go on in one platform, one after the other.
"""

import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cell.dashboard import (
    LIMIT_DEFAULT,
    Context,
    Dashboard,
    EntryKind,
    Follows,
    NewFollow,
    Page,
    PageQuery,
    Receipt,
)
from firehose.event import Draft, Lane, PostKind, PostRef
from idgen.ids import SEQUENCES, WORKERS, compose
from tests.higgs.driver import Ids, draft_of, insist
from tests.oracle.compare import compare, difference, line_of, shown_of
from tests.oracle.history import History, Walk
from tests.oracle.invariants import violations
from tests.oracle.model import BOTH, Key, Line, Model
from tests.oracle.operations import (
    NOTICES,
    POSTS,
    Content,
    Followed,
    Liked,
    Marked,
    Operation,
    Published,
    Ref,
    Removed,
    Unfollowed,
    Unliked,
)
from tests.sim.switches import Switches, Switching

Answer = TypeVar("Answer")

USERS = 4
DEADLINE_MS = 20_000
LIVES = itertools.count(1)
USERS_APART = 1_000
TURNS = (
    "publish",
    "publish",
    "remove newest",
    "follow",
    "follow twice",
    "bring one",
    "bring none",
    "unfollow",
    "unfollow",
    "look",
    "look",
)

CTX = Context(DEADLINE_MS)


BEFORE = ((), ("unfollow", "publish"), ("unfollow", "publish", "publish"))
"""So that a follow often finds posts of before it."""


class World(Switching, Protocol):
    """A platform to live in; `dashboard` may be another object after `restart`."""

    @property
    def dashboard(self) -> Dashboard: ...

    @property
    def cells(self) -> tuple[str, ...]: ...

    def restart(self) -> None:
        """Stop the whole platform and start it again on what it has stored."""
        ...

    def crash_ingest(self, cell: str) -> None:
        """An ingest worker is gone in the middle of what it did; another one goes on."""
        ...

    def rewind(self, cell: str, back: int | None) -> None:
        """The cell reads the last `back` events of each partition again; None: all."""
        ...


class PlatformMachine(Switches, RuleBasedStateMachine):
    """What users and operators do, in any order; what pages show, always."""

    world: ClassVar[Callable[[], World]]
    """How a subclass gives the world of a life."""

    def __init__(self) -> None:
        super().__init__()
        self.place = type(self).world()
        self.base = next(LIVES) * USERS_APART
        self.model = Model()
        self.history = History()
        self.ids = Ids()
        self.given = 0
        self.published: list[Published] = []
        self.liked: list[tuple[int, int, int]] = []
        self.events: list[int] = []
        self.seen: dict[int, dict[Key, bytes]] = {}
        self.tokens: list[bytes] = []
        self.page_token = b""

    # --- what users do ---------------------------------------------------------------------------

    users = st.integers(1, USERS)
    picks = st.integers(0, 10_000)

    @initialize(pairs=st.sets(st.tuples(users, users), max_size=6))
    def some_follow(self, pairs: set[tuple[int, int]]) -> None:
        for follower, author in sorted(pairs):
            if follower != author:
                self._follow(follower, author, 100, again=False)

    @rule(
        author=users,
        kind=st.sampled_from(PostKind),
        mentions=st.lists(users, max_size=3),
        reblog=st.none() | picks,
        reply=st.none() | picks,
        brought_ms=st.none() | st.integers(0, 60_000),
        text=st.sampled_from(("", "text", "日本 \N{PARTY POPPER}")),
    )
    def publish(
        self,
        author: int,
        kind: PostKind,
        mentions: list[int],
        reblog: int | None,
        reply: int | None,
        brought_ms: int | None,
        text: str,
    ) -> None:
        content = Content(
            kind=int(kind),
            title=text,
            body=text * 2,
            tags=(text,) if text else (),
            mentions=tuple(self._user(m) for m in mentions),
            reblog_of=self._ref(reblog),
            reply_to=self._ref(reply),
        )
        # Ids need not come in order: a brought one may have been given a while ago.
        brought_id = None if brought_ms is None else self._id_given(brought_ms)
        self._publish(self._user(author), content, brought_id)

    @precondition(lambda self: self.published)
    @rule(pick=picks)
    def publish_again(self, pick: int) -> None:
        """What a client's retry is; the body may even differ, the first one stays."""
        post = self.published[pick % len(self.published)]
        self._publish(post.author, Content(body="again"), post.id)

    @rule(pick=picks, by=users)
    def remove(self, pick: int, by: int) -> None:
        post = self._post(pick)
        # Now and then somebody else tries, which is about a post of theirs that is not there.
        author = post[0] if pick % 8 else self._user(by)
        sent = self.history.tick()
        receipt = self.place.dashboard.remove_post(CTX, author, post[1], None)
        self._done(Removed(receipt.id, author, post[1]), receipt, sent)

    @rule(
        follower=users, author=users, turns=st.lists(st.sampled_from(TURNS), min_size=1, max_size=6)
    )
    def come_and_go(self, follower: int, author: int, turns: list[str]) -> None:
        """Two users: one publishes and removes, the other follows and leaves."""
        if follower == author:
            return
        for turn in turns:
            if turn == "publish":
                self._publish(self._user(author), Content(body=turn), None)
            elif turn == "remove newest":
                self._remove_newest(self._user(author))
            elif turn == "unfollow":
                self._unfollow(follower, author)
            elif turn == "look":
                self._look(self._user(follower))
                self._look(self._user(author))
            else:
                backfill = {"follow": 100, "follow twice": 100, "bring one": 1, "bring none": 0}[
                    turn
                ]
                self._follow(follower, author, backfill, again=turn == "follow twice")

    @rule(actor=users, pick=picks, turns=st.lists(st.booleans(), min_size=1, max_size=4))
    def like_and_back(self, actor: int, pick: int, turns: list[bool]) -> None:
        author, post = self._post(pick)
        who = self._user(actor)
        self.liked.append((who, author, post))
        for back in turns:
            self._like(who, author, post, back=back)

    @precondition(lambda self: self.liked)
    @rule(pick=picks, back=st.booleans())
    def like_later(self, pick: int, back: bool) -> None:
        self._like(*self.liked[pick % len(self.liked)], back=back)

    @precondition(lambda self: self.events)
    @rule(
        reader=users,
        lane=st.sampled_from((POSTS, NOTICES)),
        some=st.lists(picks, min_size=1, max_size=3),
    )
    def mark(self, reader: int, lane: int, some: list[int]) -> None:
        who = self._user(reader)
        of_reader = [key[0] for key in self.seen.get(who, ())] or self.events
        for pick in some:
            events = of_reader if pick % 4 else self.events
            upto = events[pick % len(events)]
            sent = self.history.tick()
            receipt = self.place.dashboard.mark_read(CTX, who, Lane(lane), upto)
            self._done(Marked(receipt.id, who, lane, upto), receipt, sent)

    # --- what pages show -------------------------------------------------------------------------

    @rule(
        reader=users,
        lanes=st.sampled_from((frozenset((POSTS,)), frozenset((NOTICES,)), BOTH)),
        kinds=st.sets(st.sampled_from(EntryKind), max_size=4),
        before=st.none() | picks,
        after=st.none() | picks,
        oldest_first=st.booleans(),
        limit=st.sampled_from((1, 2, 3, 5, 100)),
        hydrate=st.booleans(),
    )
    def page(
        self,
        reader: int,
        lanes: frozenset[int],
        kinds: set[EntryKind],
        before: int | None,
        after: int | None,
        oldest_first: bool,
        limit: int,
        hydrate: bool,
    ) -> None:
        who = self._user(reader)
        high, low = self._cursor(who, before), self._cursor(who, after)
        want = [
            line
            for line in self.model.entries(who, lanes, {int(k) for k in kinds})
            if (high is None or line.key < high) and (low is None or line.key > low)
        ]
        query = PageQuery(
            who,
            frozenset(Lane(lane) for lane in lanes),
            kinds=frozenset(kinds),
            before=b"" if high is None else self.seen[who][high],
            after=b"" if low is None else self.seen[who][low],
            oldest_first=oldest_first,
            limit=limit,
            hydrate=hydrate,
            at_least=self._all_so_far(),
        )
        page = self._ask(query)
        self._judge(page, want[::-1] if oldest_first else want, limit, hydrate=hydrate)

    @rule(reader=users, limit=st.sampled_from((1, 2, 7, 100)), oldest_first=st.booleans())
    def walk(self, reader: int, limit: int, oldest_first: bool) -> None:
        self._walk(self._user(reader), limit, oldest_first=oldest_first)

    @rule(reader=users, lane=st.sampled_from((POSTS, NOTICES)), cap=st.sampled_from((1, 3, 100)))
    def unread(self, reader: int, lane: int, cap: int) -> None:
        who = self._user(reader)
        self._settle(who)
        count = self._read(lambda: self.place.dashboard.unread(CTX, who, Lane(lane), cap))
        want = self.model.unread(who, lane)
        assert count.count == min(want, cap), f"unread of {who}: want {want}, got {count}"
        assert count.capped or want <= cap, f"{want} unread of {who} are more than {cap}: {count}"

    @rule(reader=users, limit=st.sampled_from((1, 3, 100)))
    def what_else_is_known(self, reader: int, limit: int) -> None:
        who = self._user(reader)
        self._who_is_followed(who)
        self._timeline(who, limit)
        some = [self._post(pick) for pick in range(limit)]
        self._posts(list(dict.fromkeys(some)))

    def _who_is_followed(self, who: int) -> None:
        self._settle(who)
        want = self.model.following(who)
        got: list[int] = []
        after = 0
        while True:
            follows = self._read(partial(self._following, who, after))
            got.extend(follows.authors)
            after = follows.next_after
            if not after:
                break
        assert sorted(got) == sorted(want)
        everybody = [self._user(u) for u in range(1, USERS + 1) if self._user(u) != who]
        assert set(self.place.dashboard.is_following(CTX, who, everybody)) == want

    def _timeline(self, who: int, limit: int) -> None:
        self._settle_all()
        got: list[Any] = []
        before = b""
        while True:
            page = self.place.dashboard.author_posts(CTX, who, before, b"", limit)
            got.extend(shown_of(entry.post) for entry in page.entries)
            before = page.next_cursor
            if page.end:
                break
            assert before
        assert got == self.model.timeline(who)

    def _posts(self, refs: list[Ref]) -> None:
        self._settle_all()
        views = self.place.dashboard.posts(CTX, [PostRef(*ref) for ref in refs])
        assert [shown_of(view) for view in views] == [self.model.shown(ref) for ref in refs]

    # --- what operators and accidents do ---------------------------------------------------------

    @rule(cell=picks)
    def crash(self, cell: int) -> None:
        self.place.crash_ingest(self._cell(cell))

    @rule(cell=picks, back=st.integers(1, 30))
    def rewind(self, cell: int, back: int) -> None:
        self.place.rewind(self._cell(cell), back)

    @rule(often=st.integers(0, 5))
    def restart(self, often: int) -> None:
        if often == 0:
            self.place.restart()

    def teardown(self) -> None:
        """At the end of a life every dashboard is right, both ways, and nothing ever broke."""
        for user in range(1, USERS + 1):
            self._walk(self._user(user), 3, oldest_first=False)
            self._walk(self._user(user), 100, oldest_first=True)
        assert violations(self.history) == []

    # --- the means -------------------------------------------------------------------------------

    def _publish(self, author: int, content: Content, brought_id: int | None) -> None:
        draft: Draft = draft_of(content)
        sent = self.history.tick()
        receipt = self.place.dashboard.publish(CTX, author, draft, brought_id)
        assert brought_id in (None, receipt.id), f"brought {brought_id}, got {receipt.id}"
        post = Published(receipt.id, author, content)
        self.published.append(post)
        self._done(post, receipt, sent)

    def _follow(self, follower: int, author: int, backfill: int, *, again: bool) -> None:
        a, b = self._user(follower), self._user(author)
        brought_id = self.ids.take()
        follow = NewFollow(a, b, brought_id, backfill)
        sent = self.history.tick()
        if again:
            receipts = self.place.dashboard.follow_many(CTX, [follow, follow])
            assert [r.id for r in receipts] == [brought_id, brought_id]
        else:
            receipts = [self.place.dashboard.follow(CTX, follow)]
        for receipt in receipts:
            self._done(Followed(brought_id, a, b, backfill), receipt, sent)

    def _unfollow(self, follower: int, author: int) -> None:
        a, b = self._user(follower), self._user(author)
        sent = self.history.tick()
        receipt = self.place.dashboard.unfollow(CTX, a, b, None)
        self._done(Unfollowed(receipt.id, a, b), receipt, sent)

    def _remove_newest(self, author: int) -> None:
        mine = self.model.timeline(author)
        if mine:
            sent = self.history.tick()
            receipt = self.place.dashboard.remove_post(CTX, author, mine[0].id, None)
            self._done(Removed(receipt.id, author, mine[0].id), receipt, sent)

    def _like(self, actor: int, author: int, post: int, *, back: bool) -> None:
        call = self.place.dashboard.unlike if back else self.place.dashboard.like
        sent = self.history.tick()
        receipt = call(CTX, actor, PostRef(author, post), None)
        kind = Unliked if back else Liked
        self._done(kind(receipt.id, actor, author, post), receipt, sent)

    def _done(self, operation: Operation, receipt: Receipt, sent: int) -> None:
        self.history.acknowledge(operation, sent)
        self.model.apply(operation)
        self.tokens.append(receipt.token)
        self.events.append(receipt.id)

    def _ask(self, query: PageQuery) -> Page:
        page = self._read(lambda: self.place.dashboard.page(CTX, query))
        lines = [line_of(entry) for entry in page.entries]
        seen = self.seen.setdefault(query.reader, {})
        seen.update({line.key: e.cursor for line, e in zip(lines, page.entries, strict=True)})
        self.page_token = page.token
        return page

    def _judge(self, page: Page, want: list[Line], limit: int, *, hydrate: bool) -> None:
        got = [line_of(entry) for entry in page.entries]
        assert len(got) <= limit
        if page.end:
            assert len(want) <= limit, f"says end after {len(got)} of {len(want)}"
            assert len(got) == len(want), difference(want, got)
        else:
            assert page.next_cursor, "not the end, and no next"
        head = want[: len(got)]
        if not hydrate:
            assert all(line.post is None for line in got), "posts were not asked for"
            head = [_bare(line) for line in head]
        assert got == head, difference(head, got)

    def _look(self, who: int) -> None:
        """The first page, always asked for in the same way: what may be kept is looked at."""
        page = self._ask(PageQuery(who, frozenset(Lane), at_least=self._all_so_far()))
        self._judge(page, self.model.entries(who, BOTH, set()), LIMIT_DEFAULT, hydrate=True)

    def _walk(self, who: int, limit: int, *, oldest_first: bool) -> None:
        pages: list[Page] = []

        def ask(reader: int, lanes: frozenset[int], **query: Any) -> Page:
            wanted = PageQuery(reader, frozenset(Lane(lane) for lane in lanes), **query)
            pages.append(self._ask(wanted))
            return pages[-1]

        began = self.history.tick()
        tokens = self._all_so_far()
        found = compare(
            self.model, ask, who, oldest_first=oldest_first, limit=limit, at_least=tokens
        )
        lines = tuple(tuple(line_of(e) for e in page.entries) for page in pages)
        ended = self.history.tick()
        self.history.saw(Walk(who, BOTH, oldest_first, began, ended, lines, began))
        assert not found, found

    def _settle(self, who: int) -> None:
        """Whatever the reader's home answers from now on includes all that was done."""
        self._ask(PageQuery(who, limit=1, at_least=self._all_so_far()))

    def _settle_all(self) -> None:
        """The same of all cells, of which any may answer."""
        for user in range(1, USERS + 1):
            self._settle(self._user(user))

    def _following(self, who: int, after: int) -> Follows:
        return self.place.dashboard.following(CTX, who, after, 2)

    def _read(self, call: Callable[[], Answer]) -> Answer:
        """A cell that starts may ask to be asked again."""
        return insist(call, DEADLINE_MS / 1000)

    def _all_so_far(self) -> tuple[bytes, ...]:
        """Tokens of all receipts, and that of the last page, whichever cell gave it."""
        return (*self.tokens, self.page_token) if self.page_token else tuple(self.tokens)

    def _user(self, number: int) -> int:
        return self.base + number

    def _cell(self, pick: int) -> str:
        return self.place.cells[pick % len(self.place.cells)]

    def _post(self, pick: int) -> Ref:
        """A post, now and then one that never was."""
        if not self.published or pick % 16 == 0:
            return self._user(pick % USERS + 1), 77 + pick
        post = self.published[pick % len(self.published)]
        return post.author, post.id

    def _ref(self, pick: int | None) -> Ref | None:
        return None if pick is None else self._post(pick)

    def _id_given(self, ago_ms: int) -> int:
        """An id that was given so long ago, and to nobody else."""
        self.given += 1
        return compose(time.time_ns() // 1_000_000 - ago_ms, WORKERS - 2, self.given % SEQUENCES)

    def _cursor(self, who: int, pick: int | None) -> Key | None:
        """The place of something that this reader saw, be it gone by now."""
        seen = list(self.seen.get(who, ()))
        return None if pick is None or not seen else seen[pick % len(seen)]


def _bare(line: Line) -> Line:
    return Line(line.id, line.lane, line.kind, line.actor, line.unread, None, line.target)
