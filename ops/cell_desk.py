"""Cells as `cellctl` asks for them: listed, described, cordoned, drained and retired."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from idgen.errors import BadRequest, Conflict
from ops.cell_facts import Facts
from ops.move_desk import estimated_rows
from ops.new_cells import begin_new_cell, donor_for, plan_new_cell
from ops.platform_port import CellStatus, CellView, NewCell, NewCellPlan
from ops.who import who
from ops.wiring.seams import Seams
from router.bootstraps import changed, check_verified
from router.cells import (
    TRANSITIONS,
    BootstrapStage,
    CellInfo,
    CellState,
    become,
    change_cell,
    read_cell,
    read_cells,
)
from router.move_records import open_moves, read_move
from router.moves import Move, Refused
from router.placement import Transfer, drained, rebalanced
from router.routes import read_routes
from router.slices import PLACES, Slices

OPERATORS_VERBS = ("activate", "drain", "retire")
_TRIES = 8


class CellDesk:
    """`ops.platform_port.Cells` over the seams of a platform."""

    def __init__(
        self,
        seams: Seams,
        status_of: Callable[[CellInfo], CellStatus],
        folder: Path | None,
        profile: str,
    ) -> None:
        self._seams = seams
        self._profile = profile
        self._status_of = status_of
        self._facts = Facts(seams, status_of, folder)

    def list(self) -> list[CellView]:
        """All cells by name."""
        slices, moves = self._slices_and_moves()
        return [self._view(info, slices, moves) for info in read_cells(self._seams.registry)]

    def describe(self, name: str) -> CellView:
        """One cell. Raises NotFound."""
        return self._described(read_cell(self._seams.registry, name).info)

    def add_plan(self, new: NewCell) -> NewCellPlan:
        """What adding a cell would do. Raises BadRequest, and NotFound for an unknown donor."""
        registry = self._seams.registry
        if new.redis and self._profile == "embedded":
            raise BadRequest("endpoint", "the embedded profile keeps a cell in a file: give none")
        new = replace(new, donor=donor_for(registry, self._facts, new.donor))
        tables = self._seams.cell(new.donor).tables if new.donor else None
        return plan_new_cell(registry, tables, self._facts, new)

    def add(self, new: NewCell) -> CellView:
        """Write the cell, which a mover then brings up. Raises Refused with the first blocker."""
        plan = self.add_plan(new)
        for blocker in plan.blockers:
            raise Refused(blocker.cause, blocker.why)
        registry, now_ms = self._seams.registry, self._seams.clock.now_ms()
        return self._described(begin_new_cell(registry, plan.new, who(), now_ms))

    def cordon(self, name: str, *, cordoned: bool) -> CellView:
        """Have moves and rebalancing leave a cell alone as their target, or not any more.

        Raises NotFound.
        """

        def cordon(info: CellInfo) -> CellInfo:
            if info.state is CellState.RETIRED:
                raise Refused(info.state.value, f"cell {name} is retired: no move chooses it")
            return msgspec.structs.replace(info, cordoned=cordoned)

        return self._edited(name, cordon)

    def drain_plan(self, name: str) -> Sequence[Transfer]:
        """Where all goes that a cell is home to, but for what is on its way already.

        Raises NotFound, and BadRequest(cell) when nobody can take it in.
        """
        registry = self._seams.registry
        read_cell(registry, name)
        found = drained(read_routes(registry).slices, name, read_cells(registry))
        return self._not_moving(found)

    def rebalance_plan(self) -> Sequence[Transfer]:
        """The moves that make the cells' loads about even, by sampled rows."""
        registry = self._seams.registry
        slices = read_routes(registry).slices

        def rows_of(start: int, last: int) -> float:
            return estimated_rows(self._seams.cell(slices.at(start).cell).tables, start, last)

        return self._not_moving(rebalanced(slices, read_cells(registry), rows_of))

    def change(self, name: str, what: str, *, execute: bool = True) -> CellView:
        """Have something of `router.cells.TRANSITIONS` happen to a cell: activate, drain, retire.

        Raises NotFound, and Refused when that cannot be now; the message says what can.
        """

        def happen(info: CellInfo) -> CellInfo:
            self._refuse(info, what)
            became = become(info, what, who(), self._seams.clock.now_ms())
            if info.bootstrap is None or became.state not in (CellState.ACTIVE, CellState.RETIRED):
                return became
            return changed(became, stage=BootstrapStage.RELEASE, trouble="", waits_for="")

        if execute:
            return self._edited(name, happen)
        info = read_cell(self._seams.registry, name).info
        happen(info)
        return self._described(info)

    def _edited(self, name: str, edit: Callable[[CellInfo], CellInfo]) -> CellView:
        """The cell after `edit`, which is done again on what others have written meanwhile."""
        for attempt in range(_TRIES):
            found = read_cell(self._seams.registry, name)
            edited = edit(found.info)
            try:
                change_cell(self._seams.registry, edited, found.version)
            except Conflict:
                if attempt == _TRIES - 1:
                    raise
            else:
                return self._described(edited)
        raise AssertionError("the last attempt returns or raises")

    def _refuse(self, info: CellInfo, what: str) -> None:
        if what not in TRANSITIONS[info.state]:
            verbs = [verb for verb in OPERATORS_VERBS if verb in TRANSITIONS[info.state]]
            possible = ", ".join(f"`cellctl {verb}-cell {info.name}`" for verb in verbs)
            if info.state is CellState.RESTORING:
                possible = "`cellctl restore-cell DIR --execute` finishes what was begun"
            instead = f"; what can be done: {possible}" if possible else ""
            raise Refused(
                info.state.value, f"cell {info.name} is {info.state}: it cannot {what}{instead}"
            )
        if what == "activate" and info.state is CellState.DARK:
            check_verified(info, self._seams.clock.now_ms())
        if what == "retire":
            self._refuse_unless_empty(info)

    def _refuse_unless_empty(self, info: CellInfo) -> None:
        """A rehearsal is no obstacle: it ends with the cell."""
        slices, moves = self._slices_and_moves()
        real = [m for m in moves if not m.rehearsal]
        view = self._view(info, slices, real)
        if view.slices or view.leaving or view.arriving:
            count = len(view.leaving) + len(view.arriving)
            remedy = f"`cellctl drain-cell {info.name} --execute --wait` first"
            if not view.slices:
                remedy = (
                    "wait until they are over, sweeping included (`cellctl list-moves`); "
                    "`cellctl complete-move` ends those that have switched"
                )
            raise Refused(
                "not_empty",
                f"cell {info.name} is home to {view.share:.2%} of the readers and has {count} "
                f"moves under way: {remedy}",
            )

    def _not_moving(self, transfers: Sequence[Transfer]) -> Sequence[Transfer]:
        _, moves = self._slices_and_moves()
        return [
            t for t in transfers if not any(m.start <= t.last and t.start <= m.last for m in moves)
        ]

    def _slices_and_moves(self) -> tuple[Slices, Sequence[Move]]:
        """All slices, and the moves under way."""
        registry = self._seams.registry
        moves = [read_move(registry, i).move for i in open_moves(registry)]
        return read_routes(registry).slices, moves

    def _described(self, info: CellInfo) -> CellView:
        return self._view(info, *self._slices_and_moves())

    def _view(self, info: CellInfo, slices: Slices, moves: Sequence[Move]) -> CellView:
        return CellView(
            status=self._status_of(info),
            info=info,
            slices=sum(s.cell == info.name for s in slices),
            share=slices.width(info.name) / PLACES,
            leaving=tuple(m.id for m in moves if m.source == info.name),
            arriving=tuple(m.id for m in moves if m.target == info.name),
        )
