"""Where a worker begins to read in a partition that it takes over."""

from collections.abc import Mapping

from cell.state import PartitionState
from cell.stores import CellStores
from firehose.log import Span
from idgen.errors import CursorTooOld, Unavailable


def beginning(
    stores: CellStores, partition: int, state: PartitionState, committed: int | None, span: Span
) -> int:
    """At the checkpoint, but never above what is unfinished. `span`: what is retained of the
    partition where the cell reads.

    Raises CursorTooOld for what cannot be mended by waiting: events that are no longer retained,
    and another log. Unavailable where the cell's relay has not come as far as the cell: the cell
    was copied or restored from what is ahead of it, or the relay fills its topic anew.
    """
    low = state.unfinished
    if span.end < state.high:
        end = stores.root.spans()[partition].end if stores.relayed_from else span.end
        if end >= state.high:
            raise Unavailable(
                f"the relay has brought partition {partition} up to {span.end}, and the cell goes "
                f"on from {state.high}: it waits for its relay"
            )
        raise CursorTooOld(
            f"partition {partition} of the log ends at {end}, below the applied position "
            f"{state.high}: this is another log; set log_base above all versions ever given",
            end.to_bytes(8, "big"),
        )
    if span.start > low:
        raise CursorTooOld(
            f"partition {partition}: {span.start - low} events from offset {low} on are no "
            "longer retained; restore the cell from a backup or bootstrap it anew",
            span.start.to_bytes(8, "big"),
        )
    return min(max(span.start, committed if committed is not None else 0), low)


def refuse_lost(
    stores: CellStores, found: Mapping[int, PartitionState], committed: Mapping[int, int]
) -> None:
    """Not begin anew where the tables were lost: what is no longer in the log, and what came here
    by a move, would be missing silently. Raises Unavailable."""
    lost = [p for p, s in found.items() if not s.generation and committed.get(p, 0)]
    if lost:
        raise Unavailable(
            f"cell {stores.name} has lost its tables: they know nothing of partition {lost[0]}, of "
            f"which it had applied {committed[lost[0]]} events; restore it by "
            "`cellctl restore-cell DIR`"
        )
