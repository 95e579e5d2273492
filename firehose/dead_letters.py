"""Dead letters: events that a cell could not apply, kept with reason and origin until settled.

They lie in a log of the cell's own with one partition, in envelopes as events do
(`firehose.codec`), followed by records that say how each was settled; what is open is what folding
that log leaves. A letter is named by its origin, `<partition>-<offset>` in the root firehose, so
whoever adds the same one again (a worker that repeats a batch, a replay) adds nothing.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from types import ModuleType
from typing import NamedTuple

from firehose.codec import Kind, UnknownKind, open_envelope, payload_struct, seal
from firehose.log import RECORD_BYTES_MAX, Log, Record
from idgen.errors import BadRequest, Conflict, NotFound
from idgen.idl import binary_encode, load

VALUE_BYTES_MAX = RECORD_BYTES_MAX - 8192
"""Longer values are cut, so that the letter fits a record; no event is that long."""
REASON_CHARS_MAX = 1000
LIMIT_MAX = 1000
_READ_RECORDS = 500

_idl: ModuleType = load("event")


class Outcome(StrEnum):
    """What was done about a dead letter."""

    RETRIED = "retried"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that could not be applied.

    `partition`, `offset` and `at_ms` (append time) are of the root firehose. `cut`: `value` is not
    all of it, so it can be looked at and discarded but not retried. `outcome` None: open.
    """

    partition: int
    offset: int
    at_ms: int
    reason: str
    value: bytes
    cut: bool = False
    outcome: Outcome | None = None

    @property
    def id(self) -> str:
        """Its name: `<partition>-<offset>`."""
        return f"{self.partition}-{self.offset}"


class Counts(NamedTuple):
    """How many dead letters there are, by what became of them."""

    open: int
    retried: int
    discarded: int


@dataclass(slots=True)
class _Known:
    at: int
    """The letter's offset in the dead-letter log."""
    outcome: Outcome | None = None


_Origin = tuple[int, int]


class DeadLetters:
    """The dead letters of one cell, over `log` (one partition). Safe for many threads.

    Every method raises Unavailable when the log is away, Corrupt or UnknownKind when it holds what
    this program did not write. Memory: some 200 bytes per letter, none for the values.
    """

    def __init__(self, log: Log) -> None:
        if log.partitions != 1:
            raise ValueError(f"a dead-letter log has one partition, this one {log.partitions}")
        self._log = log
        self._lock = threading.Lock()
        self._start = 0
        self._next = 0
        self._known: dict[_Origin, _Known] = {}

    def add(self, partition: int, offset: int, at_ms: int, reason: str, value: bytes) -> str:
        """Keep an event that could not be applied; durable when this returns its id.

        Adding one that is known already, open or settled, changes nothing.
        """
        letter = _idl.DeadLetter(
            partition=partition,
            offset=offset,
            at_ms=at_ms,
            reason=reason[:REASON_CHARS_MAX],
            value=value[:VALUE_BYTES_MAX],
            cut=len(value) > VALUE_BYTES_MAX or None,
        )
        with self._lock:
            self._fold()
            if (partition, offset) not in self._known:
                self._log.append([(0, seal(Kind.DEAD_LETTER, binary_encode(letter)))])
        return f"{partition}-{offset}"

    def list(self, after: str = "", limit: int = 100) -> list[DeadLetter]:
        """Open letters in the order in which they were added, from behind the one named `after`.

        Fewer than `limit` (1 to 1,000): there are no more. Raises BadRequest(after|limit) and
        NotFound for an `after` that never was.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise BadRequest("limit", f"{limit}; allowed are 1 to {LIMIT_MAX}")
        with self._lock:
            self._fold()
            above = self._find("after", after).at if after else -1
            found = [k for k in self._known.values() if k.outcome is None and k.at > above]
        return [self._read(known) for known in found[:limit]]

    def show(self, letter_id: str) -> DeadLetter:
        """One letter, open or settled. Raises NotFound, BadRequest(id)."""
        with self._lock:
            self._fold()
            known = replace(self._find("id", letter_id))
        return self._read(known)

    def settle(self, letter_id: str, outcome: str) -> None:
        """Say what was done about a letter: `retried` (after its effect is acknowledged) or
        `discarded`. Again with the same outcome changes nothing.

        Raises NotFound, Conflict when it was settled otherwise, BadRequest(id|outcome).
        """
        try:
            settled = Outcome(outcome)
        except ValueError:
            allowed = ", ".join(Outcome)
            raise BadRequest("outcome", f"{outcome!r}; allowed are {allowed}") from None
        with self._lock:
            self._fold()
            known = self._find("id", letter_id)
            if known.outcome is settled:
                return
            if known.outcome is not None:
                raise Conflict(f"dead letter {letter_id} was {known.outcome} already")
            partition, offset = _origin("id", letter_id)
            record = _idl.DeadLetterSettled(
                partition=partition, offset=offset, outcome=settled.value
            )
            self._log.append([(0, seal(Kind.DEAD_LETTER_SETTLED, binary_encode(record)))])

    def counts(self) -> Counts:
        """How many there are; open ones want an operator."""
        with self._lock:
            self._fold()
            outcomes = [known.outcome for known in self._known.values()]
        return Counts(
            outcomes.count(None),
            outcomes.count(Outcome.RETRIED),
            outcomes.count(Outcome.DISCARDED),
        )

    def _fold(self) -> None:
        """Take in what was appended since; forget letters that the log has forgotten."""
        start = self._log.spans()[0].start
        if start > self._start:
            self._start = start
            self._next = max(self._next, start)
            self._known = {o: known for o, known in self._known.items() if known.at >= start}
        for record in self._new_records():
            kind, payload = open_envelope(record.value)
            if kind == Kind.DEAD_LETTER:
                found = payload_struct(_idl.DeadLetter, payload)
                self._known.setdefault((found.partition, found.offset), _Known(record.offset))
            elif kind == Kind.DEAD_LETTER_SETTLED:
                found = payload_struct(_idl.DeadLetterSettled, payload)
                known = self._known.get((found.partition, found.offset))
                if known is not None and known.outcome is None:
                    known.outcome = _known_outcome(found.outcome)
            else:
                raise UnknownKind(f"record of kind {kind} in the dead-letter log: upgrade first")
            self._next = record.offset + 1

    def _new_records(self) -> Iterator[Record]:
        while records := self._log.read(0, self._next, _READ_RECORDS):
            yield from records

    def _find(self, field: str, letter_id: str) -> _Known:
        known = self._known.get(_origin(field, letter_id))
        if known is None:
            raise NotFound(f"no dead letter {letter_id}; list them to see which there are")
        return known

    def _read(self, known: _Known) -> DeadLetter:
        records = self._log.read(0, known.at, 1)
        if not records:
            raise NotFound(f"the dead letter at {known.at} is beyond the retention of its log")
        found = payload_struct(_idl.DeadLetter, open_envelope(records[0].value)[1])
        return DeadLetter(
            found.partition,
            found.offset,
            found.at_ms,
            found.reason,
            bytes(found.value),
            bool(found.cut),
            known.outcome,
        )


def _known_outcome(text: str) -> Outcome:
    try:
        return Outcome(text)
    except ValueError:
        raise UnknownKind(f"a dead letter was settled as {text!r}: upgrade first") from None


def _origin(field: str, letter_id: str) -> _Origin:
    partition, dash, offset = letter_id.partition("-")
    if not (dash and partition.isdecimal() and offset.isdecimal()):
        raise BadRequest(field, f"{letter_id!r} is not <partition>-<offset>")
    return int(partition), int(offset)
