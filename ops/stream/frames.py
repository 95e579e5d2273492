"""Frames of a stream: NDJSON, or server-sent events (the WHATWG's HTML standard, section 9.2).

A frame is an object with `frame`: start, event, heartbeat, partitions, end. An event's line is made
once for all streams; what a stream adds to it is put on at its end.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from firehose.cursor import cursor_of
from firehose.event import Event
from firehose.event_json import KINDS, document
from firehose.log import Record

_JSON = msgspec.json.Encoder()
NDJSON, SSE = "application/x-ndjson", "text/event-stream"


class Line(NamedTuple):
    """An event as all streams send it. `kind`: None where it cannot be read, and so is everybody's;
    `author`: 0 where it has none."""

    partition: int
    offset: int
    kind: str | None
    author: int
    data: bytes


def line_of(record: Record, event: Event | str) -> Line:
    """The line of a record: a whole NDJSON frame."""
    data = _JSON.encode({"frame": "event"} | document(record, event)) + b"\n"
    if isinstance(event, str):
        return Line(record.partition, record.offset, None, 0, data)
    author = getattr(event, "author", 0)
    return Line(record.partition, record.offset, KINDS[type(event)], author, data)


class Framing:
    """How one stream writes its frames; `each`: with a cursor in every event. SSE has one in every
    id anyway."""

    def __init__(self, log: str, partitions: int, *, sse: bool, each: bool) -> None:
        self.media_type = SSE if sse else NDJSON
        self._log = log
        self._partitions = partitions
        self._sse = sse
        self._each = each

    def cursor(self, at: Mapping[int, int]) -> str:
        """The cursor of the next offsets."""
        return cursor_of(self._log, self._partitions, at).text()

    def frame(self, name: str, told: Mapping[str, Any], cursor: str = "") -> bytes:
        """Any frame but an event; `cursor`: where a client that has it goes on, if anywhere."""
        data = _JSON.encode({"frame": name, **told, **({"cursor": cursor} if cursor else {})})
        if not self._sse:
            return data + b"\n"
        # A client that comes again by itself must not begin before the last event that it had.
        at = f"id: {cursor}\n" if cursor else ""
        return f"event: {name}\n{at}data: ".encode() + data + b"\n\n"

    def events(self, lines: Iterable[Line], at: dict[int, int]) -> bytes:
        """Events one after the other; `at` is moved behind them."""
        if not (self._sse or self._each):
            found = []
            for line in lines:
                at[line.partition] = line.offset + 1
                found.append(line.data)
            return b"".join(found)
        return b"".join([self._with_cursor(line, at) for line in lines])

    def _with_cursor(self, line: Line, at: dict[int, int]) -> bytes:
        at[line.partition] = line.offset + 1
        cursor = self.cursor(at).encode()
        data = line.data
        if self._each:
            data = data[:-2] + b',"cursor":"' + cursor + b'"}\n'
        if not self._sse:
            return data
        return b"event: event\nid: " + cursor + b"\ndata: " + data + b"\n"
