"""The verbs of the service IdGen (thrift/idgen.thrift) over domain values."""

from idgen.clock_watch import ClockWatch
from idgen.errors import BadRequest
from idgen.ids import MAX_ID, IdParts, decompose
from idgen.snowflake import Snowflake, SnowflakeStatus


class IdGenHandler:
    """Called by the server template, from many threads; time and leases are the snowflake's."""

    def __init__(self, snowflake: Snowflake, clock_watch: ClockWatch | None = None) -> None:
        self._snowflake = snowflake
        self._clock_watch = clock_watch

    def next_id(self, after: int = 0) -> int:
        """One id above `after`. Raises BadRequest(after) and Unavailable."""
        return self._snowflake.next_id(after)

    def next_ids(self, n: int) -> list[int]:
        """1 to 10,000 ids, increasing. Raises BadRequest(n) and Unavailable."""
        return self._snowflake.next_ids(n)

    def decode(self, event_id: int) -> IdParts:
        """The parts of an id. Raises BadRequest(id) for what is none."""
        if not 0 <= event_id <= MAX_ID:
            raise BadRequest("id", f"{event_id} is no id: it has to be 0 to 2^63 - 1")
        return decompose(event_id)

    def status(self) -> SnowflakeStatus:
        """Lease, reserve, clock and the last trouble; also while ids are Unavailable."""
        status = self._snowflake.status()
        if self._clock_watch is None:
            return status
        seen = self._clock_watch.last
        return status._replace(clock_offset_ms=seen.offset_ms, clock_peers=seen.peers)
