"""Slices of the key space: which range of spread readers is homed where. Pure values.

The key space is the unsigned 64-bit places that `idgen.ids.spread` gives. A slice reaches from its
start to the start of the next; together they cover everything, so a look-up is one bisection.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec

from idgen.errors import BadRequest, Conflict, Corrupt

PLACES = 1 << 64
EPOCH_MAX = (1 << 15) - 1
"""Epochs have 15 bits: they are the bands of versions, above 48 bits of offsets."""
PIECE_BYTES_MAX = 64_000
"""A piece of the routes lies in one value of the registry, and a change rewrites a few of them in
one call that ZooKeeper refuses above 1 MiB."""

_CELL = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_ENTRY_BYTES_MAX = 80
_Entry = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class Slice:
    """From `start` on readers are homed in `cell` since `epoch`.

    `drawn` is the highest epoch ever drawn for any of its readers; never below `epoch`. An epoch
    is never given twice, also when the move that it was drawn for was cancelled.
    `after`: offsets by partition that the cell has to have applied before it answers; what the home
    before may have shown. Empty once it has.
    """

    start: int
    cell: str
    epoch: int
    drawn: int
    after: tuple[int, ...] = ()


class Slices:
    """All slices in order; a value, changed by making another.

    Raises BadRequest(routes) when made from slices that do not begin at 0, do not rise, or hold
    an epoch or a cell's name that cannot be.
    """

    def __init__(self, slices: Iterable[Slice]) -> None:
        self._slices = tuple(slices)
        self._starts = [s.start for s in self._slices]
        if not self._slices or self._starts[0] != 0:
            raise BadRequest("routes", "the first slice starts at 0")
        if self._starts[-1] >= PLACES or any(a >= b for a, b in pairwise(self._starts)):
            raise BadRequest("routes", "starts rise strictly and are below 2^64")
        for s in self._slices:
            check_cell_name("routes", s.cell)
            if not 1 <= s.epoch <= s.drawn <= EPOCH_MAX:
                why = f"epoch {s.epoch} drawn {s.drawn} is not within 1 to {EPOCH_MAX}"
                raise BadRequest("routes", why)

    def __iter__(self) -> Iterator[Slice]:
        return iter(self._slices)

    def __len__(self) -> int:
        return len(self._slices)

    def __getitem__(self, index: int) -> Slice:
        return self._slices[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slices) and self._slices == other._slices

    def __hash__(self) -> int:
        return hash(self._slices)

    def __repr__(self) -> str:
        return f"Slices({list(self._slices)!r})"

    def find(self, place: int) -> int:
        """The index of the slice that holds a place (0 to 2^64 - 1)."""
        return bisect_right(self._starts, place) - 1

    def at(self, place: int) -> Slice:
        """The slice that holds a place."""
        return self._slices[bisect_right(self._starts, place) - 1]

    def end(self, index: int) -> int:
        """Where a slice ends (exclusive): the next one's start, or 2^64."""
        return self._starts[index + 1] if index + 1 < len(self._starts) else PLACES

    def cells(self) -> tuple[str, ...]:
        """The cells that are home to somebody, sorted."""
        return tuple(sorted({s.cell for s in self._slices}))

    def width(self, cell: str) -> int:
        """How many places are homed in a cell."""
        return sum(self.end(i) - s.start for i, s in enumerate(self._slices) if s.cell == cell)

    def split(self, place: int) -> "Slices":
        """The same homes, with a slice that starts at `place`."""
        i = self.find(place)
        if self._starts[i] == place:
            return self
        right = replace(self._slices[i], start=place)
        return Slices((*self._slices[: i + 1], right, *self._slices[i + 1 :]))

    def draw(self, start: int, end: int) -> tuple["Slices", int]:
        """An epoch for the range [start, end) above all ever drawn in it, and the slices that
        remember it; the range's bounds become slice bounds, homes stay as they are.

        Raises BadRequest(range) for an empty one, Conflict when the range has used up its epochs.
        """
        cut, indexes = self._cut(start, end)
        epoch = max(cut[i].drawn for i in indexes) + 1
        if epoch > EPOCH_MAX:
            raise Conflict(
                f"the range {start:016x} has had all {EPOCH_MAX} epochs; restore its cell from a "
                "backup into a new platform to begin again"
            )
        return cut.replaced(replace(cut[i], drawn=epoch) for i in indexes), epoch

    def rehome(
        self, start: int, end: int, cell: str, epoch: int, after: tuple[int, ...] = ()
    ) -> "Slices":
        """The range [start, end) homed in `cell` from `epoch` on, which answers `after` a position.

        Raises BadRequest(range) for an empty one, Conflict when `epoch` was not drawn for all of it
        or is not above the present one.
        """
        cut, indexes = self._cut(start, end)
        for i in indexes:
            s = cut[i]
            if not s.epoch < epoch <= s.drawn:
                raise Conflict(
                    f"slice {s.start:016x} has epoch {s.epoch}, drawn {s.drawn}; {epoch} was not "
                    "drawn for it or is over"
                )
        return cut.replaced(replace(cut[i], cell=cell, epoch=epoch, after=after) for i in indexes)

    def opened(self, start: int, end: int) -> "Slices":
        """The same, with nothing to answer after in [start, end): its cell has applied it."""
        return self.replaced(replace(self._slices[i], after=()) for i in self.within(start, end))

    def merged(self) -> "Slices":
        """The same homes in the fewest slices: neighbours become one when cell and epoch agree."""
        kept: list[Slice] = []
        for s in self._slices:
            last = kept[-1] if kept else None
            if last is not None and (last.cell, last.epoch, last.after) == (
                s.cell,
                s.epoch,
                s.after,
            ):
                kept[-1] = replace(last, drawn=max(last.drawn, s.drawn))
            else:
                kept.append(s)
        return Slices(kept)

    def within(self, start: int, end: int) -> range:
        """The indexes of the slices that overlap [start, end). Raises BadRequest(range)."""
        _check_range(start, end)
        return range(self.find(start), self.find(end - 1) + 1)

    def replaced(self, slices: Iterable[Slice]) -> "Slices":
        """These slices in the place of those with the same starts."""
        new = {s.start: s for s in slices}
        return Slices(new.get(s.start, s) for s in self._slices)

    def _cut(self, start: int, end: int) -> tuple["Slices", range]:
        _check_range(start, end)
        cut = self.split(start)
        if end < PLACES:
            cut = cut.split(end)
        return cut, cut.within(start, end)


def even(cells: Sequence[str], epoch: int = 1) -> Slices:
    """The key space in equal parts, one for each cell in their order."""
    if not cells:
        raise BadRequest("cells", "at least one cell is needed to be home to readers")
    return Slices(
        Slice(PLACES * i // len(cells), cell, epoch, epoch) for i, cell in enumerate(cells)
    )


def check_cell_name(field: str, name: str) -> None:
    """A cell's or a group's name: 1 to 32 of a-z, 0-9 and `-`, not first a dash. Raises
    BadRequest."""
    if not _CELL.match(name):
        what = "group" if field == "group" else "cell"
        raise BadRequest(field, f"{name!r} is no {what}'s name: 1 to 32 of a-z, 0-9 and -")


def to_bytes(slices: Iterable[Slice]) -> bytes:
    """Slices as JSON, for a registry value: [start in hexadecimal, cell, epoch, drawn] each."""
    return msgspec.json.encode([(f"{s.start:016x}", s.cell, s.epoch, s.drawn) for s in slices])


def from_bytes(data: bytes) -> list[Slice]:
    """The inverse of `to_bytes`. Raises Corrupt."""
    try:
        entries = msgspec.json.decode(data, type=list[_Entry])
        return [Slice(int(start, 16), cell, epoch, drawn) for start, cell, epoch, drawn in entries]
    except (msgspec.MsgspecError, ValueError) as error:
        raise Corrupt(f"a piece of the routes cannot be read: {error}") from error


def pieces(slices: Sequence[Slice], bytes_max: int = PIECE_BYTES_MAX) -> list[list[Slice]]:
    """The slices in order, in the fewest runs of equal length of at most `bytes_max` bytes each."""
    if not slices:
        return []
    per_piece = max(1, bytes_max // _ENTRY_BYTES_MAX)
    count = -(-len(slices) // per_piece)
    bounds = [len(slices) * i // count for i in range(count + 1)]
    return [list(slices[a:b]) for a, b in pairwise(bounds)]


def _check_range(start: int, end: int) -> None:
    if not 0 <= start < end <= PLACES:
        raise BadRequest("range", f"{start:#x} to {end:#x} is no range of the key space")
