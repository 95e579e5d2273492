"""The newest events, read and encoded once for all the streams at the end of the log.

All of this lives in the thread of the event loop: nothing here waits, and nothing is locked.

A stream comes in by its offsets. When all that it reads next is not older than the window, it is
given what the window has from there on, and from then on what comes: there is no moment at which
anything could be lost or doubled.

What streams have not taken yet is kept by the window alone, so however many they are, they hold no
more than it does: whoever is still to take an event that is dropped from the window is *overrun*,
and on its own again.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from firehose.selection import Selection
from ops.stream.frames import Line


class Place:
    """Where one stream is in the window, and what it is still to take.

    `at`: its next offsets, of all partitions that it reads. `wake` is set when there is something
    to take or when it was overrun. `overrun`: it is out of the window; `at` says where it was.
    """

    def __init__(self, selection: Selection, at: dict[int, int], wake: asyncio.Event) -> None:
        self.selection = selection
        self.at = at
        self.wake = wake
        self.overrun = True
        self.pending: deque[tuple[int, Line]] = deque()

    def take(self, bytes_max: int) -> list[Line]:
        """What comes next: of about so many bytes, and one event at least; none: nothing."""
        found, size = [], 0
        while self.pending and size < bytes_max:
            _, line = self.pending.popleft()
            size += len(line.data)
            found.append(line)
        return found

    def wants(self, line: Line) -> bool:
        """Whether the stream is to have it."""
        offset = self.at.get(line.partition)
        if offset is None or line.offset < offset:
            return False
        if line.kind is None:
            return True
        kinds, authors = self.selection.kinds, self.selection.authors
        return (not kinds or line.kind in kinds) and (not authors or line.author in authors)


class Window:
    """The newest events of a log, up to `events_max` and `bytes_max`; closed until it `begin`s."""

    def __init__(self, events_max: int, bytes_max: int) -> None:
        self._events_max = events_max
        self.bytes_max = bytes_max
        self._lines: deque[tuple[int, Line]] = deque()
        self._count = 0
        self._floor: list[int] = []
        self._next: list[int] = []
        self._places: set[Place] = set()
        # Who may want a line: so that a thousand who wait for one author cost nothing.
        self._any: set[Place] = set()
        self._by: dict[str | int, set[Place]] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def ready(self) -> bool:
        """Whether it has begun."""
        return bool(self._next)

    def begin(self, ends: Sequence[int]) -> None:
        """Have nothing, from these offsets on: by partition. Whoever was in it is overrun."""
        self.close()
        self._floor, self._next = list(ends), list(ends)

    def close(self) -> None:
        """Have nothing, and let nobody in."""
        for place in list(self._places):
            self._overrun(place)
        self._lines.clear()
        self.size = 0
        self._floor, self._next = [], []

    def add(self, lines: Iterable[Line]) -> None:
        """What comes next in the log."""
        for line in lines:
            self._count += 1
            entry = (self._count, line)
            self._lines.append(entry)
            self.size += len(line.data)
            self._next[line.partition] = line.offset + 1
            for place in self._who(line):
                if place.wants(line):
                    place.pending.append(entry)
                    place.wake.set()
        self._drop()

    def has(self, at: dict[int, int]) -> bool:
        """Whether all from these offsets on is in it."""
        return self.ready and all(offset >= self._floor[p] for p, offset in at.items())

    def enter(self, place: Place) -> bool:
        """Give a stream what is here and what comes; False: it is behind."""
        if not self.has(place.at):
            return False
        place.overrun = False
        place.pending = deque(entry for entry in self._lines if place.wants(entry[1]))
        self._places.add(place)
        for key in _keys(place.selection):
            self._by.setdefault(key, set()).add(place)
        if not (place.selection.kinds or place.selection.authors):
            self._any.add(place)
        return True

    def leave(self, place: Place) -> None:
        """The stream's `at` is where it stands, and it is given nothing any more."""
        if place not in self._places:
            return
        self.settle(place)
        place.pending.clear()
        place.overrun = True
        self._places.discard(place)
        self._any.discard(place)
        for key in _keys(place.selection):
            self._by[key].discard(place)
            if not self._by[key]:
                del self._by[key]

    def settle(self, place: Place) -> dict[int, int]:
        """Move a stream's `at` over all that it does not want, up to what it is still to take."""
        if not place.overrun:
            at = place.at
            for partition, offset in at.items():
                at[partition] = max(offset, self._next[partition])
            for _, line in reversed(place.pending):
                at[line.partition] = line.offset
        return place.at

    def _who(self, line: Line) -> Iterable[Place]:
        if line.kind is None:
            return self._places
        found: list[Place] = [*self._any]
        found += self._by.get(line.kind, ())
        if line.author:
            found += self._by.get(line.author, ())
        return found

    def _drop(self) -> None:
        while len(self._lines) > self._events_max or self.size > self.bytes_max:
            _, line = self._lines.popleft()
            self.size -= len(line.data)
            self._floor[line.partition] = line.offset + 1
        oldest = self._lines[0][0] if self._lines else self._count + 1
        for place in [p for p in self._places if p.pending and p.pending[0][0] < oldest]:
            self._overrun(place)

    def _overrun(self, place: Place) -> None:
        self.leave(place)
        place.wake.set()


def _keys(selection: Selection) -> Iterable[str | int]:
    """Those with authors are found by these, others by their kinds."""
    return selection.authors or selection.kinds
