"""A stream that is a member of a consumer group."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Mapping

from firehose.checkpoint import Checkpoints
from firehose.selection import Selection
from idgen.errors import Conflict, CursorTooOld, DashcellError, Unavailable
from ops.stream.asked import Membership as Asked
from ops.stream.frames import Line
from ops.stream.ledger import Ledger
from ops.stream.membership import Delivery, Membership
from ops.stream.outlet import Ended, Gone, Outlet
from ops.stream.reader import Source

_log = logging.getLogger("dashcell.stream")


class GroupMember:
    """One member's stream, until it ends: `run` always raises, Ended or Gone.

    Automatic checkpoints follow what the client's side has taken, one `commit_s` later: of a client
    whose connection broke meanwhile they do not move, and its last events go to another.
    """

    def __init__(
        self,
        source: Source,
        checkpoints: Checkpoints,
        outlet: Outlet,
        asked: Asked,
        selection: Selection,
        address: str,
    ) -> None:
        self._limits = source.limits
        self._outlet = outlet
        self._manual = asked.manual
        self._ledger = Ledger()
        self._queue: deque[Delivery] = deque()
        self._queued = 0
        self._full = False
        self._failure: DashcellError | None = None
        self._replaced = False
        self._taken: dict[int, int] = {}
        self._tick_at = time.monotonic() + self._limits.commit_s
        # Kafka's own tools show it; and so any server can say where a member is.
        name = (asked.group, f"{asked.client}@{address}")
        self._membership = Membership(
            source.log, checkpoints, name, selection, self._heard, self._limits
        )

    def at(self) -> Mapping[int, int]:
        """Its next offsets, of the partitions that it has read something of."""
        return self._ledger.next

    async def run(self) -> None:
        """Join, and send what the member is assigned."""
        self._membership.start()
        try:
            while True:
                await self._step()
        except Gone:
            raise
        except Ended:
            if not self._manual and await self._outlet.let_out():
                self._taken = self._ledger.next
                await self._checkpoint()
            raise
        finally:
            await asyncio.shield(self._membership.leave())

    async def acknowledge(self, offsets: Mapping[int, int], *, cursor: bool) -> dict[int, int]:
        """Set checkpoints; those that moved. Of a `cursor`, partitions that are not the member's
        any more are passed over. Raises NotOwned, BadRequest, Conflict, Unavailable."""
        ledger = self._ledger
        mine = ledger.owned(offsets) if cursor else offsets
        ledger.acknowledge(mine, field="cursor" if cursor else "offsets")
        due = ledger.due()
        if due:
            await self._membership.commit(due)
            ledger.committed(due)
        self._hold()
        self._outlet.wake.set()
        return due

    def replace(self) -> None:
        """Another stream is this member now."""
        self._replaced = True
        self._outlet.wake.set()

    # -- what the member's thread tells ----------------------------------------------------------

    def _heard(self, told: Delivery | DashcellError) -> None:
        if isinstance(told, Delivery):
            # What another member is given now is not to be sent here any more.
            for earlier in self._queue:
                earlier.forget(told.revoked)
            self._queue.append(told)
            self._queued = sum(len(each.lines) for each in self._queue)
            self._hold()
        else:
            self._failure = told
        self._outlet.wake.set()

    def _hold(self) -> None:
        """Nothing more is read while there is much to be sent, or to be acknowledged."""
        ledger, limits = self._ledger, self._limits
        self._full = self._manual and ledger.unacknowledged >= limits.unacked
        self._membership.held = self._full or self._queued > limits.member_events

    # -- sending ---------------------------------------------------------------------------------

    async def _step(self) -> None:
        if self._queue and not self._full:
            await self._deliver(self._queue.popleft())
        elif self._replaced:
            raise Ended(
                "rebalanced", "another stream has joined as this member in its place", retry=False
            )
        elif self._failure is not None:
            raise _ended(self._failure)
        else:
            await self._outlet.rest(self.at, math.inf if self._manual else self._tick_at)
        await self._outlet.beat(self.at)
        if not self._manual and time.monotonic() >= self._tick_at:
            await self._checkpoint()

    async def _deliver(self, delivery: Delivery) -> None:
        ledger, outlet = self._ledger, self._outlet
        if delivery.assigned or delivery.revoked:
            ledger.revoke(delivery.revoked)
            ledger.assign(delivery.assigned)
            self._taken = {p: o for p, o in self._taken.items() if p in ledger.next}
            told = {"assigned": sorted(delivery.assigned), "revoked": sorted(delivery.revoked)}
            await outlet.write(outlet.framing.frame("partitions", told))
        lines = delivery.lines
        begin = size = 0
        for end, line in enumerate(lines, 1):
            size += len(line.data)
            if size >= self._limits.chunk_bytes or end == len(lines):
                await self._send(lines[begin:end])
                begin, size = end, 0
        ledger.pass_by(delivery.seen)
        self._queued = sum(len(each.lines) for each in self._queue)
        self._hold()

    async def _send(self, lines: list[Line]) -> None:
        await self._outlet.events(lines, self._ledger.next)
        for line in lines:
            self._ledger.give(line.partition, line.offset)
        await self._outlet.flushed()

    async def _checkpoint(self) -> None:
        """Checkpoints move to what had been taken a while ago."""
        self._tick_at = time.monotonic() + self._limits.commit_s
        ledger = self._ledger
        ledger.acknowledge(ledger.owned(self._taken), field="offsets")
        self._taken = ledger.next
        due = ledger.due()
        if due:
            try:
                await self._membership.commit(due)
                ledger.committed(due)
            except Conflict:
                return  # the next poll says which are not ours any more
            except Unavailable as error:
                _log.warning("checkpoints did not move, and will later: %s", error)


def _ended(failure: DashcellError) -> Ended:
    if isinstance(failure, CursorTooOld):
        floor = failure.floor.decode("ascii", "ignore")
        return Ended("cursor_too_old", str(failure), retry=False, floor=floor)
    if isinstance(failure, Unavailable):
        return Ended("unavailable", str(failure), retry=True)
    return Ended("failed", str(failure), retry=False)
