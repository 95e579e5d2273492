"""A stream from one place on: first from the log itself, and at its end from the window.

Both are read by offsets, so what changes between them is who reads, and never what is given.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from firehose.log import Log
from firehose.places import check_order, resolve
from firehose.reading import Reading
from idgen.errors import BadRequest, CursorTooOld, Unavailable
from ops.stream.asked import Asked
from ops.stream.frames import Line, line_of
from ops.stream.limits import StreamLimits
from ops.stream.outlet import Ended, Outlet
from ops.stream.tail import Tail
from ops.stream.turns import Turns
from ops.stream.window import Place, Window

T = TypeVar("T")
READ_RECORDS = 256
READ_MS = 500


@dataclass(frozen=True)
class Source:
    """What streams read from; `readers` are threads for who reads the log by itself, `calls` for
    all other questions to it."""

    log: Log
    window: Window
    tail: Tail
    turns: Turns
    readers: ThreadPoolExecutor
    calls: ThreadPoolExecutor
    limits: StreamLimits

    async def call(self, ask: Callable[[], T]) -> T:
        """Ask the log, or its groups."""
        return await asyncio.get_running_loop().run_in_executor(self.calls, ask)

    async def read(self, ask: Callable[[], T]) -> T:
        """Read the log."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, ask)


@dataclass(frozen=True)
class Resolved:
    """The offsets that a stream begins at and ends before."""

    start: dict[int, int]
    until: dict[int, int] | None


def resolved(log: Log, asked: Asked) -> Resolved:
    """Where it begins and ends. Raises BadRequest(from|until|partitions), CursorTooOld,
    Unavailable."""
    wanted = asked.selection.partitions(log.partitions)
    start = resolve("from", asked.start, log, wanted)
    if asked.until is None:
        return Resolved(start, None)
    try:
        until = resolve("until", asked.until, log, wanted)
    except CursorTooOld as error:
        raise BadRequest("until", f"nothing before it is retained: {error}") from None
    check_order(start, until)
    return Resolved(start, until)


class Reader:
    """One stream, until it ends: `run` always raises, Ended or Gone."""

    def __init__(self, source: Source, outlet: Outlet, asked: Asked, where: Resolved) -> None:
        self._source = source
        self._outlet = outlet
        self._until = where.until
        self._place = Place(asked.selection, dict(where.start), outlet.wake)

    def at(self) -> Mapping[int, int]:
        """Its next offsets: all before has been sent, as far as it is wanted."""
        return self._source.window.settle(self._place)

    async def run(self) -> None:
        """Send events and heartbeats."""
        window, place = self._source.window, self._place
        try:
            while True:
                if self._until is None and window.enter(place):
                    await self._from_window()
                else:
                    await self._from_log()
        except CursorTooOld as error:
            raise Ended("cursor_too_old", str(error), retry=False, floor=_floor(error)) from error
        except Unavailable as error:
            raise Ended("unavailable", str(error), retry=True) from error
        finally:
            window.leave(place)

    async def _from_window(self) -> None:
        """Returns when the stream is out of the window by no fault of its client."""
        outlet, place = self._outlet, self._place
        outlet.caught_up()
        while not place.overrun:
            outlet.check()  # what is taken and not sent would be lost: the cursor is behind it
            lines = place.take(self._source.limits.chunk_bytes)
            if lines:
                await outlet.events(lines, place.at)
                await outlet.flushed(lambda: place.overrun)
                await outlet.beat(self.at)
            else:
                outlet.caught_up()
                self._check_end_of_log()
                await outlet.rest(self.at)
        if outlet.slow:
            raise Ended(
                "slow_reader",
                "events came faster than they were taken; go on from the cursor",
                retry=True,
            )

    def _check_end_of_log(self) -> None:
        since, limit = self._source.tail.down_since, self._source.limits.down_s
        if since is not None and time.monotonic() - since > limit:
            raise Unavailable(f"the firehose has not answered for {limit:g} s")

    async def _from_log(self) -> None:
        """Returns when the window has all that comes next, or when others are to have a turn: also
        when the client takes too long, so that nobody waits for it."""
        source, outlet, place = self._source, self._outlet, self._place
        await outlet.flushed()
        await source.turns.take(outlet, self.at)
        reading = Reading(source.log, place.selection, place.at, self._until)
        over = time.monotonic() + source.limits.turn_s
        try:
            while not reading.done and (self._until is not None or not source.window.has(place.at)):
                lines, after = await source.read(lambda: _read(reading))
                if not await self._sent(lines):
                    return
                place.at = after
                await outlet.beat(self.at)
                if time.monotonic() > over and source.turns.wanted:
                    return
            if reading.done:
                raise Ended("until", "all before `until` has been sent", retry=False)
        finally:
            source.turns.give_back()
            await asyncio.shield(source.read(reading.close))

    async def _sent(self, lines: list[Line]) -> bool:
        outlet, limits = self._outlet, self._source.limits
        begin = size = 0
        for end, line in enumerate(lines, 1):
            size += len(line.data)
            if size >= limits.chunk_bytes or end == len(lines):
                await outlet.events(lines[begin:end], self._place.at)
                if not await outlet.flushed(within_s=limits.turn_s):
                    return False
                begin, size = end, 0
        return True


def _read(reading: Reading) -> tuple[list[Line], dict[int, int]]:
    batch = reading.read(READ_RECORDS, READ_MS)
    return [line_of(*each) for each in batch.events], dict(reading.cursor.offsets)


def _floor(error: CursorTooOld) -> str:
    return error.floor.decode()
