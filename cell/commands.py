"""Commands: what the workers of a cell must be told, as records of the cell's own command log.

There is no side channel into a running worker. Each worker reads the command log, stamps a command
with the offset at which it takes effect in each of its partitions, and stores stamp and effect
(cell.state) before it goes on. Repeating a command changes nothing.
"""

import msgspec

from idgen.errors import Corrupt


class SliceArrived(msgspec.Struct, frozen=True, tag="slice_arrived"):
    """Readers at places start..last are homed here in `band`; what the cell holds of them is as of
    the offsets `since` (by partition), from which the log is to be applied again."""

    start: int
    last: int
    band: int
    since: tuple[int, ...]


class SliceLeft(msgspec.Struct, frozen=True, tag="slice_left"):
    """Readers at places start..last are no longer homed here in `band`."""

    start: int
    last: int
    band: int


class LetterRetried(msgspec.Struct, frozen=True, tag="letter_retried"):
    """The dead letter from `offset` of `partition` is to be applied now, at its own version."""

    partition: int
    offset: int


class GroupRewound(msgspec.Struct, frozen=True, tag="group_rewound"):
    """The cell's consumer group reads again from `offsets` (by partition); the others go on."""

    offsets: dict[int, int]


class Switched(msgspec.Struct, frozen=True, tag="switched"):
    """Readers, authors and pairs of (reader, author) are pulled from now on, or pushed. `why` is a
    code of cell.materialization.Why."""

    pull: bool
    why: int
    readers: tuple[int, ...] = ()
    authors: tuple[int, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()


class Filled(msgspec.Struct, frozen=True, tag="filled"):
    """What readers were pulled for until the switch `until`, and in cells before this one, is in
    their inboxes now; void where a letter was retried since the command before `seen`."""

    until: int
    readers: tuple[int, ...]
    seen: int


Command = SliceArrived | SliceLeft | LetterRetried | GroupRewound | Switched | Filled

NAMED_MAX = 5_000
"""Whom one command may name: about 100 KB."""

_DECODER: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


def encode(command: Command) -> bytes:
    """A command as a record of the command log."""
    return msgspec.json.encode(command)


def decode(value: bytes) -> Command:
    """The command in a record. Raises Corrupt for anything else."""
    try:
        return _DECODER.decode(value)
    except msgspec.DecodeError as e:
        raise Corrupt(f"not a command of this version: {e}; upgrade the cell first") from e
