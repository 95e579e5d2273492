"""Random lives of moves: what users, workers, movers and operators do, in any order.

Every page is held against the model of exactly what its cell has applied. A reader's next page
never comes from a cell that has applied less than the one before, whichever cell that was.
"""

import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from cell import keys, slice_rows
from cell.brought_authors import parse_key
from cell.commands import Switched
from cell.dashboard import Context, NewFollow, PageQuery, Receipt
from cell.ingest import IngestSettings
from cell.materialization import Why
from cell.state import homes_now
from firehose.event import Draft, Lane, PostRef
from idgen.errors import Unavailable
from idgen.ids import spread
from router.carrier import When, unharmed
from router.move_records import Found, Wanted, open_moves, reverse_move, write_move
from router.moves import Refused, Stage, happened, let_switch, next_steps, verify_again
from tests.oracle.compare import difference, line_of
from tests.oracle.model import BOTH
from tests.oracle.operations import (
    NOTICES,
    POSTS,
    Content,
    Followed,
    Liked,
    Marked,
    Operation,
    Published,
    Removed,
    Unfollowed,
    Unliked,
)
from tests.sim.move_world import CELLS, STOPPED, Killed, MoveWorld

USERS = 4
TINY = IngestSettings(batch_events=3, giant_rows=2, chunk_rows=2, poll_ms=0)
"""So that moves meet the middle of batches, and posts in chunks; and nobody waits."""
LIMIT = 100
CTX = Context(10_000)
ZOMBIES_MAX = 20

TURNS = (
    *(CELLS * 4),
    "publish",
    "publish",
    "mention",
    "remove",
    "follow",
    "follow",
    "follow without",
    "unfollow",
    "unfollow",
    "like",
    "unlike",
    "mark",
    "pull",
    "push",
    "pull author",
    "push author",
    "pull pair",
    "look",
    "look",
)

users = st.integers(1, USERS)
picks = st.integers(0, 1_000)


class MoveMachine(RuleBasedStateMachine):
    """One life on a platform of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = MoveWorld(Path(self.folder.name), TINY)
        self.posts: list[Published] = []
        self.events: list[int] = []
        self.seen: dict[int, tuple[int, ...]] = {}
        self.old: list[Found] = []
        self.zombies = False
        self.killed: set[tuple[Stage, When]] = set()

    # Users.

    @rule(author=users, mention=st.none() | users)
    def publish(self, author: int, mention: int | None) -> None:
        mentions = () if mention is None else (mention,)
        receipt = self.world.router.publish(
            CTX, author, Draft(body="text", mentions=mentions), None
        )
        post = Published(receipt.id, author, Content(kind=1, body="text", mentions=mentions))
        self.posts.append(post)
        self._did(post, receipt)

    @precondition(lambda self: self.posts)
    @rule(pick=picks)
    def remove(self, pick: int) -> None:
        post = self._post(pick)
        receipt = self.world.router.remove_post(CTX, post.author, post.id, None)
        self._did(Removed(receipt.id, post.author, post.id), receipt)

    @rule(follower=users, author=users, backfill=st.sampled_from((0, 1, 100)))
    def follow(self, follower: int, author: int, backfill: int) -> None:
        if follower == author:
            return
        receipt = self.world.router.follow(CTX, NewFollow(follower, author, None, backfill))
        self._did(Followed(receipt.id, follower, author, backfill), receipt)

    @rule(follower=users, author=users)
    def unfollow(self, follower: int, author: int) -> None:
        if follower == author:
            return
        receipt = self.world.router.unfollow(CTX, follower, author, None)
        self._did(Unfollowed(receipt.id, follower, author), receipt)

    @precondition(lambda self: self.posts)
    @rule(actor=users, pick=picks, back=st.booleans())
    def like(self, actor: int, pick: int, back: bool) -> None:
        post = self._post(pick)
        ref = PostRef(post.author, post.id)
        if back:
            receipt = self.world.router.unlike(CTX, actor, ref, None)
            self._did(Unliked(receipt.id, actor, post.author, post.id), receipt)
        else:
            receipt = self.world.router.like(CTX, actor, ref, None)
            self._did(Liked(receipt.id, actor, post.author, post.id), receipt)

    @precondition(lambda self: self.events)
    @rule(reader=users, lane=st.sampled_from((POSTS, NOTICES)), pick=picks)
    def mark(self, reader: int, lane: int, pick: int) -> None:
        upto = self.events[pick % len(self.events)]
        receipt = self.world.router.mark_read(CTX, reader, Lane(lane), upto)
        self._did(Marked(receipt.id, reader, lane, upto), receipt)

    @rule(reader=users)
    def look(self, reader: int) -> None:
        try:
            self._look(reader)
        except Unavailable:
            return  # the new home has to apply first what was seen; nobody works meanwhile

    # What works.

    @rule(cell=st.sampled_from(CELLS), batches=st.integers(1, 3))
    def work(self, cell: str, batches: int) -> None:
        for _ in range(batches):
            self.world.cells[cell].work()

    @rule()
    def tick(self) -> None:
        self.world.tick()

    @rule(cell=st.sampled_from(CELLS))
    def forget(self, cell: str) -> None:
        """A worker loses its memory, as after a failure of its tables."""
        worked = self.world.cells[cell]
        worked.worker._recover(Unavailable("a failure"), STOPPED)

    @rule(cell=st.sampled_from(CELLS), back=st.integers(1, 5))
    def rewind(self, cell: str, back: int) -> None:
        member = self.world.cells[cell].member
        worker = self.world.cells[cell].worker
        for partition, progress in worker._owned.items():
            member.seek(partition, max(0, progress.next - back))
            progress.next = max(0, progress.next - back)
        worker._forget()

    @rule()
    def refresh_router(self) -> None:
        self.world.routes.refresh()

    @rule(
        cells=st.sets(st.sampled_from(CELLS), min_size=1),
        pull=st.booleans(),
        readers=st.sets(users, max_size=USERS),
        authors=st.sets(users, max_size=2),
        pairs=st.sets(st.tuples(users, users), max_size=3),
    )
    def switch(
        self,
        cells: set[str],
        pull: bool,
        readers: set[int],
        authors: set[int],
        pairs: set[tuple[int, int]],
    ) -> None:
        """Some are pulled from now on, or pushed; wherever they are homed."""
        named = (tuple(sorted(readers)), tuple(sorted(authors)), tuple(sorted(pairs)))
        for cell in sorted(cells):
            self.world.tell(cell, Switched(pull, Why.PINNED, *named))

    # Moves.

    @rule(
        user=users,
        whole=st.sampled_from(("", "", "half", "all")),
        keep=st.booleans(),
        stop=st.sampled_from((False, False, True)),
    )
    def begin(self, user: int, whole: str, keep: bool, stop: bool) -> None:
        place = spread(user)
        home = self.world.routes.home(user).cell
        target = CELLS[1 - CELLS.index(home)]
        start, last = {
            "": (place, place),
            "half": (place - place % (1 << 63), place - place % (1 << 63) + (1 << 63) - 1),
            "all": (0, (1 << 64) - 1),
        }[whole]
        reader = user if not whole else 0
        wanted = Wanted(start, last, target, reader, 3_600_000 if keep else 0, stop)
        try:
            self.world.begin(wanted)
        except Refused:
            return  # somebody in it is on the way already, or at home there

    @rule(pick=picks, stages=st.integers(1, 9), settled=st.sampled_from((False, False, True)))
    def carry(self, pick: int, stages: int, settled: bool) -> None:
        for _ in range(stages):
            if settled:
                self.world.settle()
            due = self.world.due()
            if not due:
                return
            found = due[pick % len(due)]
            self.old = [*self.old[-ZOMBIES_MAX:], found]
            self.world.carry(found)

    @rule(
        reader=users,
        author=users,
        turns=st.lists(st.lists(st.sampled_from(TURNS), max_size=5), min_size=15, max_size=30),
        keep=st.booleans(),
    )
    def see_through(self, reader: int, author: int, turns: list[list[str]], keep: bool) -> None:
        """One reader's move, stage by stage, while the reader and an author do not sit still."""
        self.world.routes.refresh()
        self.begin(reader, "", keep, stop=False)
        for some in turns:
            for turn in some:
                self._take(turn, reader, author)
            mine = [f for f in self.world.due() if f.move.reader == reader]
            if mine:
                self.world.carry(mine[0])

    def _take(self, turn: str, reader: int, author: int) -> None:
        if turn in CELLS:
            self.world.tick()
            self.world.cells[turn].work()
        elif turn == "publish":
            self.publish(author, None)
        elif turn == "mention":
            self.publish(author, reader)
        elif turn == "remove":
            self._remove_newest(author)
        elif turn == "look":
            self.world.routes.refresh()
            self.look(reader)
        elif turn == "unfollow":
            self.unfollow(reader, author)
        elif turn in ("follow", "follow without"):
            self.follow(reader, author, 0 if turn == "follow without" else 1)
        elif turn in ("pull", "push"):
            self.switch(set(CELLS), turn == "pull", {reader}, set(), set())
        elif turn in ("pull author", "push author"):
            cell = CELLS[len(self.events) % 2]
            self.switch({cell}, turn == "pull author", set(), {author}, set())
        elif turn == "pull pair":
            self.switch(set(CELLS), True, set(), set(), {(reader, author)})
        elif turn == "mark" and self.events:
            self.mark(reader, POSTS, len(self.events) - 1)
        elif turn in ("like", "unlike") and self.posts:
            self.like(author, len(self.posts) - 1, turn == "unlike")

    def _remove_newest(self, author: int) -> None:
        for pick in range(len(self.posts) - 1, -1, -1):
            if self.posts[pick].author == author:
                return self.remove(pick)
        return None

    @rule(pick=picks, when=st.sampled_from(When))
    def die(self, pick: int, when: When) -> None:
        """The mover dies at some point of its stage; another begins with the record."""
        due = self.world.due()
        if not due:
            return

        def die(stage: Stage, reached: When) -> None:
            if reached is when:
                self.killed.add((stage, when))
                raise Killed

        self.world.reach = die
        try:
            self.world.carry(due[pick % len(due)])
        finally:
            self.world.reach = unharmed

    @precondition(lambda self: self.old)
    @rule(pick=picks)
    def wake(self, pick: int) -> None:
        """A mover that stood still since it read the record goes on."""
        self.zombies = True
        self.world.carry(self.old[pick % len(self.old)])

    @rule(pick=picks, verb=picks)
    def act(self, pick: int, verb: int) -> None:
        """An operator decides something."""
        open_ = [self.world.found(i) for i in self._open()]
        able = [f for f in open_ if next_steps(f.move)]
        if able:
            found = able[pick % len(able)]
            verbs = next_steps(found.move)
            self._act(found, verbs[verb % len(verbs)])

    def teardown(self) -> None:
        """All moves come to their ends, and all is right."""
        world = self.world
        try:
            world.settle()
            for _ in range(10):
                world.finish()
                open_ = [world.found(i) for i in self._open()]
                for found in open_:
                    assert not found.move.trouble, found.move
                    verb = "complete" if "complete" in next_steps(found.move) else "cancel"
                    self._act(found, verb)
                if not open_:
                    break
            assert not self._open()
            world.routes.refresh()
            world.settle()
            world.tick()
            for user in range(1, USERS + 1):
                self._look(user)
                self._nothing_left(user)
            for cell in CELLS:
                self._no_arrival_left(cell)
        finally:
            world.close()
            self.folder.cleanup()

    # The means.

    def _look(self, reader: int) -> None:
        page = self.world.page(PageQuery(reader, frozenset(Lane), limit=LIMIT))
        if not self.world.in_progress(page.cell):
            want = self.world.as_of(page.cell).entries(reader, BOTH, set())[:LIMIT]
            got = [line_of(entry) for entry in page.entries]
            assert got == want, difference(want, got)
        lows = self.world.lows(page.cell)
        before = self.seen.get(reader, lows)
        assert all(a <= b for a, b in zip(before, lows, strict=True)), (before, lows)
        self.seen[reader] = lows

    def _nothing_left(self, user: int) -> None:
        """The cell that is not home holds nothing of the user, but marks."""
        if self.zombies:
            return  # one that woke up late may have written what nobody reads
        home = self.world.routes.home(user).cell
        for cell in CELLS:
            if cell != home:
                for table in (*slice_rows.SLICE_TABLES[:-1], keys.COVERAGE):
                    assert not self.world.rows_left(cell, user, table), (cell, user, table)

    def _no_arrival_left(self, cell: str) -> None:
        """Authors who were brought with a slice are known as long as somebody of it is here."""
        if self.zombies:
            return
        stores = self.world.cells[cell].stores
        homes = homes_now(stores.state().read().values())
        for row in stores.tables.scan(keys.CELL, *keys.BROUGHT_KEYS, 1_000):
            (start, last, band), _ = parse_key(row.key)
            assert band in {here for _, _, here in homes.within(start, last)}, (cell, row)

    def _act(self, found: Found, verb: str) -> None:
        world, now_ms = self.world, self.world.clock.now_ms()
        try:
            if verb == "reverse":
                ends = world.cells["a"].stores.ends()
                reverse_move(world.registry, found, ends, "test", now_ms)
                return
            if verb == "switch":
                changed = let_switch(found.move, "test", now_ms)
            elif verb == "verify":
                changed = verify_again(found.move, "test", now_ms)
            else:
                changed = happened(found.move, verb, "test", now_ms)
            write_move(world.registry, changed, found.version)
        except Refused:
            return  # the verification is too old

    def _open(self) -> list[int]:
        return open_moves(self.world.registry)

    def _did(self, operation: Operation, receipt: Receipt) -> None:
        self.events.append(receipt.id)
        self.world.acknowledged(operation, receipt.token)

    def _post(self, pick: int) -> Published:
        return self.posts[pick % len(self.posts)]
