"""The ingest worker: applies its share of the firehose's partitions to the tables of one cell.

A batch is polled, evaluated in memory, written phase by phase, and only then do the applied
position and the checkpoint move. Whatever fails before that leads to one way back: forget all
memory, read again from the position. Versions make the repetition harmless.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from cell import commands
from cell.activity import Activity
from cell.beginning import beginning, refuse_lost
from cell.changes import Changed, announce, changed_by
from cell.counted_posts import CountedPosts
from cell.evaluation import Evaluation
from cell.filling import is_void
from cell.followers import FollowerSets
from cell.known_coverage import Here, KnownCoverage
from cell.obeying import Told, arriving, residents_after
from cell.progress import Progress
from cell.reads import Applying, Reads
from cell.residents import Homes
from cell.retried_letters import RetriedLetters
from cell.side_by_side import SideBySide
from cell.state import PartitionState
from cell.stores import CellStores
from cell.switching import obey, write_stamps
from cell.versions import at_of_offset
from firehose.checkpoint import Checkpoints, Member
from firehose.codec import Poison, decode
from firehose.event import Event
from firehose.log import Record
from idgen.clock import Clock
from idgen.errors import Conflict, Corrupt, Unavailable
from idgen.ids import U64Array, partition_of

_log = structlog.get_logger(__name__)

COMMANDS_EVERY_MS = 500
PAUSE_MS = 500


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Bounds of one worker.

    `batch_events` per poll, written in parts of about `batch_rows` entries; an event with more than
    `giant_rows` entries is done in chunks of `chunk_rows` between batches; beyond `open_rows_max`
    rows in open jobs nothing new is polled; `edges_max` edges in memory (about 25 bytes each in
    large sets, 200 in small ones).
    Others' posts wait for one chunk: beside a post to a million, those with 300 followers were seen
    after 0.39 s (p99) with chunks of 6,000, 0.54 s with 10,000, 0.88 s with 20,000; the million
    took 17, 15 and 15 s.
    A worker that died or was stopped loses its partitions after `session_ms`; one whose tables are
    slow keeps them for `busy_ms`, or it would never get to its commit.
    """

    batch_events: int = 5_000
    batch_rows: int = 300_000
    giant_rows: int = 20_000
    chunk_rows: int = 8_000
    open_rows_max: int = 4_000_000
    edges_max: int = 4_000_000
    poll_ms: int = 200
    session_ms: int = 10_000
    busy_ms: int = 300_000


@dataclass(slots=True)
class IngestStats:
    """What a worker has done since it started; read by metrics."""

    batches: int = 0
    events: int = 0
    entries: int = 0
    rows: int = 0
    dead_letters: int = 0
    recoveries: int = 0
    conflicts: int = 0
    lag_ms: int = 0
    open_jobs: int = 0
    edges: int = 0
    not_pushed: int = 0


class IngestWorker:
    """One worker; `run` is its thread's or process's whole life."""

    def __init__(
        self,
        stores: CellStores,
        checkpoints: Checkpoints,
        client: str,
        clock: Clock,
        settings: IngestSettings | None = None,
        activity: Activity | None = None,
    ) -> None:
        self._stores = stores
        self._checkpoints = checkpoints
        self._client = client
        self._clock = clock
        self._settings = settings or IngestSettings()
        self._state = stores.state()
        self._owned: dict[int, Progress] = {}
        self._homes: dict[int, Homes] = {}
        self._followers = FollowerSets(
            stores.tables, self._owns, self._homes_of, self._settings.edges_max
        )
        self._counted = CountedPosts(activity or Activity(), self._followers)
        self._side_by_side = SideBySide()
        self._coverage = KnownCoverage(stores.tables)
        self._evaluation = self._fresh_evaluation()
        self._commands_at_ms = 0
        self._retried = RetriedLetters(stores)
        self.stats = IngestStats()
        self.ready = False
        self.trouble = ""

    @property
    def group(self) -> str:
        """The consumer group of the cell."""
        return group_of(self._stores.name)

    def owns(self, partition: int) -> bool:
        """Whether a partition is its own, as far as it knows."""
        return partition in self._owned

    def run(self, stop: threading.Event) -> None:
        """Apply until `stop`. Raises what must not be passed over: an unknown kind of event, a
        retention gap, a log that ends below the applied position."""
        member = self._checkpoints.join(
            self.group, self._client, self._settings.session_ms, self._settings.busy_ms
        )
        try:
            while not stop.is_set():
                try:
                    self.step(member)
                except (Unavailable, Conflict) as e:
                    self._recover(e, stop)
        finally:
            self.ready = False
            self._side_by_side.close()
            member.leave()

    def step(self, member: Member) -> None:
        """Poll, evaluate, write, advance, commit: one batch."""
        self._read_commands(member)
        jobs = self._evaluation.jobs
        records: Sequence[Record] = ()
        if sum(job.left for job in jobs.values()) <= self._settings.open_rows_max:
            wait_ms = 0 if jobs else self._settings.poll_ms
            polled = member.poll(self._settings.batch_events, wait_ms)
            if polled.assigned or polled.revoked or member.owned != self._owned.keys():
                self._take_over(member)
                return
            records = polled.records
        kept = self._of_same_homes(member, records)
        records = [*self._retried.beyond_retention(), *kept]
        todo = [(record, self._applying(record)) for record in records]
        while True:
            done = self._evaluate(todo)
            self._acknowledge(member)
            self._retried.settle([record for record, applying in todo[:done] if applying])
            todo = todo[done:]
            self._work(member)
            if not todo:
                break
        self.ready = True
        self.trouble = ""

    def _work(self, member: Member) -> None:
        """Write a chunk of what is open, as a batch of its own: the events that came meanwhile are
        acknowledged without it."""
        if self._evaluation.jobs:
            self._evaluation.begin(())
            self._evaluation.work(self._settings.chunk_rows)
            self._acknowledge(member)

    # Ownership.

    def _take_over(self, member: Member) -> None:
        """Ownership changed: forget all memory, and read on from the positions."""
        self._forget()
        self._retried.forget()
        kept = self._owned
        self._owned = {}
        if not member.owned:
            return
        committed = self._checkpoints.committed(self.group)
        spans = self._stores.firehose.spans()
        found = self._state.read(sorted(member.owned))
        refuse_lost(self._stores, found, committed)
        starts = {
            p: beginning(self._stores, p, s, committed.get(p), spans[p]) for p, s in found.items()
        }
        # A member that was stopped may believe that it owns what others own now; the commit tells.
        member.commit(starts)
        states = {p: progress.state for p, progress in kept.items()}
        claimed = self._state.claim(p for p in starts if p not in kept)
        announce(self._stores.changes, claimed, Changed())
        states |= claimed
        for partition, start in starts.items():
            member.seek(partition, start)
            self._owned[partition] = Progress(partition, states[partition], start)
        write_stamps(self._stores.tables, {p: s.stamps for p, s in states.items()})
        self._load_coverage()
        self._commands_at_ms = 0
        self._read_commands(member)
        _log.info("partitions taken over", cell=self._stores.name, partitions=sorted(self._owned))

    def _owns(self, authors: U64Array) -> npt.NDArray[np.bool_]:
        """Which of these authors (places) lie in partitions of this worker."""
        partitions = authors % np.uint64(self._stores.firehose.partitions)
        return np.isin(partitions, np.array(sorted(self._owned), dtype=np.uint64))

    def _homes_of(self, place: int) -> Homes:
        """Who is homed here for the next events of the author at `place`."""
        return self._homes[place % self._stores.firehose.partitions]

    def _of_same_homes(self, member: Member, records: Sequence[Record]) -> list[Record]:
        """The records up to where residents change; the others are read again after this batch.

        Follower sets hold edges to those who are homed here, so no batch may span a change (a
        replay meets old ones), and a change makes them void.
        """
        limits = {p: progress.until(progress.next) for p, progress in self._owned.items()}
        kept: list[Record] = []
        for record in records:
            limit = limits[record.partition]
            if limit is None or record.offset < limit:
                kept.append(record)
            elif record.offset == limit:
                member.seek(record.partition, limit)
        homes = {p: progress.homes for p, progress in self._owned.items()}
        if homes != self._homes:
            self._followers.clear()
            self._homes = homes
        return kept

    def _forget(self) -> None:
        self.ready = False
        self._followers.clear()
        self._counted.forget()
        self._evaluation = self._fresh_evaluation()

    def _fresh_evaluation(self) -> Evaluation:
        reads = Reads(self._stores.tables, self._followers, self._side_by_side, self._coverage)
        return Evaluation(reads, self._coverage, self._settings.giant_rows)

    def _recover(self, error: Exception, stop: threading.Event) -> None:
        """The one way back after a failure: wait a moment, then read again from the positions."""
        _log.warning("ingest recovers", cell=self._stores.name, error=str(error))
        self.stats.recoveries += 1
        self.trouble = str(error)
        self._forget()
        self._retried.forget()
        self._owned = {}  # the next step, after a poll, sees that it has to take over
        stop.wait(PAUSE_MS / 1000)

    # Commands.

    def _read_commands(self, member: Member) -> None:
        """Stamp new commands in each owned partition, and store stamp and effect; after a look
        whether they are still its own."""
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._commands_at_ms or not self._owned:
            return
        self._commands_at_ms = now_ms + COMMANDS_EVERY_MS
        self._state.check_owned({p: progress.state for p, progress in self._owned.items()})
        log = self._stores.commands
        end = log.spans()[0].end
        at = min(p.state.commands for p in self._owned.values())
        changed = False
        while at < end:
            records = log.read(0, at, limit=100, timeout_ms=1000)
            if records:
                changed |= self._obey(records)
                at = records[-1].offset + 1
        if changed:
            self._restart(member)

    def _obey(self, records: Sequence[Record]) -> bool:
        """Apply commands to every owned partition that has not seen them, and store what comes of
        them at once; True: anything changed. One by one, twenty slices that arrive together cost
        twenty writes for each of 64 partitions."""
        told = [Told(r.offset, r.at_ms, commands.decode(r.value)) for r in records]
        self._cover(told)
        obeyed = [(progress, *self._obeyed(progress, told)) for progress in self._owned.values()]
        self._side_by_side.run(
            [
                partial(self._change, progress, state)
                for progress, state, _ in obeyed
                if state != progress.state
            ]
        )
        stamped = {p: progress.state.stamps for p, progress in self._owned.items()}
        write_stamps(self._stores.tables, stamped)
        self._coverage.stamp(stamped)
        if any(changed for _, _, changed in obeyed):
            self._load_coverage()  # whose rows hold in which band may have changed
            return True
        return False

    def _load_coverage(self) -> None:
        """Read all that is known of who is pulled: all rows are there of what any of its own
        partitions has obeyed."""
        first = min(self._owned.values(), key=lambda progress: progress.state.commands)
        here = {
            p: [
                Here(r.start, r.last, at_of_offset(self._stores.log_base, r.since))
                for r in progress.residents.rows
                if r.until < 0
            ]
            for p, progress in self._owned.items()
        }
        self._coverage.load(first.state.commands, first.residents.now(), here)

    def _cover(self, told: Sequence[Told]) -> None:
        """Write the rows of switches; before their stamps, so that whoever has those finds them."""
        first = min(self._owned.values(), key=lambda progress: progress.state.commands)
        residents = first.residents
        for offset, at_ms, command in told:
            if offset < self._coverage.known:
                continue
            void = isinstance(command, commands.Filled) and is_void(
                self._stores.commands, command, offset
            )
            if isinstance(command, commands.Switched | commands.Filled) and not void:
                homes = residents.now()
                self._coverage.put(obey(self._stores.tables, command, offset, at_ms, homes))
            residents = residents_after(command, residents, first.partition, first.next)
            self._coverage.known = offset + 1

    def _obeyed(
        self, progress: Progress, told: Sequence[Told]
    ) -> tuple[PartitionState, bool]:
        """The state of a partition after commands that are stamped now, and whether there is
        anything to be done for them."""
        state, residents, changed = progress.state, progress.residents, False
        state = msgspec.structs.replace(state, stamps=())
        for offset, _, command in told:
            if state.commands > offset:
                continue
            after = residents_after(command, residents, progress.partition, progress.next)
            differs = after.rows != residents.rows
            state = msgspec.structs.replace(state, commands=offset + 1, residents=after.rows)
            if isinstance(command, commands.Switched):
                # Not at what was evaluated before, however far a rewind has gone back.
                at = at_of_offset(self._stores.log_base, max(progress.next, state.high))
                state = msgspec.structs.replace(state, stamps=(*state.stamps, (offset, at)))
            again = self._again_from(command, progress.partition, differs)
            if again is not None:
                state = progress.go_back(state, again, arriving(command))
            changed |= again is not None or differs
            residents = after
        return state, changed

    def _again_from(self, command: commands.Command, partition: int, changes: bool) -> int | None:
        """From which offset on a command, which changes the residents or not, has a partition
        applied again; None: it has not."""
        if isinstance(command, commands.SliceArrived):
            return command.since[partition] if changes else None
        if isinstance(command, commands.LetterRetried) and command.partition == partition:
            # All behind it may have come out otherwise without it: posts not delivered to who had
            # followed, a follow that changed nothing since an unfollow was missing.
            open_ = self._retried.take(partition, command.offset)
            return self._retained(partition, command.offset) if open_ else None
        if isinstance(command, commands.GroupRewound) and partition in command.offsets:
            return self._retained(partition, command.offsets[partition])
        return None

    def _retained(self, partition: int, offset: int) -> int:
        """`offset`, or where the log begins by now."""
        return max(offset, self._stores.firehose.spans()[partition].start)

    def _restart(self, member: Member) -> None:
        """Residents changed, or a partition goes back: forget all memory, and read on from where
        nothing is half done."""
        for partition, progress in self._owned.items():
            progress.next = progress.checkpoint(self._open_offsets(partition))
            member.seek(partition, progress.next)
        self._forget()

    # A batch.

    def _evaluate(self, todo: Sequence[tuple[Record, Applying | None]]) -> int:
        """Evaluate records in the order of their partitions, until they make `batch_rows` entries.

        Returns how many were evaluated.
        """
        self._evaluation.begin([a for _, a in todo if a is not None])
        done = 0
        for record, applying in todo:
            if self._evaluation.batch.entries.count >= self._settings.batch_rows:
                break
            if applying is not None:
                self._evaluation.apply(applying)
                self._counted.add(applying, record.at_ms)
            progress = self._owned[record.partition]
            progress.next = max(progress.next, record.offset + 1)
            done += 1
        self.stats.events += done
        return done

    def _applying(self, record: Record) -> Applying | None:
        """A record as an event to apply; bad content goes to the dead letters."""
        try:
            event = _event_of(record, self._stores.firehose.partitions)
        except (Poison, Corrupt) as e:
            self._stores.dead_letters.add(
                record.partition, record.offset, record.at_ms, str(e), record.value
            )
            self.stats.dead_letters += 1
            _log.error("dead letter", partition=record.partition, offset=record.offset, why=str(e))
            return None
        progress = self._owned[record.partition]
        homes = progress.homes_at(record.offset)
        at = at_of_offset(self._stores.log_base, record.offset)
        again = record.offset < progress.state.high
        return Applying(record.partition, record.offset, at, homes, event, record.value, again)

    def _acknowledge(self, member: Member) -> None:
        """Write the batch; then the applied positions; then the checkpoints."""
        batch = self._evaluation.batch
        batch.write(self._stores.tables, self._side_by_side)
        # The era is read after the gone rows are there: a cache in a newer one may hold the posts.
        if batch.removes_posts and not batch.tell_cache(self._stores.cache, self._state.era()):
            self._state.next_era()
        announce(self._stores.changes, self._advance(), changed_by(batch))
        checkpoints: dict[int, int] = {}
        for partition, progress in self._owned.items():
            checkpoint = progress.checkpoint(self._open_offsets(partition))
            if checkpoint != progress.committed:
                checkpoints[partition] = checkpoint
        if checkpoints:
            member.commit(checkpoints)
            for partition, checkpoint in checkpoints.items():
                self._owned[partition].committed = checkpoint
        self.stats.not_pushed += self._counted.acknowledged(batch)
        self._followers.trim()
        self.stats.batches += 1
        self.stats.entries += batch.entries.count
        self.stats.rows += batch.row_count
        self.stats.open_jobs = len(self._evaluation.jobs)
        self.stats.edges = len(self._followers)

    def _advance(self) -> dict[int, PartitionState]:
        """Store how far the partitions are applied, where that has changed; what was stored."""
        advanced = {
            partition: state
            for partition, progress in self._owned.items()
            if (state := progress.advanced(self._open_offsets(partition))) is not None
        }
        again: list[partial[None]] = []
        stored = self._state.advance(advanced)
        for partition, written in stored.items():
            progress = self._owned[partition]
            if written.again == progress.state.again:
                progress.stored(written)
            else:
                again.append(partial(self._change, progress, written))
        self._side_by_side.run(again)
        return stored

    def _change(self, progress: Progress, changed: PartitionState) -> None:
        """Store what is kept in the owner's row: how far events are applied again."""
        progress.stored(self._state.change(progress.partition, progress.state, changed))

    def _open_offsets(self, partition: int) -> list[int]:
        return [k.offset for k in self._evaluation.jobs if k.partition == partition]


def _event_of(record: Record, partitions: int) -> Event:
    """The event in a record. Raises Poison, Corrupt, or UnknownKind, which stops the worker."""
    event = decode(record.value)
    owner = partition_of(event.key_user, partitions)
    if owner != record.partition:
        raise Poison(f"keyed by a user of partition {owner}, found in {record.partition}")
    return event


def group_of(cell: str) -> str:
    """The name of a cell's consumer group."""
    return f"cell-{cell}"
