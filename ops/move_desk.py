"""Moves as `cellctl` asks for them: planned with all that stands in their way, begun, looked at."""

from collections.abc import Callable, Sequence
from pathlib import Path

from cell import keys
from cell.tables import Tables
from idgen.clock import Clock
from ops.cell_facts import Facts
from ops.platform_port import CellStatus, MovePlan, MoveView
from ops.who import who
from ops.wiring.seams import Seams
from router.cells import CellInfo, read_cell
from router.holding import holder
from router.move_records import (
    Found,
    Wanted,
    create_move,
    move_path,
    overlapping,
    read_move,
    read_moves,
    reverse_move,
    source_of,
    write_move,
)
from router.moves import Move, Refused, happened, let_switch, next_steps, verify_again
from router.preflight import Blocker, blockers
from router.routes import read_routes

SAMPLE_ROWS = 5_000
"""Rows that are read to estimate how many there are."""
ROWS_PER_S = 50_000
"""Inbox rows that a mover was seen to copy and compare in a second, on real servers."""
SETTLE_S = 2.0
"""What a move takes besides: commands are read twice a second, positions are waited for."""


class MoveDesk:
    """`ops.platform_port.Moves` over the seams of a platform."""

    def __init__(
        self, seams: Seams, status_of: Callable[[CellInfo], CellStatus], folder: Path | None
    ) -> None:
        self._seams = seams
        self._facts = Facts(seams, status_of, folder)

    @property
    def _clock(self) -> Clock:
        return self._seams.clock

    def plan(self, wanted: Wanted) -> MovePlan:
        """What a move would do, and what stands in its way."""
        source, found = self._blockers(wanted)
        unreachable = any(blocker.cause == "unreachable" for blocker in found)
        rows = 0 if unreachable or not source else self._rows(source, wanted)
        return MovePlan(wanted, source, tuple(found), rows, SETTLE_S + 2 * rows / ROWS_PER_S)

    def begin(self, wanted: Wanted) -> MoveView:
        """Write the move, which a mover then carries. Raises Refused with the first blocker."""
        for blocker in self._blockers(wanted)[1]:
            raise Refused(blocker.cause, blocker.why)
        registry = self._seams.registry
        return self._view(create_move(registry, wanted, who(), self._clock.now_ms()))

    def _blockers(self, wanted: Wanted) -> tuple[str, Sequence[Blocker]]:
        """The home that readers would leave (empty: they have none, or several), and what stands
        in the way."""
        registry = self._seams.registry
        target = read_cell(registry, wanted.target).info
        try:
            source = source_of(read_routes(registry).slices, wanted)
        except Refused as refused:
            return "", [Blocker(refused.cause, str(refused))]
        giver = self._facts.of(read_cell(registry, source).info)
        others = overlapping(registry, wanted.start, wanted.last)
        return source, blockers(giver, self._facts.of(target), others)

    def list(self) -> list[MoveView]:
        """All moves that are remembered, oldest first."""
        return [self._view(move) for move in read_moves(self._seams.registry)]

    def show(self, move_id: int) -> MoveView:
        """One move. Raises NotFound."""
        return self._view(read_move(self._seams.registry, move_id).move)

    def act(self, move_id: int, what: str) -> MoveView:
        """Have something of `next_steps` happen to a move.

        Raises Refused when it cannot now, Conflict when somebody else was first.
        """
        found = read_move(self._seams.registry, move_id)
        return self._view(self._acted(found, what))

    def _acted(self, found: Found, what: str) -> Move:
        registry, now_ms, by = self._seams.registry, self._clock.now_ms(), who()
        if what == "reverse":
            happened(found.move, what, by, now_ms)  # refused before anybody is asked
            ends = self._seams.cell(found.move.source).ends()
            return reverse_move(registry, found, ends, by, now_ms)
        if what == "switch":
            move = let_switch(found.move, by, now_ms)
        elif what == "verify":
            move = verify_again(found.move, by, now_ms)
        else:
            move = happened(found.move, what, by, now_ms)
        write_move(registry, move, found.version)
        return move

    def _view(self, move: Move) -> MoveView:
        mover = "" if move.finished else holder(self._seams.registry, move_path(move.id))
        return MoveView(move, mover, tuple(next_steps(move)))

    def _rows(self, cell: str, wanted: Wanted) -> int:
        return estimated_rows(self._seams.cell(cell).tables, wanted.start, wanted.last)


def estimated_rows(tables: Tables, start: int, last: int) -> int:
    """About how many rows a cell holds of the readers at start..last, by the first of them."""
    counted = (keys.INBOX, keys.NOTICES, keys.FOLLOWING)
    return sum(_estimate(tables, table, start, last) for table in counted)


def _estimate(tables: Tables, table: str, start: int, last: int) -> int:
    rows = tables.scan(table, keys.place_bytes(start), keys.after_prefix(last), SAMPLE_ROWS)
    if len(rows) < SAMPLE_ROWS:
        return len(rows)
    read = keys.place_of(rows[-1].key) - start + 1
    return len(rows) * (last - start + 1) // read
