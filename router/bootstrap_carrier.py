"""Bringing up one cell: what a mover does in each stage, and how it is recorded.

As with moves (`router.carrier`) nothing rests on there being one carrier: what a stage does may be
done twice or late, and each record is a write of a version of the cell.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from cell import keys
from cell.ingest import group_of
from cell.post_copy import copy_posts, post_lanes
from cell.side_by_side import SideBySide
from cell.state import PartitionState
from cell.stores import CellStores
from cell.tables import Tables
from firehose.checkpoint import Checkpoints
from idgen.clock import Clock
from idgen.errors import Conflict, Unavailable
from router.bootstraps import (
    REHEARSALS,
    at_stage,
    bootstrap_of,
    changed,
    of_part,
    sample_of,
)
from router.carrier import TELL_MS, WAIT_MS, MoverSettings, When, throttled_ms
from router.cells import BootstrapStage, CellInfo, Versioned, become, change_cell
from router.move_records import Found, create_move, open_moves, read_move, write_move
from router.moves import ENDS, TRANSITIONS, MoveState, Refused, happened, verify_again
from router.post_verification import PostVerification
from router.registry import Registry
from router.routes import read_routes
from router.slices import PLACES

Reach = Callable[[BootstrapStage, When], None]


def unharmed(_stage: BootstrapStage, _when: When) -> None:
    """Nobody dies."""


class Step(NamedTuple):
    """What a stage has come to: the cell to record, or what it waits for."""

    info: CellInfo | None = None
    waits_for: str = ""
    wait_ms: int = 0


class BootstrapCarrier:
    """One new cell in the hands of one mover: what each stage does."""

    def __init__(
        self,
        registry: Registry,
        cells: Callable[[str], CellStores],
        checkpoints: Callable[[str], Checkpoints],
        clock: Clock,
        name: str,
        settings: MoverSettings,
        reach: Reach = unharmed,
    ) -> None:
        self._registry = registry
        self._cells = cells
        self._checkpoints = checkpoints
        self._clock = clock
        self._name = name
        self._settings = settings
        self._reach = reach
        self._verification: PostVerification | None = None
        self._told_ms = -TELL_MS
        self._stages: dict[BootstrapStage, Callable[[CellInfo], Step]] = {
            BootstrapStage.PROVISION: self._provision,
            BootstrapStage.BEGIN: self._begin,
            BootstrapStage.COPY: self._copy,
            BootstrapStage.POSITION: self._position,
            BootstrapStage.CATCH_UP: self._catch_up,
            BootstrapStage.COMPARE: self._compare,
            BootstrapStage.SAMPLE: self._sample,
            BootstrapStage.AGREE: self._agree,
            BootstrapStage.VERIFIED: self._verify_again,
            BootstrapStage.RELEASE: self._release,
        }

    def step(self, found: Versioned) -> int:
        """Do the cell's stage, or a part of it, and record that; how long to wait before the next.

        Raises Conflict when the cell was changed by somebody else, Unavailable.
        """
        stage = bootstrap_of(found.info).stage
        self._reach(stage, When.BEFORE)
        step = self._stages[stage](found.info)
        self._reach(stage, When.DONE)
        if step.info is None:
            return self.wait_for(found, step.waits_for)
        change_cell(self._registry, step.info, found.version)
        self._reach(stage, When.RECORDED)
        return step.wait_ms

    def wait_for(self, found: Versioned, what: str) -> int:
        """Record what the cell waits for, now and then; how long to wait."""
        now_ms = self._clock.monotonic_ms()
        if what != bootstrap_of(found.info).waits_for and now_ms - self._told_ms >= TELL_MS:
            self._told_ms = now_ms
            with suppress(Conflict, Unavailable):  # told the next time
                change_cell(self._registry, changed(found.info, waits_for=what), found.version)
        return WAIT_MS

    def _became(self, info: CellInfo, what: str, note: str = "", **changes: object) -> CellInfo:
        record = changed(info, waits_for="", **changes).bootstrap
        return become(info, what, self._name, self._clock.now_ms(), note, bootstrap=record)

    def _in_trouble(self, info: CellInfo, why: str) -> Step:
        return Step(changed(info, trouble=why, waits_for=""))

    # What the stages do.

    def _provision(self, info: CellInfo) -> Step:
        """Tables of its own: in those of another cell both would spoil each other's."""
        tables = self._cells(info.name).tables
        tables.create(keys.TABLES)
        if _holds_rows(tables):
            why = (
                f"the tables of cell {info.name} hold rows already: are these the servers of "
                f"another cell? `cellctl retire-cell {info.name} --execute`, and add one with "
                "its own"
            )
            return self._in_trouble(info, why)
        return Step(self._became(info, "provisioned", stage=BootstrapStage.BEGIN))

    def _begin(self, info: CellInfo) -> Step:
        """From where on the new cell has to apply the log: all that the donor has not applied."""
        states = self._cells(bootstrap_of(info).donor).state().read()
        since = tuple(states[p].unfinished for p in sorted(states))
        return Step(at_stage(info, BootstrapStage.COPY, since=since, lanes=post_lanes()))

    def _copy(self, info: CellInfo) -> Step:
        bootstrap = bootstrap_of(info)
        source, target = self._cells(bootstrap.donor).tables, self._cells(info.name).tables
        began_ms = self._clock.monotonic_ms()
        rows_before = bootstrap.rows

        def go_on() -> bool:
            return self._clock.monotonic_ms() - began_ms < self._settings.work_ms

        lanes = list(bootstrap.lanes)

        def copy(i: int) -> None:
            lanes[i] = copy_posts(source, target, lanes[i], self._settings.piece_rows, go_on)

        side_by_side = SideBySide(len(lanes))
        try:
            side_by_side.run([partial(copy, i) for i in range(len(lanes)) if not lanes[i].done])
        finally:
            side_by_side.close()
        copied = changed(info, lanes=tuple(lanes), waits_for="")
        if all(lane.done for lane in lanes):
            return Step(at_stage(copied, BootstrapStage.POSITION))
        rows = bootstrap_of(copied).rows - rows_before
        wait_ms = throttled_ms(rows, began_ms, self._settings, self._clock)
        return Step(copied, wait_ms=wait_ms)

    def _position(self, info: CellInfo) -> Step:
        """Have its workers begin where the copying began, if the log still reaches back so far."""
        bootstrap = bootstrap_of(info)
        stores = self._cells(info.name)
        lost = _lost(stores, bootstrap.since)
        if lost:
            why = (
                f"{lost:,} events since the copying began are no longer retained: "
                f"`cellctl retire-cell {info.name} --execute`, and add another with a longer "
                "retention (firehose.retention_ms) or a faster copy (mover.rows_per_s)"
            )
            return self._in_trouble(info, why)
        ahead = _not_relayed(stores, bootstrap.since)
        if ahead:
            why = (
                f"the relay of group {info.group} has {ahead:,} events to bring that its donor has"
            )
            return Step(waits_for=why)
        stores.state().begin_as({p: PartitionState(high=o) for p, o in enumerate(bootstrap.since)})
        groups = self._checkpoints(info.name)
        groups.rewind(group_of(info.name), dict(enumerate(bootstrap.since)))
        note = f"{bootstrap.rows:,} posts, {bootstrap.size / 1e6:,.1f} MB"
        ends = stores.ends()
        return Step(
            self._became(info, "bootstrapped", note, stage=BootstrapStage.CATCH_UP, ends=ends)
        )

    def _catch_up(self, info: CellInfo) -> Step:
        behind = self._cells(info.name).behind(bootstrap_of(info).ends)
        if behind:
            return Step(waits_for=f"cell {info.name} has {behind:,} events to apply")
        return Step(at_stage(info, BootstrapStage.COMPARE, ends=()))

    def _compare(self, info: CellInfo) -> Step:
        if self._verification is None:
            donor, new = self._cells(bootstrap_of(info).donor), self._cells(info.name)
            self._verification = PostVerification(donor, new, self._clock)
        waits_for = self._verification.go_on(self._settings.work_ms, self._settings.piece_rows)
        if waits_for:
            return Step(waits_for=waits_for)
        outcome, self._verification = self._verification.outcome, None
        if outcome.trouble:
            return self._in_trouble(info, outcome.trouble)
        return Step(at_stage(info, BootstrapStage.SAMPLE))

    def _sample(self, info: CellInfo) -> Step:
        """Have readers of other cells arrive, to be compared; those that a move carries already
        are left out."""
        slices = read_routes(self._registry).slices
        moves = [read_move(self._registry, i).move for i in open_moves(self._registry)]
        moving = [(move.start, move.last) for move in moves]
        have = [(f.move.start, f.move.last) for f in self._rehearsals(info.name)]
        share = bootstrap_of(info).sample
        for each in sample_of(slices, share, info.name, moving, self._reader_at):
            if of_part(have, each.start * REHEARSALS // PLACES):
                continue
            with suppress(Refused):  # somebody has begun to move them since
                create_move(self._registry, each, self._name, self._clock.now_ms())
        ids = tuple(found.move.id for found in self._rehearsals(info.name))
        if not ids and any(sample_of(slices, share, info.name, (), self._reader_at)):
            return Step(waits_for="other moves carry all readers: see `cellctl list-moves`")
        return Step(at_stage(info, BootstrapStage.AGREE, rehearsals=ids))

    def _agree(self, info: CellInfo) -> Step:
        """Wait until rows and pages of the sample are the same in both cells."""
        moves = [found.move for found in self._of_sample(info)]
        for move in moves:
            if move.trouble:
                why = f"move {move.id}, a rehearsal, needs a look: {move.trouble}"
                if bootstrap_of(info).verified_ms:
                    return Step(changed(info, verified_ms=0, waits_for=why))
                return Step(waits_for=why)
        if any(move.state in ENDS for move in moves):
            return Step(at_stage(info, BootstrapStage.SAMPLE))  # somebody has cancelled one
        waiting = [move.id for move in moves if move.state is not MoveState.VERIFIED]
        if waiting:
            return Step(waits_for=f"rehearsals {', '.join(map(str, waiting))} are under way")
        verified_ms = self._clock.now_ms()
        return Step(at_stage(info, BootstrapStage.VERIFIED, verified_ms=verified_ms))

    def _verify_again(self, info: CellInfo) -> Step:
        now_ms = self._clock.now_ms()
        for found in self._of_sample(info):
            if found.move.state is MoveState.VERIFIED:
                again = verify_again(found.move, self._name, now_ms)
                write_move(self._registry, again, found.version)
        return Step(at_stage(info, BootstrapStage.AGREE))

    def _release(self, info: CellInfo) -> Step:
        """The cell is active, or given up: its sample leaves, and may be moved like all others."""
        now_ms = self._clock.now_ms()
        for found in self._rehearsals(info.name):
            if "cancel" in TRANSITIONS[found.move.state]:
                note = f"cell {info.name} is {info.state}"
                cancelled = happened(found.move, "cancel", self._name, now_ms, note)
                write_move(self._registry, cancelled, found.version)
        return Step(at_stage(info, BootstrapStage.FINISHED))

    # What they ask.

    def _of_sample(self, info: CellInfo) -> list[Found]:
        return [read_move(self._registry, i) for i in bootstrap_of(info).rehearsals]

    def _rehearsals(self, cell: str) -> list[Found]:
        """The rehearsals of a cell that are under way: also those that were not recorded yet."""
        moves = [read_move(self._registry, i) for i in open_moves(self._registry)]
        of_cell = [f for f in moves if f.move.rehearsal and f.move.target == cell]
        return [f for f in of_cell if f.move.state not in ENDS]

    def _reader_at(self, cell: str, start: int, last: int) -> int | None:
        tables = self._cells(cell).tables
        first, stop = keys.place_bytes(start), keys.after_prefix(last)
        rows = tables.scan(keys.INBOX, first, stop, 1)
        return keys.place_of(rows[0].key) if rows else None


def _holds_rows(tables: Tables) -> bool:
    return any(tables.scan(name, b"\0", b"", 1) for name in keys.TABLES)


def _lost(stores: CellStores, since: Sequence[int]) -> int:
    """How many events from `since` on the log does not have any more."""
    spans = stores.firehose.spans()
    return sum(max(0, span.start - offset) for span, offset in zip(spans, since, strict=True))


def _not_relayed(stores: CellStores, since: Sequence[int]) -> int:
    """How many events before `since` are still on their way to where the cell reads; at the root
    none is."""
    spans = stores.firehose.spans()
    return sum(max(0, offset - span.end) for span, offset in zip(spans, since, strict=True))
