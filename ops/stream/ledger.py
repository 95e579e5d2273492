"""What a member of a group was given, and what of it is acknowledged: values only, no I/O.

A partition's checkpoint is the first event that was given and is not acknowledged; where there is
none, what comes next. So what a stream does not want never holds a checkpoint up.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from idgen.errors import BadRequest
from ops.stream.problems import NotOwned


@dataclass(slots=True)
class _Given:
    """One partition since it was assigned. `next`: where it is read on; None: nothing was read."""

    next: int | None = None
    open: deque[int] = field(default_factory=deque)
    committed: int | None = None

    @property
    def checkpoint(self) -> int | None:
        return self.open[0] if self.open else self.next


class Ledger:
    """The partitions that a member owns."""

    def __init__(self) -> None:
        self._given: dict[int, _Given] = {}
        self.unacknowledged = 0

    @property
    def next(self) -> dict[int, int]:
        """Where the partitions are read on, of which something was read."""
        return {p: each.next for p, each in self._given.items() if each.next is not None}

    def assign(self, partitions: Iterable[int]) -> None:
        """These are the member's from now on, and nothing is known of them."""
        for partition in partitions:
            self.revoke((partition,))
            self._given[partition] = _Given()

    def revoke(self, partitions: Iterable[int]) -> None:
        """These are not the member's any more."""
        for partition in partitions:
            given = self._given.pop(partition, None)
            self.unacknowledged -= len(given.open) if given else 0

    def give(self, partition: int, offset: int) -> None:
        """An event is handed to the client."""
        given = self._given[partition]
        given.open.append(offset)
        given.next = offset + 1
        self.unacknowledged += 1

    def pass_by(self, seen: Mapping[int, int]) -> None:
        """All before these offsets was given, or is not wanted."""
        for partition, offset in seen.items():
            if partition in self._given:
                self._given[partition].next = offset

    def acknowledge(self, offsets: Mapping[int, int], *, field: str) -> None:
        """All before these offsets is done with. What is older than an earlier one changes nothing.

        Raises NotOwned for partitions that are not the member's, BadRequest(field) for what was
        not given yet; nothing has changed then.
        """
        foreign = sorted(offsets.keys() - self._given.keys())
        if foreign:
            raise NotOwned(
                f"partitions {foreign} are not this member's (any more): who has them reads on "
                "from their checkpoints"
            )
        for partition, offset in offsets.items():
            most = self._given[partition].next
            if most is None or offset > most:
                raise BadRequest(field, f"{offset} of partition {partition} was not given yet")
        for partition, offset in offsets.items():
            open_ = self._given[partition].open
            while open_ and open_[0] < offset:
                open_.popleft()
                self.unacknowledged -= 1

    def owned(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """Those of the member's partitions."""
        return {p: offset for p, offset in offsets.items() if p in self._given}

    def due(self) -> dict[int, int]:
        """The checkpoints that have moved since they were `committed`."""
        return {
            p: each.checkpoint
            for p, each in self._given.items()
            if each.checkpoint is not None and each.checkpoint != each.committed
        }

    def committed(self, offsets: Mapping[int, int]) -> None:
        """These checkpoints are kept."""
        for partition, offset in offsets.items():
            if partition in self._given:
                self._given[partition].committed = offset
