"""The firehose as `cellctl` reads it and appends to it: places and selections as they are typed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firehose.places import Latest, check_order, parse_past_place, resolve
from firehose.reading import Reading
from firehose.receipts import Context, EventReceipt, NewEvent
from firehose.selection import parse_selection
from firehose.writes import Where, Writes
from idgen.errors import BadRequest
from idgen.ids import MAX_ID
from ops.platform_port import AskedReading
from ops.wiring.seams import Seams


@dataclass(frozen=True)
class Taken:
    """`firehose.writes.Ids` by a function that takes so many."""

    next_ids: Callable[[int], list[int]]


class FirehoseDesk:
    """`ops.platform_port.Firehose` over the seams of a platform."""

    def __init__(
        self, seams: Seams, take_ids: Callable[[int], list[int]], backfill_default: int
    ) -> None:
        self._seams = seams
        self._take_ids = take_ids
        self._backfill_default = backfill_default

    def read(self, asked: AskedReading) -> Reading:
        """A pass over what is asked for; who has it closes it.

        Raises BadRequest(from|until|kinds|authors|partitions), CursorTooOld, Unavailable.
        """
        selection = parse_selection(asked.kinds, asked.authors, asked.partitions)
        start = parse_past_place("from", asked.start, self._seams.clock)
        until = parse_past_place("until", asked.until, self._seams.clock) if asked.until else None
        if until is not None and isinstance(start, Latest):
            raise BadRequest("until", "nothing lies between the end and an earlier place")
        log = self._seams.firehose()
        wanted = selection.partitions(log.partitions)
        begin = resolve("from", start, log, wanted)
        end = resolve("until", until, log, wanted) if until is not None else None
        if end is not None:
            check_order(begin, end)
        return Reading(log, selection, begin, end)

    def append(
        self, ctx: Context, news: Sequence[NewEvent], where: Where
    ) -> Sequence[EventReceipt]:
        """See `ops.platform_port.Firehose.append`. What was exported may be of any age; clients,
        whose retries are soon, have a bound."""
        any_age_ms = MAX_ID
        writes = Writes(
            self._seams.firehose(),
            Taken(self._take_ids),
            self._seams.clock,
            self._backfill_default,
            any_age_ms,
        )
        return writes.append(ctx, news, where)
