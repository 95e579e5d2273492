"""Random lives of one or two cells: a log, and workers that are killed, stalled, starved of memory,
rewound and doubled while they apply it. Each life is one seed."""

from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from cell import keys
from cell.commands import Command, GroupRewound, LetterRetried, SliceArrived, SliceLeft
from cell.keys import parse_pair
from cell.state import homes_now
from cell.tables import Row
from cell.versions import at_of, band_of, version_of
from firehose.codec import Poison, decode, encode, is_gone
from firehose.event import (
    Draft,
    Event,
    Followed,
    Lane,
    Liked,
    MarkedRead,
    PostCreated,
    PostKind,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from idgen.errors import Unavailable
from idgen.ids import U64, compose, partition_of, spread, unspread
from tests.sim.cell_oracle import held
from tests.sim.cell_rows import difference, found_in
from tests.sim.cell_world import (
    Bounds,
    CellWorld,
    Fault,
    Killed,
    MemoryLog,
    Process,
    Stalled,
)
from tests.unit.firehose_world import NOW_MS


class Drawn:
    """Random events that make sense together, and retries, duplicates and nonsense."""

    def __init__(self, rnd: Random) -> None:
        self._rnd = rnd
        self._sequence = 0
        self.users = list(range(1, rnd.choice([3, 3, 5, 8])))
        self._authors = self.users[: rnd.choice([1, 2, 4])]
        self.posts: list[PostCreated] = []
        self.past: list[Event] = []

    def next_id(self) -> int:
        self._sequence += self._rnd.choice([1, 1, 1, 5])
        early = self._rnd.choice([0, 0, 0, 9])  # ids of several servers are not in the log's order
        return compose(NOW_MS + self._sequence - early, 1, self._sequence % 4096)

    def event(self) -> Event:
        rnd = self._rnd
        x = rnd.random()
        if self.past and rnd.random() < 0.06:
            again = rnd.choice(self.past)
            if not isinstance(again, PostCreated) or again.brought:
                return again
        event = self._any(x)
        self.past.append(event)
        return event

    def _any(self, x: float) -> Event:
        rnd = self._rnd
        author = rnd.choice(self._authors)
        if x < 0.34 or not self.posts:
            return self._post(author)
        known = rnd.choice(self.posts)
        if x < 0.42:
            # Also of what never was, or is not there yet.
            post_id = known.id if rnd.random() < 0.9 else self.next_id()
            removal = PostRemoved(self.next_id(), known.author, post_id)
            if post_id != known.id and rnd.random() < 0.5:
                late = PostCreated(post_id, known.author, Draft(body="late"), brought=True)
                self.past.append(late)
            return removal
        reader = rnd.choice(self.users)
        if x < 0.80 and reader != author:
            if x < 0.65:
                return Followed(self.next_id(), reader, author, rnd.randrange(4))
            return Unfollowed(self.next_id(), reader, author)
        if x < 0.90:
            return Liked(self.next_id(), reader, known.author, known.id)
        if x < 0.96:
            return Unliked(self.next_id(), reader, known.author, known.id)
        return MarkedRead(self.next_id(), reader, rnd.choice(list(Lane)), known.id)

    def _post(self, author: int) -> PostCreated:
        rnd = self._rnd
        others = [u for u in self.users if rnd.random() < 0.15]
        ref = rnd.choice(self.posts) if self.posts and rnd.random() < 0.3 else None
        other = rnd.choice(self.posts) if self.posts and rnd.random() < 0.2 else None
        draft = Draft(
            rnd.choice(list(PostKind)),
            body="x",
            mentions=tuple(others),
            reblog_of=PostRef(ref.author, ref.id) if ref else None,
            reply_to=PostRef(other.author, other.id) if other else None,
        )
        post = PostCreated(self.next_id(), author, draft, brought=rnd.random() < 0.5)
        self.posts.append(post)
        return post


@dataclass(frozen=True)
class Slice:
    """Places start..last in a cell under a band."""

    start: int
    last: int
    band: int


@dataclass
class Moving:
    """A slice on its way to another cell: what a mover does, without its care for readers."""

    source: CellWorld
    target: CellWorld
    piece: Slice
    band: int
    since: tuple[int, ...]
    stage: int = 0

    @property
    def arrived(self) -> Slice:
        return Slice(self.piece.start, self.piece.last, self.band)

    def copy(self, *, state: bool) -> list[tuple[str, Row]]:
        """The rows of the slice, lifted into the new band: its state rows, or the rest."""
        tables = self.source.tables
        start, stop = keys.place_bytes(self.piece.start), keys.after_prefix(self.piece.last)
        found: list[tuple[str, Row]] = []
        names = (keys.FOLLOWING, keys.LIKES, keys.FANS) if state else (keys.INBOX, keys.NOTICES)
        for name in names:
            for key, version, value in tables.scan(name, start, stop, 1_000_000):
                if band_of(version) != self.piece.band:
                    continue
                lifted = version_of(self.band, at_of(version))
                found.append((name, Row(key, lifted, value)))
                if name == keys.FOLLOWING:
                    place, author = parse_pair(key)
                    other = keys.pair_key(spread(author), unspread(place))
                    found.append((keys.FOLLOWERS, Row(other, lifted, value)))
        if not state:
            marks = tables.scan(keys.MARKS, start, stop, 1_000_000)
            found += [(keys.MARKS, row) for row in marks]
        return found


class Life:
    """One random history of cells that apply one log."""

    def __init__(self, seed: int) -> None:
        self.rnd = rnd = Random(seed)
        self.keeping = Random(seed)
        self.rewinding = Random(seed)
        self.bounds = Bounds.drawn(rnd)
        self.log = MemoryLog(rnd.choice([1, 1, 2, 3]))
        self.drawn = Drawn(rnd)
        self.events: list[tuple[int, int, Event]] = []
        self.void: set[tuple[int, int]] = set()
        self.told: list[str] = []
        self.moving: Moving | None = None
        self.copied: list[tuple[CellWorld, list[tuple[str, Row]]]] = []
        self.commands: list[tuple[CellWorld, Command]] = []
        self.epoch = 10
        names = ["a"] if rnd.random() < 0.5 else ["a", "b"]
        self.poison_share = rnd.choice([0, 0, 0.15]) if len(names) == 1 else 0
        self.poison: set[bytes] = set()
        self.upgraded = False
        base = rnd.choice([0, 0, 1000])
        self.cells = [
            CellWorld(n, self.log, Random(rnd.random()), self.bounds, base) for n in names
        ]
        cuts = [
            0,
            *sorted(spread(rnd.randrange(1, 9)) for _ in range(len(names) - 1 + rnd.randrange(2))),
        ]
        self.slices: list[tuple[CellWorld, Slice]] = []
        for i, start in enumerate(cuts):
            last = cuts[i + 1] - 1 if i + 1 < len(cuts) else U64
            cell = self.cells[i % len(names)]
            self.slices.append((cell, Slice(start, last, rnd.randrange(1, 5))))
        self.late = [s for s in self.slices if rnd.random() < 0.25]
        if self.poison_share:
            # A letter too late for an edge may be in time for the notice, in a slice yet to come.
            self.late = []
        for cell, piece in self.slices:
            if (cell, piece) not in self.late:
                self._arrive(cell, piece)
        self.running = {
            c.name: [self._start(c, i) for i in range(rnd.choice([1, 1, 2]))] for c in self.cells
        }

    def _start(self, cell: CellWorld, number: int) -> Process:
        return cell.start(f"{cell.name}{number}")

    def _arrive(self, cell: CellWorld, piece: Slice) -> None:
        since = (0,) * self.log.partitions
        self._tell(cell, SliceArrived(piece.start, piece.last, piece.band, since))

    def _tell(self, cell: CellWorld, command: Command) -> None:
        cell.command(command)
        self.commands.append((cell, command))
        self.told.append(f"-- {cell.name} is told {command}")

    def homed(self, cell: CellWorld, user: int) -> bool:
        place = spread(user)
        return any(c is cell and s.start <= place <= s.last for c, s in self.slices)

    def append(self) -> None:
        event = self.drawn.event()
        partition = partition_of(event.key_user, self.log.partitions)
        value = encode(event)
        ((_, offset, _),) = self.log.append([(partition, value)])
        self.events.append((partition, offset, event))
        # What takes back, and is retried, does not take back what was delivered in between.
        takes_back = isinstance(event, Unfollowed | PostRemoved)
        new = all(event != e for _, _, e in self.events[:-1])
        if self.rnd.random() < self.poison_share and new and not takes_back:
            self.poison.add(value)
        bad = "bad " if value in self.poison else ""
        self.told.append(f"{partition}/{offset} {bad}{event}")

    def _decode(self, value: bytes) -> Event:
        """As a version of the program that cannot apply some events."""
        if value in self.poison:
            raise Poison("not understood by this version")
        return decode(value)

    def _upgrade(self) -> None:
        """All is understood from now on; what had become dead letters is retried.

        A letter on whose edge, like or post something newer was done by then comes too late.
        """
        for cell in self.cells:
            self._calm(cell)
        self.told.append("-- upgrade")
        self.poison.clear()
        self.upgraded = True
        self.poison_share = 0
        for cell in self.cells:
            # A batch from before would write what came out without the letters.
            cell.stalled.clear()
            self._rewind(cell)
            for letter in cell.dead.list():
                event = decode(letter.value)
                row = _register_of(cell, event)
                if row is not None and at_of(row.version) > cell.log_base + letter.offset + 1:
                    self.void.add((letter.partition, letter.offset))
                self._tell(cell, LetterRetried(letter.partition, letter.offset))

    def live(self, steps: int) -> None:
        with self.bounds.set(), patch("cell.ingest.decode", self._decode):
            for cell in self.cells:
                cell.assign(self.running[cell.name])
            for _ in range(steps):
                for _ in range(self.rnd.choice([0, 1, 1, 3])):
                    self.append()
                if self.late and self.rnd.random() < 0.1:
                    cell, piece = self.late.pop()
                    self._arrive(cell, piece)
                self._disturb(self.rnd.choice(self.cells))
                self._keep(self.keeping.choice(self.cells))
                self._rewind_running(self.rewinding.choice(self.cells))
                if self.poison and self.rnd.random() < 0.05:
                    self._upgrade()
                if len(self.cells) > 1 and self.rnd.random() < 0.3:
                    self._move()
            while self.moving is not None:
                self._move()
            for cell, piece in self.late:
                self._arrive(cell, piece)
            if self.poison:
                self._upgrade()
            for cell in self.cells:
                self._calm(cell)
                cell.keeper.check()
            for cell in self.cells:
                self._retry_again(cell)
                self.check(cell)
                self._replay(cell)

    def _keep(self, cell: CellWorld) -> None:
        """A dashboard reads some changes, and keeps what it has read of a reader."""
        cell.keeper.follow(self.keeping.choice([0, 1, 5]))
        cell.keeper.check_now(cell.log_base)
        if self.drawn.posts:
            post = self.keeping.choice(self.drawn.posts)
            reader = self.keeping.choice(self.drawn.users)
            cell.keeper.keep(reader, PostRef(post.author, post.id))

    def _disturb(self, cell: CellWorld) -> None:
        rnd = self.rnd
        processes = self.running[cell.name]
        process = rnd.choice(processes)
        x = rnd.random()
        if x < 0.12:
            self._break(cell, process, Killed)
        elif x < 0.2:
            self._break(cell, process, Stalled)
        elif x < 0.28:
            process.fault = Fault(rnd.randrange(12), lambda: Unavailable("torn"))
            self._step(cell, process)
        elif x < 0.32:
            cell.assign(processes)
            self.told.append(f"-- {cell.name} assigns")
        elif x < 0.36:
            process.member.blind = rnd.randrange(3)
            cell.assign(processes)
        elif x < 0.40 and cell.stalled:
            woken = cell.stalled.pop(rnd.randrange(len(cell.stalled)))
            self.told.append(f"-- {cell.name} stalled worker goes on")
            if rnd.random() < 0.5:
                woken.fault = Fault(rnd.randrange(8), Killed)
            try:
                cell.wake(woken)
            except Killed:
                return
            if rnd.random() < 0.5:
                self._step(cell, woken)
        elif x < 0.44:
            self._rewind(cell)
        else:
            self._step(cell, process)

    def _move(self) -> None:
        """One more step of a move, which may be cancelled; sometimes a mover does one over."""
        rnd = self.rnd
        if rnd.random() < 0.1 and self.copied:
            self._put(*rnd.choice(self.copied))
        if rnd.random() < 0.1 and self.commands:
            self._tell(*rnd.choice(self.commands))
        m = self.moving
        if m is None:
            self.moving = self._begin()
            return
        m.stage += 1
        self.told.append(f"-- move of {m.piece} to {m.target.name}, step {m.stage}")
        if m.stage <= 4 and rnd.random() < 0.1:
            self._tell(m.target, SliceLeft(m.piece.start, m.piece.last, m.band))
            self.moving = None
        elif m.stage in (1, 2):
            self.copied.append((m.target, m.copy(state=m.stage == 1)))
            self._put(*self.copied[-1])
        elif m.stage == 3:
            self._tell(m.target, SliceArrived(m.piece.start, m.piece.last, m.band, m.since))
        elif m.stage == 4:
            self.slices.remove((m.source, m.piece))
            self.slices.append((m.target, m.arrived))
        else:
            self._tell(m.source, SliceLeft(m.piece.start, m.piece.last, m.piece.band))
            self.moving = None

    def _begin(self) -> Moving | None:
        cell, piece = self.rnd.choice(self.slices)
        states = cell.states()
        if (piece.start, piece.last, piece.band) not in homes_now(states.values()).ranges:
            return None
        since = tuple(states[p].unfinished for p in range(self.log.partitions))
        self.epoch += 1
        target = next(c for c in self.cells if c is not cell)
        self.told.append(f"-- move of {piece} to {target.name} as {self.epoch} since {since}")
        return Moving(cell, target, piece, self.epoch, since)

    def _put(self, cell: CellWorld, rows: list[tuple[str, Row]]) -> None:
        for name, row in rows:
            cell.tables.put(name, [row])

    def _step(self, cell: CellWorld, process: Process) -> None:
        cell.step(process)
        process.fault = None
        self.told.append(f"-- {cell.name} {process.worker._client} step")

    def _break(self, cell: CellWorld, process: Process, how: type[BaseException]) -> None:
        process.fault = Fault(self.rnd.randrange(12), how)
        try:
            cell.step(process)
        except (Killed, Stalled):
            self.told.append(f"-- {cell.name} {how.__name__}")
            if how is Stalled:
                cell.stalled.append(process)
            self._replace(cell, process)
        process.fault = None

    def _replace(self, cell: CellWorld, process: Process) -> None:
        processes = self.running[cell.name]
        processes.remove(process)
        processes.append(self._start(cell, len(self.told)))
        cell.assign(processes)

    def _rewind(self, cell: CellWorld) -> None:
        """Stop all, set the checkpoints back, start anew."""
        rnd = self.rnd
        for partition in range(self.log.partitions):
            have = cell.group.checkpoints.get(partition, 0)
            cell.group.checkpoints[partition] = rnd.randint(0, have)
        self.told.append(f"-- {cell.name} rewinds to {cell.group.checkpoints}")
        count = len(self.running[cell.name])
        self.running[cell.name] = [self._start(cell, 100 + i) for i in range(count)]
        cell.assign(self.running[cell.name])

    def _rewind_running(self, cell: CellWorld) -> None:
        """Sometimes tell the workers to go back, whatever they are at."""
        if self.rewinding.random() < 0.02:
            ends = dict(enumerate(map(len, self.log.records)))
            back = {p: self.rewinding.randint(0, end) for p, end in ends.items()}
            cell.command(GroupRewound(back))
            self.told.append(f"-- {cell.name} goes back to {back}")

    def _calm(self, cell: CellWorld) -> None:
        cell.settle(self.running[cell.name])
        for woken in cell.stalled:
            cell.wake(woken)
        cell.settle(self.running[cell.name])

    def _retry_again(self, cell: CellWorld) -> None:
        """What was being retried when a worker died stays open, and does no harm done again."""
        for letter in cell.dead.list():
            self._tell(cell, LetterRetried(letter.partition, letter.offset))
        cell.settle(self.running[cell.name])
        assert cell.dead.list() == []

    def _replay(self, cell: CellWorld) -> None:
        before = cell.store.dump()
        self.told.append("-- replay")
        cell.group.checkpoints = {
            p: self.rnd.choice([0, self.rnd.randint(0, len(r))])
            for p, r in enumerate(self.log.records)
        }
        self.running[cell.name] = [self._start(cell, 200)]
        cell.assign(self.running[cell.name])
        cell.settle(self.running[cell.name])
        # Once more, by a worker that runs.
        cell.command(GroupRewound({p: len(r) // 2 for p, r in enumerate(self.log.records)}))
        cell.settle(self.running[cell.name])
        after = cell.store.dump()
        changed = {
            k: (before.get(k), after.get(k))
            for k in before | after
            if before.get(k) != after.get(k)
        }
        assert not changed, f"I11: replaying changed {changed}"

    def check(self, cell: CellWorld) -> None:
        """The cell holds what the oracle says."""
        events = [event for p, offset, event in self.events if (p, offset) not in self.void]
        expected = held(events, lambda user: self.homed(cell, user))
        found = found_in(cell)
        if self.upgraded:
            # Follows had taken older posts in place of those that were dead letters then.
            for reader, post, author in found.inbox.keys() - expected.inbox.keys():
                if (reader, author) in expected.edges and expected.posts[author, post]:
                    del found.inbox[reader, post, author]
        assert found == expected, difference(found, expected)


def _register_of(cell: CellWorld, event: Event) -> Row | None:
    """The row that says whether an event of an older version does anything."""
    match event:
        case (
            Followed(follower=follower, author=author)
            | Unfollowed(follower=follower, author=author)
        ):
            table, key = keys.FOLLOWING, keys.pair_key(spread(follower), author)
        case Liked(author=author) | Unliked(author=author):
            table, key = keys.LIKES, keys.like_key(author, event.post_id, event.actor)
        case PostRemoved(author=author, post_id=post_id):
            table, key = keys.POSTS, keys.post_key(author, post_id)
        case PostCreated(author=author, id=post_id):
            row = cell.tables.get(keys.POSTS, [keys.post_key(author, post_id)])[0]
            return row if row is not None and is_gone(row.value) else None
        case _:
            return None
    row = cell.tables.get(table, [key])[0]
    return None if row is None or is_gone(row.value) else row
