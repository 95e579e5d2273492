"""Carrying one move: what a mover does in each stage, and how it is recorded.

Nothing rests on there being one carrier: what a stage does may be done twice or late, by anybody,
and each record is a write of a version. So a mover may die anywhere, and another goes on from the
record.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec

from cell import keys
from cell.brought import Below
from cell.brought_authors import Arrival, sweep_authors
from cell.commands import Command, SliceArrived, SliceLeft, encode
from cell.coverage_copy import below, copy_authors, copy_rows
from cell.residents import Ranges
from cell.slice_copy import copy_piece
from cell.slice_rows import Walked, moved_legs
from cell.slice_sweep import sweep_piece
from cell.state import PartitionState, homes_now
from cell.stores import CellStores
from idgen.clock import Clock
from idgen.errors import Conflict, Unavailable
from router.cells import CellState, read_cell
from router.move_records import Found, confirm_move, finish_move, switch_routes, write_move
from router.moves import STAGES, VERIFIED_MS_MAX, Move, Stage, happened
from router.registry import Registry
from router.slices import Slices
from router.verification import Verification

WAIT_MS = 100
TELL_MS = 2_000
"""What a move waits for is recorded at most so often."""
LAG_MS_MAX = 1_000
"""A target that is further behind would let the deadlines of its new readers pass."""


@dataclass(frozen=True, slots=True)
class MoverSettings:
    """`moves_at_once` are carried by one mover, each copying at most `rows_per_s` (0: as many as
    go). Rows of a band that has ended are swept `sweep_after_ms` later: pages that were being read
    then are over. A stage works for `work_ms`, in pieces of `piece_rows`, before what it has done
    is recorded and it is seen whether to go on."""

    moves_at_once: int = 8
    rows_per_s: int = 0
    sweep_after_ms: int = 10_000
    work_ms: int = 500
    piece_rows: int = 10_000


class When(StrEnum):
    """The moments of a stage in which a mover may die, as its tests have it do."""

    BEFORE = "before"
    DONE = "done"
    RECORDED = "recorded"


Reach = Callable[[Stage, When], None]


def unharmed(_stage: Stage, _when: When) -> None:
    """Nobody dies."""


class Step(NamedTuple):
    """What a stage has come to: a move to record, with a change of the routes or without; or what
    it waits for."""

    move: Move | None = None
    routes: Callable[[Slices], Slices] | None = None
    waits_for: str = ""
    wait_ms: int = 0


class Carrier:
    """One move in the hands of one mover: what each stage does."""

    def __init__(
        self,
        registry: Registry,
        cells: Callable[[str], CellStores],
        clock: Clock,
        name: str,
        settings: MoverSettings,
        reach: Reach = unharmed,
    ) -> None:
        self._registry = registry
        self._cells = cells
        self._clock = clock
        self._name = name
        self._settings = settings
        self._reach = reach
        self._verification: Verification | None = None
        self._verification_of = 0
        self._below: Below | None = None
        self._probe: tuple[int, tuple[int, ...]] | None = None
        self._told_ms = -TELL_MS
        self._found: Found  # the record that is carried now, as it was read
        self._stages: dict[Stage, Callable[[Move], Step]] = {
            Stage.BEGIN: self._begin,
            Stage.COPY: self._copy,
            Stage.TELL_ARRIVAL: self._tell_arrival,
            Stage.AWAIT_ARRIVAL: self._await_arrival,
            Stage.CATCH_UP: self._catch_up,
            Stage.COMPARE: self._compare,
            Stage.SWITCH: self._switch,
            Stage.OPEN: self._open,
            Stage.KEEP: self._complete,
            Stage.TELL_LEFT: self._tell_left,
            Stage.AWAIT_LEFT: self._await_left,
            Stage.SWEEP: self._sweep,
        }

    def step(self, found: Found) -> int:
        """Do the move's stage, or a part of it, and record that; how long to wait before the next.

        Raises Conflict when the move was changed by somebody else, Unavailable.
        """
        stage = found.move.stage
        self._found = found
        self._reach(stage, When.BEFORE)
        step = self._stages[stage](found.move)
        self._reach(stage, When.DONE)
        if step.move is None:
            return self.wait_for(found, step.waits_for)
        move = msgspec.structs.replace(step.move, waits_for="")
        if move.finished:
            finish_move(self._registry, found._replace(move=move))
        elif step.routes is not None:
            switch_routes(self._registry, move, found.version, step.routes)
        else:
            write_move(self._registry, move, found.version)
        self._reach(stage, When.RECORDED)
        return step.wait_ms

    def wait_for(self, found: Found, what: str) -> int:
        """Record what the move waits for, now and then; how long to wait."""
        now_ms = self._clock.monotonic_ms()
        if what != found.move.waits_for and now_ms - self._told_ms >= TELL_MS:
            self._told_ms = now_ms
            told = msgspec.structs.replace(found.move, waits_for=what)
            with suppress(Conflict, Unavailable):  # told the next time
                write_move(self._registry, told, found.version)
        return WAIT_MS

    def _happened(self, move: Move, what: str, note: str = "", **changes: object) -> Move:
        return happened(move, what, self._name, self._clock.now_ms(), note, **changes)

    # What the stages do.

    def _begin(self, move: Move) -> Step:
        """What the source holds of the slice, and from where on the target has to apply the log:
        all that the source has not applied yet is applied there."""
        states = self._states(move.source)
        ranges = homes_now(states.values()).within(move.start, move.last)
        if not covers(ranges, move.start, move.last):
            return Step(waits_for=f"cell {move.source} does not hold all of the slice yet")
        since = tuple(states[p].unfinished for p in sorted(states))
        return Step(self._happened(move, "begin", ranges=ranges, since=since))

    def _copy(self, move: Move) -> Step:
        source, target = self._cells(move.source).tables, self._cells(move.target).tables
        legs = moved_legs(move.ranges)
        walked, rows, edges = move.walked, 0, 0
        began_ms = self._clock.monotonic_ms()
        limit = self._settings.piece_rows
        if walked == Walked():
            rows += self._copy_authors(move)
        while walked.leg < len(legs):
            if legs[walked.leg].table == keys.COVERAGE:
                walked, more = copy_rows(
                    source,
                    target,
                    legs[walked.leg],
                    move.epoch,
                    walked,
                    limit,
                    self._pulled_below(move),
                    self._confirm,
                )
                more_edges = 0
            else:
                walked, more, more_edges = copy_piece(
                    source, target, legs, move.epoch, walked, limit, self._confirm
                )
            rows, edges = rows + more, edges + more_edges
            if self._clock.monotonic_ms() - began_ms >= self._settings.work_ms:
                break
        counts = {"rows": move.rows + rows, "edges": move.edges + edges}
        if walked.leg == len(legs):
            note = f"{counts['rows']:,} rows, {counts['edges']:,} edges among them"
            return Step(self._happened(move, "copied", note, **counts))
        return Step(
            msgspec.structs.replace(move, walked=walked, **counts),
            wait_ms=throttled_ms(rows, began_ms, self._settings, self._clock),
        )

    def _copy_authors(self, move: Move) -> int:
        source, target = self._cells(move.source).tables, self._cells(move.target).tables
        for tables in (source, target):
            tables.create(keys.NEWER)  # a cell of an older version has none of them
        arrival = Arrival(move.start, move.last, move.epoch)
        return copy_authors(source, target, move.ranges, arrival, self._pulled_below(move))

    def _pulled_below(self, move: Move) -> Below:
        """Since when who is pulled in the source, below where the target applies the log from: it
        is the same from the beginning of the move on."""
        if self._below is None:
            states = self._states(move.source)
            source = self._cells(move.source)
            self._below = below(source.tables, states, move.since, source.log_base)
        return self._below

    def _tell_arrival(self, move: Move) -> Step:
        told = self._tell(
            move.target, [SliceArrived(move.start, move.last, move.epoch, move.since)]
        )
        return Step(_next(move, told=told))

    def _await_arrival(self, move: Move) -> Step:
        states = self._states(move.target)
        unaware = [p for p, state in states.items() if state.commands < move.told]
        if unaware:
            return Step(waits_for=_unaware(move.target, unaware))
        homes = homes_now(states.values()).within(move.start, move.last)
        if homes != ((move.start, move.last, move.epoch),):
            trouble = (
                f"cell {move.target} did not take the slice in: cancel the move, and begin anew"
            )
            return Step(msgspec.structs.replace(move, trouble=trouble))
        return Step(_next(move, ends=self._cells(move.target).ends()))

    def _catch_up(self, move: Move) -> Step:
        """Until the target has applied, for the slice too, what was the end of the log."""
        behind = self._cells(move.target).behind(move.ends)
        if behind:
            return Step(waits_for=f"cell {move.target} has {behind:,} events to apply")
        return Step(_next(move, ends=()))

    def _compare(self, move: Move) -> Step:
        if self._verification is None or self._verification_of != len(move.history):
            # Another mover may have ended the comparison that was begun here.
            self._verification_of = len(move.history)
            self._verification = Verification(
                self._cells(move.source), self._cells(move.target), move, self._clock
            )
        waits_for = self._verification.go_on(self._settings.work_ms, self._settings.piece_rows)
        if waits_for:
            return Step(waits_for=waits_for)
        outcome, self._verification = self._verification.outcome, None
        if outcome.trouble:
            return Step(msgspec.structs.replace(move, trouble=outcome.trouble))
        now_ms = self._clock.now_ms()
        return Step(self._happened(move, "agreed", outcome.note, verified_ms=now_ms))

    def _switch(self, move: Move) -> Step:
        """Once the target is hardly behind: have it be home, after all the source has shown."""
        if self._clock.now_ms() - move.verified_ms > VERIFIED_MS_MAX:
            return Step(self._happened(move, "verify", "the verification was too old to switch on"))
        now_ms = self._clock.monotonic_ms()
        if self._probe is None or now_ms - self._probe[0] > LAG_MS_MAX:
            self._probe = (now_ms, self._cells(move.target).ends())
        if self._cells(move.target).behind(self._probe[1]):
            return Step(waits_for=f"cell {move.target} is more than {LAG_MS_MAX} ms behind")
        ends = self._cells(move.target).ends()

        def to_target(slices: Slices) -> Slices:
            return slices.rehome(move.start, move.end, move.target, move.epoch, ends)

        switched_ms = self._clock.now_ms()
        switched = self._happened(move, "switch", switched_ms=switched_ms, ends=ends)
        return Step(switched, to_target)

    def _open(self, move: Move) -> Step:
        """Once the new home has applied all that the one before has shown: forget that position."""
        if self._cells(move.home).behind(move.ends):
            return Step(waits_for=f"cell {move.home} has to apply what the readers have seen")

        def opened(slices: Slices) -> Slices:
            return slices.opened(move.start, move.end)

        return Step(_next(move, ends=()), opened)

    def _complete(self, move: Move) -> Step:
        return Step(self._happened(move, "complete"))

    def _tell_left(self, move: Move) -> Step:
        cell, ranges = move.left
        if read_cell(self._registry, cell).info.state is CellState.RETIRED:
            # Nobody applies anything there any more, and nobody reads its rows.
            return Step(msgspec.structs.replace(move, stage=Stage.FINISHED))
        told = self._tell(cell, [SliceLeft(*within_) for within_ in ranges])
        return Step(_next(move, told=told))

    def _await_left(self, move: Move) -> Step:
        cell, _ = move.left
        unaware = [p for p, s in self._states(cell).items() if s.commands < move.told]
        if unaware:
            return Step(waits_for=_unaware(cell, unaware))
        sweep_ms = self._clock.now_ms() + self._settings.sweep_after_ms
        return Step(_next(move, walked=Walked(), sweep_ms=sweep_ms))

    def _sweep(self, move: Move) -> Step:
        began_ms = self._clock.monotonic_ms()
        cell, ranges = move.left
        tables, legs, walked = self._cells(cell).tables, moved_legs(ranges), move.walked
        if walked == Walked():
            residents = [r for state in self._states(cell).values() for r in state.residents]
            for left in ranges:
                sweep_authors(tables, Arrival(*left), residents)
        while walked.leg < len(legs):
            walked = sweep_piece(tables, legs, walked, self._settings.piece_rows)
            if self._clock.monotonic_ms() - began_ms >= self._settings.work_ms:
                break
        if walked.leg == len(legs):
            return Step(_next(move))
        return Step(msgspec.structs.replace(move, walked=walked))

    def _confirm(self) -> None:
        confirm_move(self._registry, self._found)

    # What they ask of cells.

    def _states(self, cell: str) -> dict[int, PartitionState]:
        return self._cells(cell).state().read()

    def _tell(self, cell: str, commands: Sequence[Command]) -> int:
        """Append commands to the log of a cell; the offset behind the last one."""
        records = [(0, encode(command)) for command in commands]
        return self._cells(cell).commands.append(records)[-1].offset + 1


def throttled_ms(rows: int, began_ms: int, settings: MoverSettings, clock: Clock) -> int:
    """How long to wait after so many rows since `began_ms` (monotonic)."""
    if not settings.rows_per_s:
        return 0
    return max(0, began_ms + 1000 * rows // settings.rows_per_s - clock.monotonic_ms())


def covers(ranges: Ranges, start: int, last: int) -> bool:
    """Whether ranges, in order and disjoint, leave no hole in a slice."""
    following = start
    for a, b, _ in ranges:
        if a != following:
            return False
        following = b + 1
    return following == last + 1


def _unaware(cell: str, partitions: Sequence[int]) -> str:
    return (
        f"the workers of cell {cell} have not read the command yet in {len(partitions)} partitions"
    )


def _next(move: Move, **changes: object) -> Move:
    """The move at the next stage of its state."""
    stages = STAGES[move.state]
    following = stages[stages.index(move.stage) + 1]
    return msgspec.structs.replace(move, stage=following, **changes)
