"""A cell's own state: one row per partition in the cell table, changed by compare-and-set alone.

A row holds who owns the partition (a generation that grows with every claim), the applied
position, how far the command log was read, and the residents. So a worker that was stopped and
goes on later cannot move a position that is no longer its own.
"""

from collections.abc import Iterable

import msgspec

from cell import keys
from cell.residents import Homes, Resident, Residents, common
from cell.tables import Row, Tables
from firehose.position import Applied
from idgen.errors import Conflict

ERA_BYTES_MAX = 8


class PartitionState(msgspec.Struct, frozen=True):
    """The state of one partition in one cell.

    `revision` grows with every write of the row and is its version. `commands` is the next offset
    of the command log to read. `again` is how far the events below `high` have been applied once
    more for a slice that arrived; -1: nothing is to be applied again.
    """

    revision: int = 0
    generation: int = 0
    high: int = 0
    open: tuple[int, ...] = ()
    commands: int = 0
    again: int = -1
    residents: tuple[Resident, ...] = ()

    @property
    def applied(self) -> Applied:
        """The applied position of this partition."""
        return Applied(self.high, self.open)

    @property
    def unfinished(self) -> int:
        """The lowest offset that is to be applied yet, or again for a slice that arrived."""
        low = self.applied.low
        return low if self.again < 0 else min(low, self.again)


_DECODER = msgspec.json.Decoder(PartitionState)


class CellState:
    """Reading and changing the rows of the cell table."""

    def __init__(self, tables: Tables, partitions: int) -> None:
        self._tables = tables
        self._partitions = partitions

    def read(self, partitions: Iterable[int] | None = None) -> dict[int, PartitionState]:
        """The states of `partitions` (None: of all); one without a row is in its first state."""
        wanted = list(range(self._partitions) if partitions is None else partitions)
        rows = self._tables.get(keys.CELL, [keys.partition_key(p) for p in wanted])
        return {
            p: PartitionState() if row is None else _DECODER.decode(row.value)
            for p, row in zip(wanted, rows, strict=True)
        }

    def claim(self, partition: int) -> PartitionState:
        """Become the owner of a partition: the generation above all before."""
        while True:
            found = self.read((partition,))[partition]
            claimed = msgspec.structs.replace(found, generation=found.generation + 1)
            written = self._write(partition, found, claimed)
            if written is not None:
                return written

    def change(
        self, partition: int, have: PartitionState, changed: PartitionState
    ) -> PartitionState:
        """Write `changed` over `have`. Raises Conflict when another worker has claimed the
        partition since; then nothing was written."""
        written = self._write(partition, have, changed)
        if written is None:
            found = self.read((partition,))[partition]
            if msgspec.structs.replace(changed, revision=found.revision) == found:
                return found  # our own write, acknowledged too late
            raise Conflict(
                f"partition {partition} is owned by generation {found.generation} now, "
                f"not by {have.generation}"
            )
        return written

    def _write(
        self, partition: int, have: PartitionState, changed: PartitionState
    ) -> PartitionState | None:
        new = msgspec.structs.replace(changed, revision=have.revision + 1)
        row = Row(keys.partition_key(partition), new.revision, msgspec.json.encode(new))
        expected = msgspec.json.encode(have) if have.revision else None
        return new if self._tables.put_if(keys.CELL, row, expected) else None

    def era(self) -> bytes:
        """The cache's era: the prefix of all keys in the post cache."""
        (row,) = self._tables.get(keys.CELL, [keys.ERA_KEY])
        return b"0" if row is None else row.value

    def next_era(self) -> bytes:
        """Begin a new era, so that what the cache holds is not looked at again."""
        while True:
            (row,) = self._tables.get(keys.CELL, [keys.ERA_KEY])
            version = 1 if row is None else row.version + 1
            new = Row(keys.ERA_KEY, version, b"%d" % version)
            if self._tables.put_if(keys.CELL, new, None if row is None else row.value):
                return new.value


def homes_now(states: Iterable[PartitionState]) -> Homes:
    """Who is homed here as of the newest stamps of all partitions."""
    return common([Residents(s.residents).now() for s in states])
