"""The firehose as `cellctl` reads it: places and selections as they are typed."""

from firehose.places import Latest, parse_place, resolve
from firehose.reading import Reading
from firehose.selection import parse_selection
from idgen.errors import BadRequest
from ops.platform_port import AskedReading
from ops.wiring.seams import Seams


class FirehoseDesk:
    """`ops.platform_port.Firehose` over the seams of a platform."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams

    def read(self, asked: AskedReading) -> Reading:
        """A pass over what is asked for; who has it closes it.

        Raises BadRequest(from|until|kinds|authors|partitions), CursorTooOld, Unavailable.
        """
        selection = parse_selection(asked.kinds, asked.authors, asked.partitions)
        start = parse_place("from", asked.start, self._seams.clock)
        until = parse_place("until", asked.until, self._seams.clock) if asked.until else None
        if until is not None and isinstance(start, Latest):
            raise BadRequest("until", "nothing lies between the end and an earlier place")
        log = self._seams.firehose()
        wanted = selection.partitions(log.partitions)
        begin = resolve("from", start, log, wanted)
        end = resolve("until", until, log, wanted) if until is not None else None
        return Reading(log, selection, begin, end)
