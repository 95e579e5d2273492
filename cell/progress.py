"""How far a worker has come in one partition that it owns, and what it may say of it.

*Next* is the next offset to evaluate; it goes back after a rewind. The applied position in the
cell table never falls: while a worker replays what was done before, it stays as it is.
"""

from collections.abc import Collection

import msgspec

from cell.residents import Homes, Ranges, Residents
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
        self._arriving: dict[Homes, Homes] = {}

    @property
    def homes(self) -> Homes:
        """For whom the next event is applied."""
        return self.homes_at(self.next)

    def homes_at(self, offset: int) -> Homes:
        """For whom the event at `offset` is applied: for who is homed here, and what was done
        already only for who has arrived since."""
        homes = self.residents.at(offset)
        if not self._is_done_for_others(offset):
            return homes
        if homes not in self._arriving:
            self._arriving[homes] = homes.only(self.state.arriving)
        return self._arriving[homes]

    def until(self, offset: int) -> int | None:
        """The first offset above `offset` that is applied for others; None: there is none."""
        edges = {self.residents.until(offset)}
        if self.state.arriving:
            open_ = self.state.open
            edges |= {self.state.again, self.state.high, *open_, *(o + 1 for o in open_)}
        return min((edge for edge in edges if edge is not None and edge > offset), default=None)

    def _is_done_for_others(self, offset: int) -> bool:
        state = self.state
        return bool(state.arriving) and offset >= state.again and state.applied.done(offset)

    def stored(self, state: PartitionState) -> None:
        """Take over what was written."""
        if state.residents != self.state.residents:
            self.residents = Residents(state.residents)
        if (state.residents, state.arriving) != (self.state.residents, self.state.arriving):
            self._arriving.clear()
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
        arriving = self.state.arriving if again >= 0 else ()
        return msgspec.structs.replace(
            self.state, high=applied.high, open=applied.open, again=again, arriving=arriving
        )

    def _again(self, jobs: Collection[int]) -> int:
        """How far what was applied already is applied again; -1 when that is over."""
        reached = self.checkpoint(jobs)
        return reached if self.state.again >= 0 and reached < self.state.high else -1

    def go_back(
        self, state: PartitionState, offset: int, arriving: Ranges = ()
    ) -> PartitionState:
        """`state`, with all from `offset` on to be applied again, for `arriving` alone where others
        have it; empty: for all. It takes effect once stored: whoever owns the partition then finds
        it there, however often workers change meanwhile."""
        if offset >= max(self.next, self.state.high):
            return state
        self.next = min(self.next, offset)
        if state.again < 0:
            return msgspec.structs.replace(state, again=offset, arriving=arriving)
        both: Ranges = ()
        if state.arriving and arriving:
            still = Residents(state.residents).now().only(state.arriving).ranges
            both = tuple(sorted({*still, *arriving}))
        return msgspec.structs.replace(state, again=min(state.again, offset), arriving=both)
