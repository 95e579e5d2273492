"""Verifying the posts of a new cell: they are those of its donor, row by row.

Both go on applying events meanwhile. What differs is looked at again after both have applied a
common end of the log, until every difference is either gone or real (`cell.post_compare`).
"""

from collections.abc import Sequence

from cell.post_compare import Digest, PostDifference, compare_posts, settle_posts
from cell.stores import CellStores
from idgen.clock import Clock
from router.verification import ROUNDS_MAX, SHOWN_MAX, SUSPECTS_MAX, Outcome


class PostVerification:
    """One comparison of a new cell with its donor. Call `go_on` until it waits for nothing."""

    def __init__(self, donor: CellStores, new: CellStores, clock: Clock) -> None:
        self.outcome = Outcome()
        self._donor = donor
        self._new = new
        self._clock = clock
        self._next: bytes = b"\0"
        self._done = False
        self._digest = Digest()
        self._suspects: list[bytes] = []
        self._ends: tuple[int, ...] = ()
        self._rounds = 0

    def go_on(self, work_ms: int, piece_rows: int) -> str:
        """Compare for about so long; what it waits for. Empty: `outcome` tells how it has ended."""
        if not self._done:
            return self._compare(work_ms, piece_rows)
        behind = self._donor.behind(self._ends) + self._new.behind(self._ends)
        if behind:
            return f"both cells have {behind:,} events to apply before posts are read again"
        return self._settle()

    def _compare(self, work_ms: int, piece_rows: int) -> str:
        end_ms = self._clock.monotonic_ms() + work_ms
        while not self._done:
            piece = compare_posts(self._donor.tables, self._new.tables, self._next, b"", piece_rows)
            self._next, self._done = piece.next_key, not piece.next_key
            self._digest = self._digest.plus(piece.target)
            self._suspects += piece.suspects
            if len(self._suspects) > SUSPECTS_MAX:
                return self._ended(trouble=f"more than {SUSPECTS_MAX:,} posts are not the same")
            if self._clock.monotonic_ms() >= end_ms:
                break
        self._ends = self._donor.ends()
        return f"{self._digest.rows:,} posts compared so far"

    def _settle(self) -> str:
        real, self._suspects = settle_posts(
            self._donor.tables, self._new.tables, self._suspects, self._ends, self._donor.log_base
        )
        if real:
            return self._ended(trouble=_told(real))
        if not self._suspects:
            return self._ended(note=f"the same: {self._digest.rows:,} posts")
        self._rounds += 1
        if self._rounds == ROUNDS_MAX:
            return self._ended(trouble=f"{len(self._suspects)} posts change all the time")
        self._ends = self._donor.ends()
        return f"{len(self._suspects)} posts that change meanwhile"

    def _ended(self, note: str = "", trouble: str = "") -> str:
        if trouble:
            diff = f"`cellctl diff-cells {self._donor.name} {self._new.name}`"
            trouble += f"; {diff} shows them; retire the cell, and add another"
        self.outcome = Outcome(note, trouble)
        return ""


def _told(real: Sequence[PostDifference]) -> str:
    shown = ", ".join(f"{each.post_id} of {each.author}" for each in real[:SHOWN_MAX])
    more = f" and {len(real) - SHOWN_MAX} more" if len(real) > SHOWN_MAX else ""
    return f"posts are not the same: {shown}{more}"
