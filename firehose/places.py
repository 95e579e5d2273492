"""Places in the firehose that people and programs name: a cursor, a time, the oldest, the newest.

Times are of the log's own append times. What cannot be meant is refused and never guessed: seconds
where milliseconds belong, a time without a zone, a `+` that a form has made a space of.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from firehose.cursor import Cursor, is_cursor, parse_cursor
from firehose.log import Log, Span
from firehose.position import log_fingerprint
from idgen.clock import Clock
from idgen.errors import BadRequest, CursorTooOld

EARLIEST, LATEST = "earliest", "latest"
MS_MIN = 100_000_000_000
"""Milliseconds below this (March 1973) are seconds that somebody took for milliseconds."""
MS_MAX = 10_000_000_000_000
"""Milliseconds from here on (the year 2286) are microseconds."""
AHEAD_MS = 10_000
"""A time may be so far ahead of our clock: clocks differ."""
_SPAN = re.compile(r"-(\d{1,9})(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LOST_PLUS = re.compile(r"T\d\d:\d\d(:\d\d([.,]\d+)?)? \d\d:?\d\d$")
FORMS = (
    "a cursor, a time as 2012-07-04T12:00:00Z, milliseconds since 1970, a time ago as -2h "
    f"(ms, s, m, h, d), {EARLIEST} or {LATEST}"
)


@dataclass(frozen=True, slots=True)
class Earliest:
    """The oldest that the log retains."""


@dataclass(frozen=True, slots=True)
class Latest:
    """The end of the log as of the question."""


@dataclass(frozen=True, slots=True)
class AtTime:
    """The first event appended at `ms` (since 1970) or later."""

    ms: int


Place = Cursor | AtTime | Earliest | Latest


def is_ago(text: str) -> bool:
    """Whether a text is a time ago, as -2h."""
    return _SPAN.fullmatch(text) is not None


def parse_place(field: str, text: str, clock: Clock) -> Place:
    """What a text names. Raises BadRequest(field)."""
    if text == EARLIEST:
        return Earliest()
    if text == LATEST:
        return Latest()
    if is_cursor(text):
        return parse_cursor(field, text)
    span = _SPAN.fullmatch(text)
    if span is not None:
        return AtTime(max(0, clock.now_ms() - int(span[1]) * _UNIT_MS[span[2]]))
    if text.isascii() and text.isdigit():
        return AtTime(_epoch_ms(field, text))
    return AtTime(_iso_ms(field, text))


def parse_past_place(field: str, text: str, clock: Clock) -> Place:
    """The same for who reads from or until there: a time in the future is refused too. The end as
    of now would stand for it, and what comes before that time be given as well."""
    place = parse_place(field, text, clock)
    if isinstance(place, AtTime) and place.ms > clock.now_ms() + AHEAD_MS:
        raise BadRequest(field, f"{text[:64]} lies in the future: {LATEST} is the end as of now")
    return place


def _epoch_ms(field: str, text: str) -> int:
    if len(text) <= len(str(MS_MAX)) and MS_MIN <= int(text) < MS_MAX:
        return int(text)
    short = len(text) <= len(str(MS_MIN))
    why = "seconds? give milliseconds: append 000" if short else "microseconds, or nanoseconds?"
    raise BadRequest(field, f"{text[:40]} is no time in milliseconds since 1970 ({why})")


def _iso_ms(field: str, text: str) -> int:
    if _LOST_PLUS.search(text[:64]):
        raise BadRequest(field, f"{text[:64]!r} has a space for its +: in a URL write + as %2B")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(field, f"{text[:64]!r} is no place; places are {FORMS}") from None
    if moment.tzinfo is None:
        raise BadRequest(
            field, f"{text[:64]!r} has no zone: append Z for UTC, or an offset as +02:00"
        )
    found = round(moment.timestamp() * 1000)
    if not 0 <= found < MS_MAX:
        raise BadRequest(field, f"{text[:64]!r} is outside the years 1970 to 2286")
    return found


def resolve(field: str, place: Place, log: Log, partitions: Mapping[int, object]) -> dict[int, int]:
    """The offsets that a place stands for, of the partitions wanted.

    A time before all that is retained stands for the oldest, one after all of it for the end.
    Raises BadRequest(field) for a cursor of another log or of other partitions; CursorTooOld
    (see `gap_before`) when the log no longer has what a cursor comes to next.
    """
    if isinstance(place, Cursor):
        return _resolved(field, place, log, partitions)
    if isinstance(place, AtTime):
        found = log.offsets_at(place.ms)
    else:
        found = [s.end if isinstance(place, Latest) else s.start for s in log.spans()]
    return {p: found[p] for p in partitions}


def check_order(start: Mapping[int, int], until: Mapping[int, int]) -> None:
    """Raises BadRequest(until) where all lies before the beginning, which nobody can mean. Who
    begins where it ends has come to the end."""
    if any(start[p] > until[p] for p in start) and not any(start[p] < until[p] for p in start):
        raise BadRequest("until", "lies before from")


def check_same_log(field: str, cursor: Cursor, log: Log) -> None:
    """Raises BadRequest(field) for a cursor of another log."""
    if cursor.log != log_fingerprint(log.identity) or cursor.partitions != log.partitions:
        raise BadRequest(
            field, "the cursor is of another firehose, or of one before a restore: begin by a time"
        )


def gap_before(cursor: Cursor, spans: Sequence[Span]) -> CursorTooOld | None:
    """What is wrong with a cursor whose next events the log forgot; None: nothing.

    Its floor is the text of the cursor moved up to the oldest that is retained, and no further: who
    accepts the gap misses nothing else by it, and gets nothing again.
    """
    late = [p for p, offset in sorted(cursor.offsets.items()) if offset < spans[p].start]
    if not late:
        return None
    gone = sum(spans[p].start - cursor.offsets[p] for p in late)
    up = {p: max(offset, spans[p].start) for p, offset in cursor.offsets.items()}
    floor = replace(cursor, offsets=up).text()
    return CursorTooOld(
        f"{gone:,} events after the cursor are no longer retained (partition {late[0]} begins at "
        f"{spans[late[0]].start}, wanted {cursor.offsets[late[0]]}); to go on without them begin "
        f"at {floor}",
        floor.encode(),
    )


def _resolved(
    field: str, cursor: Cursor, log: Log, partitions: Mapping[int, object]
) -> dict[int, int]:
    check_same_log(field, cursor, log)
    missing = sorted(set(partitions) - set(cursor.offsets))
    if missing:
        raise BadRequest(
            field,
            f"the cursor says nothing of partition {missing[0]}: it was made with other "
            "`partitions`; resume with the same ones",
        )
    spans = log.spans()
    wanted = replace(cursor, offsets={p: cursor.offsets[p] for p in partitions})
    if gap := gap_before(wanted, spans):
        raise gap
    beyond = [p for p in sorted(partitions) if cursor.offsets[p] > spans[p].end]
    if beyond:
        raise BadRequest(
            field,
            f"the cursor is beyond the end of partition {beyond[0]} ({spans[beyond[0]].end}): is "
            "it of another firehose?",
        )
    return {p: cursor.offsets[p] for p in partitions}
