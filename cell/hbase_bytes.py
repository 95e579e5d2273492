"""The bytes of the HBase Thrift 2 gateway's hot calls, as pure functions; no I/O.

Format: Thrift's binary protocol, strict, without frames (what the gateway's default server
speaks); the calls and field ids are in `thrift/hbase2.thrift`. Encoding a fan-out by filling one
record template with numpy is 100 times as fast as encoding structs, and HBase's answers to a scan
are so regular that most of them are read by comparing against the expected bytes.
"""

import struct
from collections.abc import Iterator, Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from cell.tables import KEY_BYTES_MAX, Bytes2D, FixedRows, Row

FAMILY = b"d"
QUALIFIER = b""
SEQUENCE_ID = 1
"""One call at a time on a connection, so every call has the same."""

STRING, STRUCT, LIST, BOOL, I32, I64 = 0x0B, 0x0C, 0x0F, 0x02, 0x08, 0x0A
STOP = b"\x00"
NO_UPPER_BOUND = (1 << 63) - 1

_u32 = struct.Struct(">I").pack
_u64 = struct.Struct(">Q").pack
_read_u32 = struct.Struct(">I").unpack_from
_read_u64 = struct.Struct(">Q").unpack_from


def _field(kind: int, number: int) -> bytes:
    return struct.pack(">BH", kind, number)


def binary_field(number: int, data: bytes) -> bytes:
    """A field that holds bytes (or a string)."""
    return _field(STRING, number) + _u32(len(data)) + data


def _list_of_structs(number: int, count: int) -> bytes:
    return _field(LIST, number) + struct.pack(">BI", STRUCT, count)


def call_header(method: str) -> bytes:
    """What every call begins with; the fields of its arguments and a STOP follow."""
    name = method.encode()
    return b"\x80\x01\x00\x01" + _u32(len(name)) + name + _u32(SEQUENCE_ID)


# A value in its column, up to the value's length; then the timestamp; then the ends of structs.
_ROW = _field(STRING, 1)
_COLUMN = (
    _list_of_structs(2, 1)
    + binary_field(1, FAMILY)
    + binary_field(2, QUALIFIER)
    + _field(STRING, 3)
)
_TIMESTAMP = _field(I64, 4)
_PUT_END = STOP + STOP
# In an answer, behind the timestamp: type = 4 (a put), end, stale = partial = false, end.
_RESULT_END = (
    b"\x03\x00\x06\x04" + STOP + _field(BOOL, 3) + b"\x00" + _field(BOOL, 4) + b"\x00" + STOP
)
_AFTER_KEY = len(_COLUMN)
_AFTER_VALUE = len(_TIMESTAMP) + 8 + len(_RESULT_END)
RECORD_BYTES = len(_ROW) + 4 + _AFTER_KEY + 4 + _AFTER_VALUE
"""What a row weighs on the wire beside its key and value (an answer; a put has a little less)."""


# -- writing -----------------------------------------------------------------------------------
#
# Rows go in the order of their keys. A region server does the regions of a call one after the
# other, and each of them syncs its log: a call that meets one region instead of eight lets it write
# half as many rows again in the same time (300,000 rows, 8 regions, one region server).


def put_calls(table: bytes, rows: Sequence[Row], rows_max: int, bytes_max: int) -> Iterator[bytes]:
    """`putMultiple` calls for rows of any widths, each of at most `rows_max` rows and about
    `bytes_max` bytes."""
    records: list[bytes] = []
    size = 0
    for key, version, value in sorted(rows, key=itemgetter(0)):
        record = b"".join(
            (
                _ROW, _u32(len(key)), key,
                _COLUMN, _u32(len(value)), value,
                _TIMESTAMP, _u64(version), _PUT_END,
            )
        )  # fmt: skip
        if records and (len(records) >= rows_max or size + len(record) > bytes_max):
            yield _put_call(table, len(records), b"".join(records))
            records, size = [], 0
        records.append(record)
        size += len(record)
    if records:
        yield _put_call(table, len(records), b"".join(records))


def put_fixed_calls(
    table: bytes, rows: FixedRows, rows_max: int, bytes_max: int
) -> Iterator[bytes]:
    """`put_calls` for rows of one shape: numpy fills a template, whatever their number."""
    rows = _in_order(rows)
    n, key_width = rows.keys.shape
    value_width = rows.values.shape[1]
    template = np.frombuffer(
        b"".join(
            (
                _ROW, _u32(key_width), bytes(key_width),
                _COLUMN, _u32(value_width), bytes(value_width),
                _TIMESTAMP, bytes(8), _PUT_END,
            )
        ),
        dtype=np.uint8,
    )  # fmt: skip
    key_at = len(_ROW) + 4
    value_at = key_at + key_width + len(_COLUMN) + 4
    version_at = value_at + value_width + len(_TIMESTAMP)
    step = max(1, min(rows_max, bytes_max // len(template)))
    for first in range(0, n, step):
        keys = rows.keys[first : first + step]
        records = np.empty((len(keys), len(template)), dtype=np.uint8)
        records[:] = template
        records[:, key_at : key_at + key_width] = keys
        records[:, value_at : value_at + value_width] = rows.values[first : first + step]
        versions = rows.versions[first : first + step].astype(">u8")
        records[:, version_at : version_at + 8] = versions.view(np.uint8).reshape(-1, 8)
        yield _put_call(table, len(keys), records.tobytes())


def _in_order(rows: FixedRows) -> FixedRows:
    """By the first eight bytes of the keys, which is enough; those that are alike stay as they
    are."""
    order = np.argsort(_leading(rows.keys), kind="stable")
    return FixedRows(rows.keys[order], rows.versions[order], rows.values[order])


def _leading(keys: Bytes2D) -> npt.NDArray[np.uint64]:
    width = min(8, keys.shape[1])
    padded = np.zeros((len(keys), 8), dtype=np.uint8)
    padded[:, :width] = keys[:, :width]
    return padded.view(">u8").ravel().astype(np.uint64)


def _put_call(table: bytes, count: int, records: bytes) -> bytes:
    return b"".join(
        (
            call_header("putMultiple"),
            binary_field(1, table),
            _list_of_structs(2, count),
            records,
            STOP,
        )
    )


# -- asking ------------------------------------------------------------------------------------


def get_call(table: bytes, keys: Sequence[bytes]) -> bytes:
    """A `getMultiple` call: the whole row of each key."""
    records = b"".join([_ROW + _u32(len(key)) + key + STOP for key in keys])
    return b"".join(
        (
            call_header("getMultiple"),
            binary_field(1, table),
            _list_of_structs(2, len(keys)),
            records,
            STOP,
        )
    )


def key_before(key: bytes) -> bytes:
    """The greatest key below `key` among those of 1 to KEY_BYTES_MAX bytes; b"" if none is."""
    if key[-1:] == b"\x00":
        return key[:-1]
    if not key:
        return key
    return (key[:-1] + bytes([key[-1] - 1])).ljust(KEY_BYTES_MAX, b"\xff")


def scan_bounds(start: bytes, stop: bytes, *, reverse: bool) -> tuple[bytes, bytes] | None:
    """HBase's (startRow, stopRow) for start <= key < stop; None when no key can lie there.

    HBase begins with startRow itself and stops before stopRow in either direction, so downwards
    both move by one key. An empty row is no bound. Bounds over KEY_BYTES_MAX are cut without
    changing which keys lie between them.
    """
    start, stop = _within_length(start), _within_length(stop)
    if stop and start >= stop:
        return None
    if not reverse:
        return start, stop
    highest = key_before(stop)
    if stop and not highest:
        return None
    return highest, key_before(start)


def _within_length(bound: bytes) -> bytes:
    """The lowest bound of at most KEY_BYTES_MAX + 1 bytes with the same keys below it."""
    return bound[:KEY_BYTES_MAX] + b"\x00" if len(bound) > KEY_BYTES_MAX else bound


def scan_call(
    table: bytes, bounds: tuple[bytes, bytes], rows: int, floor: int, *, reverse: bool, skip: bytes
) -> bytes:
    """A `getScannerResults` call: open, read `rows` rows, close, in one round trip.

    `limit` makes the region server read no further than it must. A version bound is a lower one
    only: with VERSIONS 1 an upper bound is answered wrongly.
    """
    scan = [binary_field(1, bounds[0]), binary_field(2, bounds[1])]
    scan.append(_field(I32, 4) + _u32(rows))
    if floor > 0:
        bound = _field(I64, 1) + _u64(floor) + _field(I64, 2) + _u64(NO_UPPER_BOUND) + STOP
        scan.append(_field(STRUCT, 6) + bound)
    if skip:
        scan.append(binary_field(7, skip_filter(skip)))
    if reverse:
        scan.append(_field(BOOL, 11) + b"\x01")
    scan.append(_field(I32, 15) + _u32(rows) + STOP)
    return b"".join(
        (
            call_header("getScannerResults"),
            binary_field(1, table),
            _field(STRUCT, 2),
            *scan,
            _field(I32, 3) + _u32(rows),
            STOP,
        )
    )


def skip_filter(prefix: bytes) -> bytes:
    """HBase's filter language: only rows whose value does not begin with `prefix`.

    Any bytes may stand between the quotes; a quote itself is doubled (HBase Reference Guide,
    "Thrift API and Filter Language").
    """
    return b"ValueFilter(!=, 'binaryprefix:" + prefix.replace(b"'", b"''") + b"')"


# -- reading -----------------------------------------------------------------------------------


def plain_result(key: bytes, version: int, value: bytes) -> bytes:
    """The bytes of a TResult as HBase 2.6 writes it for a row of ours."""
    return b"".join(
        (
            _ROW, _u32(len(key)), key,
            _COLUMN, _u32(len(value)), value,
            _TIMESTAMP, _u64(version), _RESULT_END,
        )
    )  # fmt: skip


def take_plain(data: bytes, rows: list[Row | None], count: int) -> int:
    """Read up to `count` plain results from the beginning of `data` into `rows`.

    Stops before the first that is cut or looks otherwise (for the general parser). Returns the
    number of bytes read.
    """
    at = 0
    end = len(data)
    append = rows.append
    for _ in range(count):
        if end - at < RECORD_BYTES or not data.startswith(_ROW, at):
            break
        key_at = at + 7
        key_end = key_at + _read_u32(data, at + 3)[0]
        value_at = key_end + _AFTER_KEY + 4
        if value_at > end or not data.startswith(_COLUMN, key_end):
            break
        value_end = value_at + _read_u32(data, value_at - 4)[0]
        version_at = value_end + 3
        if value_end + _AFTER_VALUE > end or not data.startswith(_TIMESTAMP, value_end):
            break
        if not data.startswith(_RESULT_END, version_at + 8):
            break
        version = _read_u64(data, version_at)[0]
        append(Row(data[key_at:key_end], version, data[value_at:value_end]))
        at = value_end + _AFTER_VALUE
    return at


class FixedShape:
    """How a plain result of given key and value widths looks, byte by byte."""

    def __init__(self, key_width: int, value_width: int) -> None:
        self.template = np.frombuffer(
            plain_result(bytes(key_width), 0, bytes(value_width)), dtype=np.uint8
        )
        self.stride = len(self.template)
        key_at = len(_ROW) + 4
        value_at = key_at + key_width + len(_COLUMN) + 4
        version_at = value_at + value_width + len(_TIMESTAMP)
        self._keys = slice(key_at, key_at + key_width)
        self._values = slice(value_at, value_at + value_width)
        self._versions = slice(version_at, version_at + 8)
        constant = np.ones(self.stride, dtype=bool)
        for part in (self._keys, self._values, self._versions):
            constant[part] = False
        self._constant = np.flatnonzero(constant)
        self._expected = self.template[self._constant]

    def matching(self, data: npt.NDArray[np.uint8]) -> int:
        """How many results at the beginning of `data` have this shape.

        A cut one at the end counts if what is there fits: its lengths come before what they
        measure, so that a result of another size is noticed before waiting for its bytes.
        """
        whole = len(data) // self.stride
        block = data[: whole * self.stride].reshape(whole, self.stride)
        same = (block[:, self._constant] == self._expected).all(axis=1)
        if not same.all():
            return int(np.argmin(same))
        rest = data[whole * self.stride :]
        known = self._constant[self._constant < len(rest)]
        fits = len(rest) > 0 and bool((rest[known] == self.template[known]).all())
        return whole + fits

    def rows(self, data: npt.NDArray[np.uint8]) -> FixedRows:
        """The rows of whole results that have this shape; copies."""
        block = data.reshape(-1, self.stride)
        versions = np.ascontiguousarray(block[:, self._versions]).view(">u8").reshape(-1)
        return FixedRows(
            np.ascontiguousarray(block[:, self._keys]),
            versions.astype(np.uint64),
            np.ascontiguousarray(block[:, self._values]),
        )
