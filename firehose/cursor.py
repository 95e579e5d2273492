"""Cursors: where a consumer of the firehose reads next, as an opaque text.

`c1.`, then in base64url without padding: the log's fingerprint (4 bytes, big-endian); as LEB128
varints (those of DWARF) the number of partitions of the log, and for each partition that is read
its number above the one before and its offset; crc32c of all that (4 bytes, big-endian). For a log
of 64 partitions with a billion events in each it has some 500 characters.
"""

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crc32c import crc32c

from firehose.position import log_fingerprint
from idgen.errors import BadRequest

TEXT_MAX = 16_384
_PREFIX = "c1."
_WORD = struct.Struct(">I")
_VARINT_BITS_MAX = 63


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next offset to read in each partition of one log that is read; `partitions`: how many the
    log has."""

    log: int
    partitions: int
    offsets: Mapping[int, int]

    def text(self) -> str:
        """The opaque form."""
        parts = [_WORD.pack(self.log), _varint(self.partitions)]
        before = 0
        for partition, offset in sorted(self.offsets.items()):
            parts += (_varint(partition - before), _varint(offset))
            before = partition
        body = b"".join(parts)
        sealed = body + _WORD.pack(crc32c(body))
        return _PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def cursor_of(identity: str, partitions: int, offsets: Mapping[int, int]) -> Cursor:
    """A cursor of the log of this identity."""
    return Cursor(log_fingerprint(identity), partitions, dict(offsets))


def is_cursor(text: str) -> bool:
    """Whether a text is meant to be a cursor."""
    return text.startswith(_PREFIX)


def parse_cursor(field: str, text: str) -> Cursor:
    """The cursor in a text. Raises BadRequest(field) for anything that we did not make."""
    try:
        found = _parsed(text)
    except (ValueError, binascii.Error, struct.error):
        found = None
    if found is None or found.text() != text:
        raise BadRequest(field, "not a cursor of this firehose, or cut short: pass it on unchanged")
    return found


def _parsed(text: str) -> Cursor:
    if len(text) > TEXT_MAX or not is_cursor(text) or not text.isascii():
        raise ValueError
    packed = text.removeprefix(_PREFIX).encode()
    sealed = base64.b64decode(packed + b"=" * (-len(packed) % 4), altchars=b"-_", validate=True)
    body = sealed[: -_WORD.size]
    if _WORD.unpack(sealed[-_WORD.size :])[0] != crc32c(body):
        raise ValueError
    (log,) = _WORD.unpack_from(body)
    numbers = _numbers(body[_WORD.size :])
    partitions = next(numbers, 0)
    offsets: dict[int, int] = {}
    partition = 0
    for step in numbers:
        partition += step
        if partition >= partitions:
            raise ValueError
        offsets[partition] = next(numbers, 0)
    return Cursor(log, partitions, offsets)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(0x80 | number & 0x7F)
        number >>= 7
    found.append(number)
    return bytes(found)


def _numbers(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte > 0x7F:
            if shift > _VARINT_BITS_MAX:
                raise ValueError
            continue
        yield number
        number = shift = 0
