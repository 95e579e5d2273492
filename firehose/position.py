"""Positions: how far a cell has come in the log, and what a receipt waits for.

A position is a vector, one number per partition, in root coordinates. To clients it is an opaque
token; tokens of several receipts may be given together.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from crc32c import crc32c

from idgen.errors import BadRequest

_HEAD = struct.Struct(">BIH")
_ITEM = struct.Struct(">HQH")
_OFFSET = struct.Struct(">Q")
_RECEIPT = struct.Struct(">BIHHQHQ")
"""All three, of one offset in one partition."""
_TOKEN_VERSION = 1
TOKEN_BYTES_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Applied:
    """How far one partition is applied: all below `high`, but for the `open` offsets.

    An open offset is an event in progress (a giant post in chunks). Offsets >= high are not begun.
    """

    high: int = 0
    open: tuple[int, ...] = ()

    @property
    def low(self) -> int:
        """All below is done."""
        return min(self.open, default=self.high)

    def done(self, offset: int) -> bool:
        """Whether the event at `offset` is done."""
        return offset < self.high and offset not in self.open


@dataclass(frozen=True, slots=True)
class Need:
    """What must be done in one partition: all below `below`, and each of `offsets`."""

    below: int = 0
    offsets: frozenset[int] = frozenset()

    def met_by(self, applied: Applied) -> bool:
        """Whether `applied` has done all that is needed."""
        return applied.low >= self.below and all(applied.done(o) for o in self.offsets)


@dataclass(frozen=True, slots=True)
class Position:
    """What a reader may rely on, per partition; `log` is the fingerprint of the log's identity."""

    log: int
    needs: dict[int, Need] = field(default_factory=dict)

    def met_by(self, applied: dict[int, Applied]) -> bool:
        """Whether a cell that has come as far as `applied` includes all of this."""
        return all(n.met_by(applied.get(p, Applied())) for p, n in self.needs.items())

    def token(self) -> bytes:
        """The opaque form: version, log, then partition, below and offsets, big-endian."""
        parts = [_HEAD.pack(_TOKEN_VERSION, self.log, len(self.needs))]
        for partition, need in sorted(self.needs.items()):
            parts.append(_ITEM.pack(partition, need.below, len(need.offsets)))
            parts.extend(_OFFSET.pack(o) for o in sorted(need.offsets))
        return b"".join(parts)


def log_fingerprint(identity: str) -> int:
    """A log's identity as 32 bits (crc32c of its UTF-8), so that tokens of another log are told."""
    return int(crc32c(identity.encode()))


def receipt_token(log: int, partition: int, offset: int) -> bytes:
    """The token of one written event: its own offset is done. Made at once, without a Position:
    there is one for every event."""
    return _RECEIPT.pack(_TOKEN_VERSION, log, 1, partition, 0, 1, offset)


def reached_position(log: int, applied: dict[int, Applied]) -> Position:
    """The position of a cell: everything below the low of each partition."""
    return Position(log, {p: Need(below=a.low) for p, a in applied.items() if a.low})


def ends_position(log: int, ends: Sequence[int]) -> Position:
    """The position of the ends of a log: everything below each, by partition."""
    return Position(log, {p: Need(below=end) for p, end in enumerate(ends)})


def parse_token(token: bytes, partitions: int) -> Position:
    """The position in a token. Raises BadRequest(at_least) for anything we did not make."""
    if len(token) > TOKEN_BYTES_MAX:
        raise BadRequest("at_least", f"a token has at most {TOKEN_BYTES_MAX} bytes")
    try:
        version, log, count = _HEAD.unpack_from(token, 0)
        at = _HEAD.size
        needs: dict[int, Need] = {}
        for _ in range(count):
            partition, below, offsets = _ITEM.unpack_from(token, at)
            at += _ITEM.size
            end = at + offsets * _OFFSET.size
            if end > len(token) or partition >= partitions or partition in needs:
                raise BadRequest("at_least", "not a token of this platform; pass it on unchanged")
            found = frozenset(_OFFSET.unpack_from(token, i)[0] for i in range(at, end, 8))
            needs[partition] = Need(below, found)
            at = end
    except struct.error:
        raise BadRequest("at_least", "the token is cut short; pass it on unchanged") from None
    if version != _TOKEN_VERSION or at != len(token):
        raise BadRequest("at_least", "not a token of this platform; pass it on unchanged")
    return Position(log, needs)


def join(positions: Iterable[Position], log: int) -> Position:
    """All of several positions. Raises BadRequest(at_least) when one is of another log."""
    needs: dict[int, Need] = {}
    for position in positions:
        if position.log != log:
            raise BadRequest("at_least", "a token of another log; take a new one from a new write")
        for partition, need in position.needs.items():
            have = needs.get(partition, Need())
            needs[partition] = Need(max(have.below, need.below), have.offsets | need.offsets)
    return Position(log, needs)
