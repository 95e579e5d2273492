"""A member of a group, in a thread of its own: it stays alive whatever its client does."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from firehose.checkpoint import Checkpoints, Member, Polled
from firehose.cursor import cursor_of
from firehose.event_json import read_event
from firehose.log import Log
from firehose.places import gap_before
from firehose.selection import Selection
from idgen.errors import CursorTooOld, DashcellError, Unavailable
from ops.stream.frames import Line, line_of
from ops.stream.limits import StreamLimits

_log = logging.getLogger("dashcell.stream")
POLL_RECORDS = 256
POLL_MS = 100


@dataclass(slots=True)
class Delivery:
    """What one poll brought. `seen`: the next offset of each partition behind it."""

    assigned: frozenset[int]
    revoked: frozenset[int]
    lines: list[Line]
    seen: dict[int, int]

    def forget(self, partitions: frozenset[int]) -> None:
        """Of these nothing is the member's any more, so nothing of them is to be sent."""
        if partitions:
            self.lines = [line for line in self.lines if line.partition not in partitions]
            self.seen = {p: offset for p, offset in self.seen.items() if p not in partitions}


Heard = Callable[[Delivery | DashcellError], None]
Commit = tuple[dict[int, int], "asyncio.Future[None]"]


class Membership:
    """Joins when it is started. `heard` is called in the event loop's thread with what is polled,
    and with the error that ends it. While `held` is set, nothing is read."""

    def __init__(
        self,
        log: Log,
        checkpoints: Checkpoints,
        name: tuple[str, str],
        selection: Selection,
        heard: Heard,
        limits: StreamLimits,
    ) -> None:
        self.held = False
        self._log = log
        self._checkpoints = checkpoints
        self._group, self._client = name
        self._selection = selection
        self._heard = heard
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._commits: queue.SimpleQueue[Commit] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="stream member", daemon=True)

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Set checkpoints. Raises Conflict where they are somebody else's by now, Unavailable."""
        done: asyncio.Future[None] = self._loop.create_future()
        if self._ended.is_set():
            raise Unavailable("the member is leaving its group")
        self._commits.put((dict(offsets), done))
        await done

    async def leave(self) -> None:
        """Leave the group; returns once others can have the partitions."""
        self._stop.set()
        await self._ended.wait()

    def _work(self) -> None:
        member: Member | None = None
        try:
            member = self._checkpoints.join(self._group, self._client, self._limits.session_ms)
            while not self._stop.is_set():
                self._turn(member)
        except CursorTooOld as error:
            self._tell(lambda error=error: self._heard(self._gap(error)))  # type: ignore[misc]
        except DashcellError as error:
            self._tell(lambda error=error: self._heard(error))  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - told to the client, whatever it is
            _log.exception("a member of a group failed")
            told = DashcellError(f"the member failed: {error}")
            self._tell(lambda: self._heard(told))
        finally:
            self._last(member)

    def _last(self, member: Member | None) -> None:
        try:
            if member is not None:
                self._commit_asked(member)
                member.leave()
        except DashcellError as error:
            _log.warning("a member could not leave group %s: %s", self._group, error)
        finally:
            self._tell(self._over)

    def _turn(self, member: Member) -> None:
        self._commit_asked(member)
        if self.held:
            member.pause(member.owned)
        else:
            member.resume(member.owned)
        polled = self._polled(member)
        if polled is None:
            return
        made = self._delivery(polled)
        if polled.assigned or polled.revoked or made.seen:
            self._tell(lambda: self._heard(made))

    def _polled(self, member: Member) -> Polled | None:
        """Patient with servers that are away for a while."""
        until = time.monotonic() + self._limits.down_s
        while not self._stop.is_set():
            try:
                return member.poll(POLL_RECORDS, POLL_MS)
            except Unavailable:
                if time.monotonic() > until:
                    raise
                self._stop.wait(POLL_MS / 1000)
        return None

    def _delivery(self, polled: Polled) -> Delivery:
        lines, seen = [], {}
        for record in polled.records:
            seen[record.partition] = record.offset + 1
            event = read_event(record)
            if self._selection.wants(event):
                lines.append(line_of(record, event))
        return Delivery(polled.assigned, polled.revoked, lines, seen)

    def _over(self) -> None:
        self._ended.set()
        while not self._commits.empty():
            _settle(self._commits.get()[1], Unavailable("the member has left its group"))

    def _commit_asked(self, member: Member) -> None:
        while not self._commits.empty():
            offsets, done = self._commits.get()
            failed: DashcellError | None = None
            try:
                member.commit(offsets)
            except DashcellError as error:
                failed = error
            self._tell(lambda done=done, failed=failed: _settle(done, failed))  # type: ignore[misc]

    def _gap(self, error: CursorTooOld) -> CursorTooOld:
        """The same with a floor that is a cursor: where the group could be rewound to."""
        log = self._log
        try:
            committed = self._checkpoints.committed(self._group)
            at = cursor_of(log.identity, log.partitions, committed)
            return gap_before(at, log.spans()) or error
        except DashcellError:
            return CursorTooOld(str(error), b"")

    def _tell(self, what: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            return  # the loop is closed: nobody is left to be told


def _settle(done: "asyncio.Future[None]", failed: DashcellError | None) -> None:
    if done.cancelled():
        return
    if failed is None:
        done.set_result(None)
    else:
        done.set_exception(failed)
