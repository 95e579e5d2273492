"""HBase's Thrift 2 gateway in bare bytes: nothing of the product, its key layout restated.

Thrift's binary protocol, strict and without frames. An inbox row is the key (place of the reader,
~post id, author), each an unsigned big-endian 64-bit integer, and one column `d:` with a value of
one byte, whose timestamp is the version. A call is built by filling a numpy record array, and a
reply is only compared with what it must be: this is the least that a writer has to do.
"""

import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from idgen.ids import U64, U64Array
from ops.bench.peers.writer import Fanout, PeerFailed

KEY_BYTES = 24
LIVE = b"\x01"
"""The value of an entry: its kind, a text."""
TIMEOUT_S = 60.0

Records = npt.NDArray[np.void]

_STOP = b"\x00"
_ROW = b"\x0b\x00\x01"
_COLUMN = (
    b"\x0f\x00\x02\x0c\x00\x00\x00\x01"  # columnValues: a list of one struct
    b"\x0b\x00\x01\x00\x00\x00\x01d"  # family
    b"\x0b\x00\x02\x00\x00\x00\x00"  # qualifier
    b"\x0b\x00\x03"  # value
)
_TIMESTAMP = b"\x0a\x00\x04"
_RESULT_END = b"\x03\x00\x06\x04\x00" + b"\x02\x00\x03\x00" + b"\x02\x00\x04\x00" + _STOP


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _call(method: bytes, table: bytes) -> bytes:
    head = b"\x80\x01\x00\x01" + _text(method) + b"\x00\x00\x00\x01"
    return head + b"\x0b\x00\x01" + _text(table)


def _reply(method: bytes) -> bytes:
    return b"\x80\x01\x00\x02" + _text(method) + b"\x00\x00\x00\x01"


def _record(before_key: bytes, after_key: bytes, end: bytes) -> np.dtype[Any]:
    return np.dtype(
        [
            ("before", f"V{len(before_key)}"),
            ("place", ">u8"),
            ("inverted", ">u8"),
            ("author", ">u8"),
            ("between", f"V{len(after_key)}"),
            ("version", ">u8"),
            ("end", f"V{len(end)}"),
        ]
    )


_BEFORE = _ROW + struct.pack(">I", KEY_BYTES)
_BETWEEN = _COLUMN + _text(LIVE) + _TIMESTAMP
PUT = _record(_BEFORE, _BETWEEN, _STOP + _STOP)
FOUND = _record(_BEFORE, _BETWEEN, _RESULT_END)
PUT_REPLY = _reply(b"putMultiple") + _STOP


def blank_puts(count: int) -> Records:
    """Records of puts, to be filled in: place, inverted (~post id), author, version."""
    blank = np.zeros((), dtype=PUT)
    blank["before"] = np.void(_BEFORE)
    blank["between"] = np.void(_BETWEEN)
    return np.full(count, blank)


def put_call(table: bytes, records: Records) -> bytes:
    """A `putMultiple` call of these records."""
    head = _call(b"putMultiple", table) + b"\x0f\x00\x02\x0c" + struct.pack(">I", len(records))
    return head + records.tobytes() + _STOP


def put_calls(
    table: bytes, fanouts: Sequence[Fanout], rows_max: int
) -> Iterator[tuple[bytes, int]]:
    """The calls that deliver the fan-outs, each of at most `rows_max` rows, and their rows."""
    records = blank_puts(rows_max)
    filled = 0
    for fanout in fanouts:
        first = 0
        while first < len(fanout.places):
            part = fanout.places[first : first + rows_max - filled]
            into = records[filled : filled + len(part)]
            into["place"] = part
            into["inverted"] = U64 - fanout.post_id
            into["author"] = fanout.author
            into["version"] = fanout.at
            first += len(part)
            filled += len(part)
            if filled == rows_max:
                yield put_call(table, records), filled
                filled = 0
    if filled:
        yield put_call(table, records[:filled]), filled


def put_values_call(table: bytes, rows: Sequence[tuple[bytes, int, bytes]]) -> bytes:
    """A `putMultiple` call of rows (key, version, value) of any widths."""
    head = _call(b"putMultiple", table) + b"\x0f\x00\x02\x0c" + struct.pack(">I", len(rows))
    records = [
        b"".join(
            (_ROW, _text(key), _COLUMN, _text(value), _TIMESTAMP, struct.pack(">Q", at), _STOP * 2)
        )
        for key, at, value in rows
    ]
    return head + b"".join(records) + _STOP


def scan_call(table: bytes, start: bytes, stop: bytes, rows: int) -> bytes:
    """A `getScannerResults` call: the first `rows` rows with start <= key < stop."""
    many = struct.pack(">I", rows)
    scan = (
        b"\x0b\x00\x01" + _text(start) + b"\x0b\x00\x02" + _text(stop)
        + b"\x08\x00\x04" + many + b"\x08\x00\x0f" + many + _STOP
    )  # fmt: skip
    end = b"\x08\x00\x03" + many + _STOP
    return _call(b"getScannerResults", table) + b"\x0c\x00\x02" + scan + end


def get_call(table: bytes, keys: Sequence[bytes]) -> bytes:
    """A `getMultiple` call: the rows of these keys."""
    gets = b"".join([_ROW + _text(key) + _STOP for key in keys])
    head = _call(b"getMultiple", table) + b"\x0f\x00\x02\x0c" + struct.pack(">I", len(keys))
    return head + gets + _STOP


class Gateway:
    """One connection to a Thrift 2 gateway ("host:port"), for one thread at a time.

    Raises PeerFailed for every answer that is not the expected one.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._sock = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def put(self, call: bytes) -> None:
        """Send a `putMultiple` call and wait until HBase has acknowledged it."""
        self._sock.sendall(call)
        answer = self._exactly(len(PUT_REPLY))
        if answer != PUT_REPLY:
            raise PeerFailed(f"HBase's gateway refused rows: {self._words(answer)!r}")

    def scan(self, call: bytes) -> U64Array:
        """Send a `scan_call`; (n, 3) numbers: place, ~post id, author."""
        self._sock.sendall(call)
        count = self._count(b"getScannerResults")
        data = self._exactly(count * FOUND.itemsize + 1)
        found = np.frombuffer(data, dtype=FOUND, count=count)
        if count and found["before"][-1].tobytes() != _BEFORE:
            raise PeerFailed("the inbox holds rows of another shape")
        return np.stack([found[name] for name in ("place", "inverted", "author")], axis=1).astype(
            np.uint64
        )

    def get(self, call: bytes) -> list[tuple[bytes, bytes]]:
        """Send a `get_call`; the (key, value) of the rows that are there."""
        self._sock.sendall(call)
        return [(key, value) for key, _, value in self._rows(b"getMultiple")]

    def rows(self, call: bytes) -> list[tuple[bytes, int, bytes]]:
        """Send a `scan_call`; the (key, version, value) of rows of any widths."""
        self._sock.sendall(call)
        return self._rows(b"getScannerResults")

    def _rows(self, method: bytes) -> list[tuple[bytes, int, bytes]]:
        rows = []
        for _ in range(self._count(method)):
            if self._exactly(3) != _ROW:
                self._exactly(len(b"\x0f\x00\x02\x0c\x00\x00\x00\x00" + _RESULT_END[5:]) - 3)
                continue
            key = self._string()
            self._exactly(len(_COLUMN))
            value = self._string()
            after = self._exactly(len(_TIMESTAMP) + 8 + len(_RESULT_END))
            rows.append((key, int.from_bytes(after[len(_TIMESTAMP) :][:8]), value))
        self._exactly(1)
        return rows

    def close(self) -> None:
        """Let go of the socket."""
        self._sock.close()

    def _count(self, method: bytes) -> int:
        expected = _reply(method) + b"\x0f\x00\x00\x0c"
        answer = self._exactly(len(expected))
        if answer != expected:
            raise PeerFailed(f"HBase's gateway refused a read: {self._words(answer)!r}")
        return int.from_bytes(self._exactly(4))

    def _string(self) -> bytes:
        return self._exactly(int.from_bytes(self._exactly(4)))

    def _exactly(self, count: int) -> bytes:
        data = self._sock.recv(count, socket.MSG_WAITALL) if count else b""
        while len(data) < count:
            more = self._sock.recv(count - len(data))
            if not more:
                raise PeerFailed(f"HBase's gateway closed the connection after {data[-200:]!r}")
            data += more
        return data

    def _words(self, answer: bytes) -> bytes:
        """What was answered instead; the connection is of no use afterwards."""
        self._sock.settimeout(0.2)
        try:
            return answer + self._sock.recv(300)
        except TimeoutError:
            return answer
