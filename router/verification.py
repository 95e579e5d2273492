"""Verifying a move: both cells hold the same of the slice, and show the same first pages.

Both go on applying events meanwhile. What differs is looked at again after both have applied a
common end of the log, until every difference is either gone or real (`cell.slice_compare`).
"""

from collections.abc import Sequence
from typing import NamedTuple

from cell import keys
from cell.dashboard import Build, Context, Entry, Home, Homed, PageQuery, Topology
from cell.handler import CellHandler
from cell.slice_compare import Difference, Pair, Suspect, compare_piece, settled
from cell.slice_rows import Walked, legs_of
from cell.stores import CellStores
from firehose.event import Lane
from firehose.position import ends_position, log_fingerprint
from idgen.clock import Clock
from idgen.errors import Behind, Unavailable
from idgen.ids import MAX_USER, unspread
from router.moves import Move

SUSPECTS_MAX = 10_000
ROUNDS_MAX = 50
READERS_MAX = 20
PAGE_DEADLINE_MS = 5_000
SHOWN_MAX = 5


class Outcome(NamedTuple):
    """`trouble`: why the cells do not agree; else `note` says what was compared."""

    note: str = ""
    trouble: str = ""


class Verification:
    """One comparison of the two cells of a move. Call `go_on` until it waits for nothing."""

    def __init__(self, source: CellStores, target: CellStores, move: Move, clock: Clock) -> None:
        self.outcome = Outcome()
        self._source = source
        self._target = target
        self._move = move
        self._clock = clock
        self._pair = Pair(source.tables, target.tables, move.epoch, len(move.since))
        self._legs = legs_of(move.ranges)
        self._walked = Walked()
        self._rows = 0
        self._suspects: list[Suspect] = []
        self._ends: tuple[int, ...] = ()
        self._rounds = 0

    def go_on(self, work_ms: int, piece_rows: int) -> str:
        """Compare for about so long; what it waits for. Empty: `outcome` tells how it has ended."""
        if self._walked.leg < len(self._legs):
            return self._compare(work_ms, piece_rows)
        behind = self._source.behind(self._ends) + self._target.behind(self._ends)
        if behind:
            return f"both cells have {behind:,} events to apply before rows are read again"
        if self._suspects:
            return self._settle()
        return self._compare_pages()

    def _compare(self, work_ms: int, piece_rows: int) -> str:
        end_ms = self._clock.monotonic_ms() + work_ms
        while self._walked.leg < len(self._legs):
            self._walked, rows, suspects = compare_piece(
                self._pair, self._legs, self._walked, piece_rows
            )
            self._rows += rows
            self._suspects += suspects
            if len(self._suspects) > SUSPECTS_MAX:
                return self._ended(trouble=f"more than {SUSPECTS_MAX:,} rows are not the same")
            if self._clock.monotonic_ms() >= end_ms:
                break
        self._ends = self._source.ends()
        return f"{self._rows:,} rows compared so far"

    def _settle(self) -> str:
        real, self._suspects = settled(
            self._pair, self._suspects, self._ends, self._source.log_base
        )
        if real:
            return self._ended(trouble=_told(real))
        self._rounds += 1
        if self._suspects and self._rounds == ROUNDS_MAX:
            return self._ended(trouble=f"{len(self._suspects)} rows change all the time")
        self._ends = self._source.ends()
        return f"{len(self._suspects)} rows that change meanwhile"

    def _compare_pages(self) -> str:
        """First pages of some readers, as both cells render them."""
        readers = _readers_of(self._target, self._move)
        source, target = (_Renderer(each, self._clock) for each in (self._source, self._target))
        for reader in readers:
            if not self._same_pages(reader, source, target):
                return self._ended(trouble=f"the first page of reader {reader} is not the same")
        pages = f"first pages of {len(readers)} readers"
        return self._ended(note=f"the same: {self._rows:,} rows, {pages}")

    def _same_pages(self, reader: int, source: "_Renderer", target: "_Renderer") -> bool:
        """A page may change between two looks, so the source is looked at before and after."""
        for _ in range(ROUNDS_MAX):
            ends = self._source.ends()
            before = source.first_page(reader, ends)
            there = target.first_page(reader, ends)
            if there in (before, source.first_page(reader, ends)):
                return True
        return False

    def _ended(self, note: str = "", trouble: str = "") -> str:
        if trouble:
            remedy = f"`cellctl verify-move {self._move.id} --execute`, or cancel it"
            trouble += f"; look at them and {remedy}"
        self.outcome = Outcome(note, trouble)
        return ""


class _Renderer:
    """Pages as a cell's dashboard renders them, whoever is home: also `cell.dashboard.Homes`, and
    the ids of nothing."""

    def __init__(self, cell: CellStores, clock: Clock) -> None:
        self._cell = cell
        self._handler = CellHandler(cell, self, clock, self, Build("", "mover", cell.name))

    def first_page(self, reader: int, ends: Sequence[int]) -> tuple[Entry, ...]:
        """Of both lanes, once all below `ends` is applied; Unavailable if that takes long."""
        token = ends_position(log_fingerprint(self._cell.root.identity), ends).token()
        query = PageQuery(reader, frozenset(Lane), at_least=(token,))
        try:
            return tuple(self._handler.page(Context(PAGE_DEADLINE_MS), query).entries)
        except Behind as behind:
            raise Unavailable(f"cell {self._cell.name}: {behind}") from behind

    def homed(self, reader: int) -> Homed:
        del reader
        return Homed(self._cell.name, 0)

    def of(self, reader: int) -> Home:
        raise AssertionError(f"nobody asks here where {reader} is homed")

    def topology(self) -> Topology:
        raise AssertionError("nobody asks here for the topology")

    def renew(self) -> None:
        raise AssertionError("everybody is homed here")

    def next_ids(self, n: int) -> list[int]:
        raise AssertionError(f"nothing is written here that would need {n} ids")


def _readers_of(cell: CellStores, move: Move) -> list[int]:
    """Readers with entries, and readers who are or were pulled, evenly over the slice; at most
    READERS_MAX of each."""
    if move.reader:
        return [move.reader]
    width = move.last - move.start + 1
    found: dict[int, None] = {}
    for i in range(READERS_MAX):
        start = keys.place_bytes(move.start + width * i // READERS_MAX)
        for table in (keys.INBOX, keys.COVERAGE):
            rows = cell.tables.scan(table, start, keys.after_prefix(move.last), 1)
            found.update((unspread(keys.place_of(row.key)), None) for row in rows)
    return [reader for reader in found if 0 < reader <= MAX_USER]


def _told(real: Sequence[Difference]) -> str:
    shown = ", ".join(f"{each.table} {each.key.hex()}" for each in real[:SHOWN_MAX])
    more = f" and {len(real) - SHOWN_MAX} more" if len(real) > SHOWN_MAX else ""
    return f"rows are not the same: {shown}{more}"
