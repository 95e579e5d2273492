"""A cell's own state: two rows per partition in the cell table.

- The **owner's row**, changed by compare-and-set alone: who owns the partition (a generation that
  grows with every claim), how far the command log was read, what has to be applied again, and the
  residents.
- The **position's row**: how far the partition is applied, written by the versions' rule with all
  of a worker's partitions in one call. Its version is (generation, step), and whoever claims a
  partition writes it before anything else. So of a worker that was stopped and goes on later every
  write of it loses, and what such a worker still wrote before that is true: nothing was stamped in
  between that it did not know.
"""

from collections.abc import Iterable, Mapping

import msgspec

from cell import keys
from cell.residents import Homes, Ranges, Resident, Residents, common
from cell.tables import Row, Tables
from firehose.position import Applied
from idgen.errors import Conflict

STEP_BITS = 32


class PartitionState(msgspec.Struct, frozen=True):
    """The state of one partition in one cell, of both rows.

    `revision` grows with every write of the owner's row and is its version; `step` with every
    write of the position's row by one owner. `commands` is the next offset of the command log to
    read. `again` is how far the events below `high` have been applied once more; -1: nothing is to
    be applied again. `arriving`: for whom, as (start, last, band), what was done is done once more;
    empty: for all. `stamps` (switch, at; cell.coverage) are the newest, whose rows may not be there
    yet. `row` is the owner's row as it was read or written, empty where there is none: of a later
    version it may have fields that this one ignores.
    """

    revision: int = 0
    generation: int = 0
    high: int = 0
    open: tuple[int, ...] = ()
    commands: int = 0
    again: int = -1
    residents: tuple[Resident, ...] = ()
    step: int = 0
    arriving: Ranges = ()
    stamps: tuple[tuple[int, int], ...] = ()
    row: bytes = b""

    @property
    def applied(self) -> Applied:
        """The applied position of this partition."""
        return Applied(self.high, self.open)

    @property
    def unfinished(self) -> int:
        """The lowest offset that is to be applied yet, or again for a slice that arrived."""
        low = self.applied.low
        return low if self.again < 0 else min(low, self.again)

    @property
    def owner(self) -> "_Owner":
        """What the owner's row holds."""
        return _Owner(
            self.revision,
            self.generation,
            self.commands,
            self.again,
            self.residents,
            self.arriving or msgspec.UNSET,
            self.stamps or msgspec.UNSET,
        )


class CellLog(msgspec.Struct, frozen=True):
    """A log by its fingerprint, and what is added to its offsets: kept in each cell too, for a
    platform whose registry was lost."""

    log: int
    log_base: int


class _Owner(msgspec.Struct, frozen=True):
    revision: int = 0
    generation: int = 0
    commands: int = 0
    again: int = -1
    residents: tuple[Resident, ...] = ()
    arriving: Ranges | msgspec.UnsetType = msgspec.UNSET
    stamps: tuple[tuple[int, int], ...] | msgspec.UnsetType = msgspec.UNSET


class _Position(msgspec.Struct, frozen=True):
    high: int = 0
    open: tuple[int, ...] = ()


_OWNER = msgspec.json.Decoder(_Owner)
_LOG = msgspec.json.Decoder(CellLog)
_POSITION = msgspec.json.Decoder(_Position)


class CellState:
    """Reading and changing the rows of the cell table."""

    def __init__(self, tables: Tables, partitions: int) -> None:
        self._tables = tables
        self._partitions = partitions

    def read(self, partitions: Iterable[int] | None = None) -> dict[int, PartitionState]:
        """The states of `partitions` (None: of all); one without rows is in its first state.

        Owners are read after positions: a state has all commands that were obeyed before its
        position was reached.
        """
        wanted = list(range(self._partitions) if partitions is None else partitions)
        positions = self._tables.get(keys.CELL, [keys.position_key(p) for p in wanted])
        owners = self._tables.get(keys.CELL, [keys.partition_key(p) for p in wanted])
        rows = zip(wanted, owners, positions, strict=True)
        return {p: _state_of(owner, position) for p, owner, position in rows}

    def claim(self, partitions: Iterable[int]) -> dict[int, PartitionState]:
        """Become the owner of partitions: of each the generation above all before."""
        claimed = {p: self._raise_generation(p) for p in partitions}
        # The ones before may have come further since, and may go on until these rows are there.
        now = self.read(claimed)
        return self.advance(
            {
                p: msgspec.structs.replace(s, high=now[p].high, open=now[p].open, step=0)
                for p, s in claimed.items()
            }
        )

    def begin_as(self, states: Mapping[int, PartitionState], *, anew: bool = False) -> None:
        """Have a cell that holds a copy go on from where that was made: its positions, commands
        and residents, in a generation not below its own. May be repeated; what has come further
        since stays, unless it begins `anew`: with another log, before anybody applies that."""
        for partition, found in self.claim(states).items():
            wanted = states[partition]
            if not anew and (found.high, found.commands) > (wanted.high, wanted.commands):
                continue
            begun = msgspec.structs.replace(
                found,
                generation=max(found.generation, wanted.generation),
                high=wanted.high,
                open=wanted.open,
                commands=wanted.commands,
                again=wanted.again,
                residents=wanted.residents,
                arriving=wanted.arriving,
            )
            self.advance({partition: self.change(partition, found, begun)})

    def _raise_generation(self, partition: int) -> PartitionState:
        while True:
            found = self.read((partition,))[partition]
            above = msgspec.structs.replace(found, generation=found.generation + 1)
            written = self._write(partition, found, above)
            if written is not None:
                return written

    def change(
        self, partition: int, have: PartitionState, changed: PartitionState
    ) -> PartitionState:
        """Write the owner's row of `changed` over that of `have`. Raises Conflict when another
        worker has claimed the partition since; then nothing was written."""
        written = self._write(partition, have, changed)
        if written is not None:
            return written
        found = self.read((partition,))[partition]
        if msgspec.structs.replace(changed.owner, revision=found.revision) == found.owner:
            # Our own write, acknowledged too late.
            return msgspec.structs.replace(changed, revision=found.revision, row=found.row)
        _check_owner(partition, have, found)
        raise Conflict(
            f"partition {partition} is at revision {found.revision}, not {have.revision} any more"
        )

    def check_owned(self, states: Mapping[int, PartitionState]) -> None:
        """Raises Conflict when another worker has claimed any of these partitions since.

        An owner that was overtaken by mistake (the other was stopped between being told that a
        partition is its own and claiming it) learns it here alone: its positions are lost silently.
        """
        for partition, found in self.read(states).items():
            _check_owner(partition, states[partition], found)

    def advance(self, states: Mapping[int, PartitionState]) -> dict[int, PartitionState]:
        """Write the positions of partitions, in one call. Those of a partition that another worker
        has claimed since are lost."""
        stepped = {p: msgspec.structs.replace(s, step=s.step + 1) for p, s in states.items()}
        rows = [
            Row(
                keys.position_key(p),
                s.generation << STEP_BITS | s.step,
                msgspec.json.encode(_Position(s.high, s.open)),
            )
            for p, s in stepped.items()
        ]
        self._tables.put(keys.CELL, rows)
        return stepped

    def _write(
        self, partition: int, have: PartitionState, changed: PartitionState
    ) -> PartitionState | None:
        new = msgspec.structs.replace(changed, revision=have.revision + 1)
        row = Row(keys.partition_key(partition), new.revision, msgspec.json.encode(new.owner))
        if not self._tables.put_if(keys.CELL, row, have.row or None):
            return None
        return msgspec.structs.replace(new, row=row.value)

    def era(self) -> bytes:
        """The cache's era: the prefix of all keys in the post cache."""
        (row,) = self._tables.get(keys.CELL, [keys.ERA_KEY])
        return b"0" if row is None else row.value

    def next_era(self, least: int = 1) -> bytes:
        """Begin a new era, so that what the cache holds is not looked at again; of a number not
        below `least`, for a table that does not know which eras there were."""
        while True:
            (row,) = self._tables.get(keys.CELL, [keys.ERA_KEY])
            version = max(least, 1 if row is None else row.version + 1)
            new = Row(keys.ERA_KEY, version, b"%d" % version)
            if self._tables.put_if(keys.CELL, new, None if row is None else row.value):
                return new.value

    def log(self) -> CellLog | None:
        """The log that was last applied to this cell; None: not known."""
        (row,) = self._tables.get(keys.CELL, [keys.LOG_KEY])
        return None if row is None else _LOG.decode(row.value)

    def begin_log(self, log: CellLog) -> None:
        """Remember the log that is applied from now on; one of a higher log_base stays."""
        row = Row(keys.LOG_KEY, log.log_base + 1, msgspec.json.encode(log))
        self._tables.put(keys.CELL, [row])

    def restoring(self) -> str:
        """The name of the backup that this cell's tables are being restored from, or were."""
        (row,) = self._tables.get(keys.CELL, [keys.RESTORE_KEY])
        return "" if row is None else row.value.decode()

    def begin_restoring(self, name: str) -> None:
        """Remember what is being restored here."""
        self._tables.put(keys.CELL, [Row(keys.RESTORE_KEY, 1, name.encode())])


def _check_owner(partition: int, have: PartitionState, found: PartitionState) -> None:
    if found.generation != have.generation:
        raise Conflict(
            f"partition {partition} is owned by generation {found.generation} now, "
            f"not by {have.generation}"
        )


def _state_of(owner_row: Row | None, position_row: Row | None) -> PartitionState:
    owner = _Owner() if owner_row is None else _OWNER.decode(owner_row.value)
    position = _Position() if position_row is None else _POSITION.decode(position_row.value)
    return PartitionState(
        revision=owner.revision,
        generation=owner.generation,
        high=position.high,
        open=position.open,
        commands=owner.commands,
        again=owner.again,
        residents=owner.residents,
        arriving=owner.arriving or (),
        stamps=owner.stamps or (),
        step=0 if position_row is None else position_row.version & ((1 << STEP_BITS) - 1),
        row=b"" if owner_row is None else owner_row.value,
    )


def homes_now(states: Iterable[PartitionState]) -> Homes:
    """Who is homed here as of the newest stamps of all partitions."""
    return common([Residents(s.residents).now() for s in states])
