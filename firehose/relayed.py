"""What a relay writes into the topic of a cell group, and how it is put in order again.

A record of the topic is an envelope, big-endian: magic 2 bytes, format version 1, kind 1, the
fingerprint of the root's identity 4, the root offset 8, the root append time in ms 8, crc32c 4 (of
the bytes before it and of the value), then the root's value untouched; its partition is the root's.
Kind 1 is a record. Kind 2, a beginning, has neither time nor value: nothing below its offset was
relayed, or all of it has been forgotten since.

A relay appends the root's records in order, from one that the topic says comes next (or from a
beginning, when the topic is empty); so of each record the one before lies before it in the topic,
whoever was killed and however many relays wrote at once. Whoever reads therefore finds each root
record where the highest offset so far is one less, and all others below: repetitions. One above
means that records are missing. Not so where retention has cut through what several relays at once
wrote: a reader who begins just there may be told of a gap, and is never given one.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from crc32c import crc32c

from firehose.codec import UnknownKind
from firehose.log import RECORD_BYTES_MAX, Log, Record, Span
from idgen.errors import Corrupt, CursorTooOld, DashcellError, Unavailable

MAGIC = b"\xdc\x1e"
FORMAT_VERSION = 1
_HEAD = struct.Struct(">2sBBIQQ")
_CHECKSUM = struct.Struct(">I")
HEAD_BYTES = _HEAD.size + _CHECKSUM.size
RELAYED_BYTES_MAX = RECORD_BYTES_MAX + HEAD_BYTES
"""The topic of a group has to be opened for values so large."""
BATCH_RECORDS = 500
"""What a relay appends by one call, all partitions together."""
TAIL_RECORDS = 4 * BATCH_RECORDS
"""The end of what was relayed is the highest among so many last records of a partition: a relay
that was overtaken repeats at most one batch, then it sees that it was."""
RUNS_MAX = 64


class Kind(IntEnum):
    """What an envelope holds; the numbers are in topics for good."""

    RECORD = 1
    BEGINNING = 2


_KINDS = frozenset(Kind)
REFILL = "stop its relay, delete the topic, and let the relay fill it anew"


class RelayGap(DashcellError):
    """Root records `expected` up to `found` (exclusive) of `partition` are missing.

    Never skipped: what is behind would lose them silently.
    """

    reason = "relay_gap"

    def __init__(self, partition: int, expected: int, found: int, remedy: str) -> None:
        super().__init__(
            f"partition {partition}: {found - expected} records from root offset {expected} on are "
            f"missing, the next one is {found}; {remedy}"
        )
        self.partition = partition
        self.expected = expected
        self.found = found


class Relayed(NamedTuple):
    """One record of a group's topic, in root coordinates; `value` None: a beginning."""

    offset: int
    at_ms: int
    value: bytes | None

    @property
    def next(self) -> int:
        """The root offset that comes after it."""
        return self.offset if self.value is None else self.offset + 1


def relayed_value(root: int, record: Record) -> bytes:
    """The topic's value for a root record; `root` is the fingerprint of the root's identity."""
    return _seal(Kind.RECORD, root, record.offset, record.at_ms, record.value)


def beginning_value(root: int, offset: int) -> bytes:
    """The topic's value for a beginning at a root offset."""
    return _seal(Kind.BEGINNING, root, offset, 0, b"")


def _seal(kind: Kind, root: int, offset: int, at_ms: int, value: bytes) -> bytes:
    head = _HEAD.pack(MAGIC, FORMAT_VERSION, kind, root, offset, at_ms)
    return b"%b%b%b" % (head, _CHECKSUM.pack(crc32c(value, crc32c(head))), value)


def open_relayed(root: int, record: Record) -> Relayed:
    """What a record of the topic holds. Raises Corrupt, naming its place, for anything that a
    relay of this root did not write; UnknownKind for a later version.
    """
    data = record.value
    if len(data) < HEAD_BYTES or data[:2] != MAGIC:
        raise _corrupt(record, f"was not written by a relay ({data[:HEAD_BYTES].hex()})")
    head, value = data[: _HEAD.size], data[HEAD_BYTES:]
    if crc32c(value, crc32c(head)) != _CHECKSUM.unpack_from(data, _HEAD.size)[0]:
        raise _corrupt(record, "has a wrong checksum")
    _, version, kind, found, offset, at_ms = _HEAD.unpack(head)
    if version != FORMAT_VERSION or kind not in _KINDS:
        raise UnknownKind(
            f"a record of a group's topic has version {version} and kind {kind}, this program "
            f"knows version {FORMAT_VERSION}: upgrade cells before their relay"
        )
    if found != root:
        raise _corrupt(record, f"is of another root ({found:08x}, not {root:08x})")
    return Relayed(offset, at_ms, value if kind == Kind.RECORD else None)


def _corrupt(record: Record, why: str) -> Corrupt:
    return Corrupt(
        f"offset {record.offset} of partition {record.partition} of the group's topic {why}: "
        f"{REFILL}"
    )


def topic_records(topic: Log, partition: int, place: int, limit: int) -> list[Record]:
    """Records that the topic has just said it holds, at least one. Raises Unavailable when they
    were forgotten meanwhile.
    """
    try:
        records = topic.read(partition, place, limit)
    except CursorTooOld as error:
        raise Unavailable(f"the group's topic was trimmed meanwhile ({error})") from error
    if not records:
        raise Unavailable(f"the group's topic lost offset {place} of partition {partition}")
    return records


def relayed_end(root: int, topic: Log, partition: int, span: Span, known: int = 0) -> int:
    """The root offset after the last one that was relayed, `known` or higher.

    `span` is what is to be looked at of the topic's partition; no more than TAIL_RECORDS are read.
    """
    end, place = known, max(span.start, span.end - TAIL_RECORDS)
    while place < span.end:
        records = topic_records(topic, partition, place, TAIL_RECORDS)
        end = max(end, *(open_relayed(root, record).next for record in records))
        place = records[-1].offset + 1
    return end


class Follower:
    """Reads on in one partition of the topic, and gives each root record once and in order.

    `place` is the topic offset to read next, `expected` the root offset to give next; `dropped`
    counts repetitions.
    """

    def __init__(self, root: int, partition: int, place: int, expected: int) -> None:
        self._root = root
        self._partition = partition
        self.place = place
        self.expected = expected
        self.dropped = 0
        self._runs = [(expected, place)]
        """Where root and topic offsets go up together, by the first of each; the newest ones."""

    def copy(self) -> "Follower":
        """As it is now, to go back to."""
        copy = Follower(self._root, self._partition, self.place, self.expected)
        copy.dropped, copy._runs = self.dropped, list(self._runs)
        return copy

    def take(self, record: Record) -> Record | None:
        """The root record in the topic's next record; None for a repetition and a beginning.

        Raises RelayGap when others are missing before it, Corrupt as `open_relayed`; the place
        stays then.
        """
        found = open_relayed(self._root, record)
        if found.offset > self.expected:
            raise RelayGap(
                self._partition,
                self.expected,
                found.offset,
                f"so says the group's topic at its offset {record.offset}: {REFILL}",
            )
        self.place = record.offset + 1
        if found.value is None:
            return None
        if found.offset < self.expected:
            self.dropped += 1
            return None
        start, place = self._runs[-1]
        if record.offset - place != found.offset - start:
            self._runs = [*self._runs[1 - RUNS_MAX :], (found.offset, record.offset)]
        self.expected += 1
        return Record(self._partition, found.offset, found.at_ms, found.value)

    def place_of(self, offset: int) -> int | None:
        """Where to read for `offset` to be next, as far as is remembered: behind the one before."""
        for start, place in reversed(self._runs):
            if start < offset <= self.expected:
                return place + offset - start
        start, place = self._runs[0]
        return place if start == offset else None
