"""Measuring a Thrift call before it is decoded.

Decoders believe lengths: eleven bytes that declare a string of 2 GiB cost 4 GiB of memory, and a
list of a hundred million booleans is a frame of a few bytes. So each frame is walked first, which
reads lengths and type ids only, allocates nothing and takes a few microseconds. What passes is
well-formed, ends where the frame ends, and decodes into memory proportional to the frame.

Format: Apache Thrift, doc/specs/thrift-binary-protocol.md, strict encoding.
"""

import struct
from typing import Final, NamedTuple

from idgen.idl import DEPTH_MAX

NAME_BYTES_MAX: Final = 64
"""Longest method name that is looked at."""

ELEMENTS_MAX: Final = 10_000
"""Most elements of one container that are not of a fixed size; no request needs above 1,000."""

VALUES_MAX: Final = 150_000
"""Most values (fields and elements) in a call: 1,000 posts with all their tags and mentions have
about 92,000. An empty struct is one byte on the wire and hundreds once decoded."""

_CALL: Final = 1
_VERSION: Final = b"\x80\x01\x00"
_STRING, _STRUCT, _MAP, _SET, _LIST = 11, 12, 13, 14, 15

_SIZES: Final = {2: 1, 3: 1, 4: 8, 6: 2, 8: 4, 10: 8}
"""Bytes of the types of fixed size: bool, byte, double, i16, i32, i64."""

_LEAST: Final = _SIZES | {_STRING: 4, _STRUCT: 1, _MAP: 6, _SET: 5, _LIST: 5}
"""Fewest bytes that a value of each type takes."""

_u32 = struct.Struct(">I").unpack_from
_i32 = struct.Struct(">i").unpack_from
_element_and_size = struct.Struct(">BI").unpack_from
_map_header = struct.Struct(">BBI").unpack_from


class WireFault(Exception):
    """What came over the connection is no call of ours; the connection is to be closed.

    `kind` is one of a fixed set of words, fit for a metric's label.
    """

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class CallHeader(NamedTuple):
    """The method that a frame calls, and the number that its answer has to carry."""

    method: str
    seqid: int


def check_call(frame: bytes) -> CallHeader:
    """Walk a whole frame and return whom it calls; its arguments can then be decoded safely.

    Raises WireFault: `wrong_protocol`, `truncated`, `malformed`, `too_deep` or `too_many_values`.
    """
    if frame[:3] != _VERSION:
        raise WireFault("wrong_protocol", f"a frame begins with {frame[:4].hex()}, not 800100")
    try:
        header, at = _header(frame)
        end = _Walk(frame).struct(at, 1)
    except (IndexError, struct.error):
        raise WireFault("truncated", f"a frame of {len(frame)} bytes ends within a value") from None
    if end != len(frame):
        raise WireFault("malformed", f"{len(frame) - end} bytes follow the arguments")
    return header


def _header(frame: bytes) -> tuple[CallHeader, int]:
    """Whom the frame calls, and where its arguments begin."""
    if frame[3] != _CALL:
        raise WireFault("malformed", f"message type {frame[3]} is no call")
    size: int = _u32(frame, 4)[0]
    if size > NAME_BYTES_MAX:
        raise WireFault("malformed", f"a method name of {size} bytes")
    at = 8 + size
    seqid: int = _i32(frame, at)[0]
    try:
        method = frame[8:at].decode()
    except UnicodeDecodeError:
        raise WireFault("malformed", "a method name that is no UTF-8") from None
    return CallHeader(method, seqid), at + 4


class _Walk:
    """One walk over a frame; reading past its end raises IndexError or struct.error."""

    __slots__ = ("_frame", "_size", "_values")

    def __init__(self, frame: bytes) -> None:
        self._frame = frame
        self._size = len(frame)
        self._values = VALUES_MAX

    def struct(self, at: int, depth: int) -> int:
        """Where the struct that begins at `at` ends."""
        if depth > DEPTH_MAX:
            raise WireFault("too_deep", f"structs and containers nest deeper than {DEPTH_MAX}")
        frame = self._frame
        fixed = _SIZES.get
        while True:
            kind = frame[at]
            if kind == 0:
                return at + 1
            size = fixed(kind)
            if size is not None:
                self._values -= 1
                # Past the end is noticed by the next read: a struct has to end with a stop.
                at += 3 + size
            elif kind == _STRING:
                self._values -= 1
                at += 7 + self._length(at + 3)
            else:
                self._spend(1)
                at = self._nested(kind, at + 3, depth)
            if self._values < 0:
                self._spend(0)

    def _length(self, at: int) -> int:
        """The length of the string whose length is at `at`, if the frame has as many bytes."""
        length: int = _u32(self._frame, at)[0]
        if length > self._size - at - 4:
            raise WireFault("malformed", f"a string of {length} bytes in a frame of {self._size}")
        return length

    def _nested(self, kind: int, at: int, depth: int) -> int:
        if kind == _STRUCT:
            return self.struct(at, depth + 1)
        if kind in (_LIST, _SET):
            element, count = _element_and_size(self._frame, at)
            return self._elements((element,), count, at + 5, depth + 1)
        if kind == _MAP:
            key, value, count = _map_header(self._frame, at)
            return self._elements((key, value), count, at + 6, depth + 1)
        raise WireFault("malformed", f"type id {kind}")

    def _elements(self, kinds: tuple[int, ...], count: int, at: int, depth: int) -> int:
        """Where a container's elements end; `kinds` are the types of one element's parts."""
        if count == 0:
            return at
        if depth > DEPTH_MAX:
            raise WireFault("too_deep", f"structs and containers nest deeper than {DEPTH_MAX}")
        least = sum(_LEAST.get(kind, self._size) for kind in kinds)
        if count * least > self._size - at:
            # An unknown type id counts as the whole frame, so it ends here as well.
            raise WireFault("malformed", f"a container of {count} in a frame of {self._size} bytes")
        self._spend(count * len(kinds))
        if all(kind in _SIZES for kind in kinds):
            return at + count * least
        if count > ELEMENTS_MAX:
            raise WireFault("too_many_values", f"a container of {count} elements")
        for _ in range(count):
            for kind in kinds:
                at = self._element(kind, at, depth)
        return at

    def _element(self, kind: int, at: int, depth: int) -> int:
        if kind == _STRING:
            return at + 4 + self._length(at)
        size = _SIZES.get(kind)
        return self._nested(kind, at, depth) if size is None else at + size

    def _spend(self, values: int) -> None:
        self._values -= values
        if self._values < 0:
            raise WireFault("too_many_values", f"more than {VALUES_MAX} values in one call")
