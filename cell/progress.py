"""How far a worker has come in one partition that it owns, and what it may say of it.

*Next* is the next offset to evaluate; it goes back after a rewind. The applied position in the
cell table never falls: while a worker replays what was done before, it stays as it is.
"""

from collections.abc import Collection

import msgspec

from cell.residents import Homes, Residents
from cell.state import PartitionState
from firehose.position import Applied


class Progress:
    """One owned partition: its stored state, its residents, and the next offset to evaluate."""

    def __init__(self, partition: int, state: PartitionState, next_offset: int) -> None:
        self.partition = partition
        self.state = state
        self.next = next_offset
        self.committed = next_offset
        self.residents = Residents(state.residents)

    @property
    def homes(self) -> Homes:
        """Who is homed here for the next event."""
        return self.residents.at(self.next)

    def stored(self, state: PartitionState) -> None:
        """Take over what was written."""
        if state.residents != self.state.residents:
            self.residents = Residents(state.residents)
        self.state = state

    def applied(self, jobs: Collection[int]) -> Applied:
        """What is applied, given the offsets of this partition's open `jobs`.

        Of the offsets below the stored `high`, those that were done stay done; those that were
        open stay open until this worker has come past them and has no job of them.
        """
        was = self.state.applied
        again = {o for o in was.open if o >= self.next or o in jobs}
        new = {o for o in jobs if o >= was.high}
        return Applied(max(was.high, self.next), tuple(sorted(again | new)))

    def checkpoint(self, jobs: Collection[int]) -> int:
        """Where whoever comes next has to read: at the oldest open job, else at the next offset."""
        return min((*jobs, self.next))

    def advanced(self, jobs: Collection[int]) -> PartitionState | None:
        """The state to store now; None when nothing has changed."""
        applied = self.applied(jobs)
        again = self._again(jobs)
        if applied == self.state.applied and again == self.state.again:
            return None
        return msgspec.structs.replace(
            self.state, high=applied.high, open=applied.open, again=again
        )

    def _again(self, jobs: Collection[int]) -> int:
        """How far what was applied already is applied again; -1 when that is over."""
        reached = self.checkpoint(jobs)
        return reached if self.state.again >= 0 and reached < self.state.high else -1

    def go_back(self, state: PartitionState, offset: int) -> PartitionState:
        """`state`, with all from `offset` on to be applied again. It takes effect once stored:
        whoever owns the partition then finds it there, however often workers change meanwhile."""
        if offset >= max(self.next, self.state.high):
            return state
        self.next = min(self.next, offset)
        again = offset if state.again < 0 else min(state.again, offset)
        return msgspec.structs.replace(state, again=again)
