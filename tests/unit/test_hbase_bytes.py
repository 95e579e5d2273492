"""The bytes that go to HBase's gateway and come from it, against thriftpy2's own encoding."""

import itertools
import random
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cell import hbase_bytes
from cell.hbase_bytes import FixedShape, key_before, plain_result, scan_bounds, take_plain
from cell.hbase_connection import GatewayLost, Refused, Reply
from cell.tables import KEY_BYTES_MAX, VERSION_MAX, FixedRows, Row
from idgen import idl
from idgen.timed_socket import TimedSocket

HBASE2 = idl.load("hbase2")
DICE = random.Random(7)


def call(method: str, **arguments: object) -> bytes:
    """A call as thriftpy2 encodes it."""
    arguments_type = getattr(HBASE2.THBaseService, f"{method}_args")
    transport, protocol = idl.memory_pair()
    protocol.write_message_begin(method, 1, 1)
    protocol.write_struct(arguments_type(**arguments))
    written: bytes = transport.getvalue()
    return written


def puts(rows: list[Row]) -> list[Any]:
    return [
        HBASE2.TPut(
            row=row.key,
            columnValues=[
                HBASE2.TColumnValue(
                    family=b"d", qualifier=b"", value=row.value, timestamp=row.version
                )
            ],
        )
        for row in rows
    ]


def some_rows(n: int, key_width: int, value_width: int) -> list[Row]:
    return [
        Row(
            DICE.randbytes(key_width),
            DICE.choice((1, VERSION_MAX, DICE.randint(1, VERSION_MAX))),
            DICE.randbytes(value_width),
        )
        for _ in range(n)
    ]


def arrays(rows: list[Row]) -> FixedRows:
    n = len(rows)
    return FixedRows(
        np.frombuffer(b"".join(r.key for r in rows), np.uint8).reshape(n, -1),
        np.array([r.version for r in rows], np.uint64),
        np.frombuffer(b"".join(r.value for r in rows), np.uint8).reshape(n, len(rows[0].value)),
    )


def in_order(rows: list[Row]) -> list[Row]:
    """By key; those of one key as they were."""
    return sorted(rows, key=lambda row: row.key)


# -- what goes out ---------------------------------------------------------------------------


@pytest.mark.parametrize(("keys", "values"), [(1, 0), (24, 0), (24, 1), (16, 300), (256, 3)])
def test_a_fan_out_is_byte_for_byte_a_call_of_structs(keys: int, values: int) -> None:
    rows = some_rows(50, keys, values)
    expected = call("putMultiple", table=b"p_inbox", tputs=puts(in_order(rows)))
    assert list(hbase_bytes.put_fixed_calls(b"p_inbox", arrays(rows), 50, 1 << 20)) == [expected]
    assert list(hbase_bytes.put_calls(b"p_inbox", rows, 50, 1 << 20)) == [expected]


def test_a_large_write_is_cut_into_calls_by_rows_and_by_bytes() -> None:
    rows = some_rows(25, 24, 10)
    ordered = in_order(rows)
    by_rows = [
        call("putMultiple", table=b"t", tputs=puts(ordered[i : i + 10])) for i in (0, 10, 20)
    ]
    assert list(hbase_bytes.put_fixed_calls(b"t", arrays(rows), 10, 1 << 20)) == by_rows
    assert list(hbase_bytes.put_calls(b"t", rows, 10, 1 << 20)) == by_rows
    for calls in (
        list(hbase_bytes.put_fixed_calls(b"t", arrays(rows), 99, 500)),
        list(hbase_bytes.put_calls(b"t", rows, 99, 500)),
    ):
        assert len(calls) == 5
        assert max(map(len, calls)) < 600
    assert len(list(hbase_bytes.put_calls(b"t", rows, 99, 1))) == 25
    assert len(list(hbase_bytes.put_fixed_calls(b"t", arrays(rows), 99, 1))) == 25


def test_arrays_that_are_views_are_written_as_what_they_show() -> None:
    rows = some_rows(20, 24, 2)
    whole = arrays(rows)
    views = FixedRows(whole.keys[::-2], whole.versions[::-2], whole.values[::-2])
    expected = call("putMultiple", table=b"t", tputs=puts(in_order(rows[::-2])))
    assert list(hbase_bytes.put_fixed_calls(b"t", views, 99, 1 << 20)) == [expected]


def test_gets_and_scans_are_byte_for_byte_calls_of_structs() -> None:
    keys = [b"a", b"\x00" * 30, bytes(range(256))]
    expected = call("getMultiple", table=b"t", tgets=[HBASE2.TGet(row=key) for key in keys])
    assert hbase_bytes.get_call(b"t", keys) == expected
    bare = HBASE2.TScan(startRow=b"a", stopRow=b"", caching=20, limit=20)
    assert hbase_bytes.scan_call(b"t", (b"a", b""), 20, 0, reverse=False, skip=b"") == call(
        "getScannerResults", table=b"t", tscan=bare, numRows=20
    )
    full = HBASE2.TScan(
        startRow=b"b",
        stopRow=b"a",
        caching=3,
        timeRange=HBASE2.TTimeRange(minStamp=3 << 48, maxStamp=(1 << 63) - 1),
        filterString=b"ValueFilter(!=, 'binaryprefix:it''s')",
        reversed=True,
        limit=3,
    )
    assert hbase_bytes.scan_call(
        b"t", (b"b", b"a"), 3, 3 << 48, reverse=True, skip=b"it's"
    ) == call("getScannerResults", table=b"t", tscan=full, numRows=3)


# -- bounds ----------------------------------------------------------------------------------

short_keys = st.binary(max_size=3).map(lambda b: bytes(x % 3 * 127 for x in b))


@given(short_keys, short_keys, st.booleans(), st.lists(short_keys.filter(len), max_size=30))
@example(start=b"", stop=b"\x00", reverse=True, keys=[b"\x00"])
@example(start=b"\x00", stop=b"", reverse=True, keys=[b"\x00"])
def test_bounds_hold_exactly_the_keys_between(
    start: bytes, stop: bytes, reverse: bool, keys: list[bytes]
) -> None:
    inside = [key for key in keys if start <= key and (not stop or key < stop)]
    bounds = scan_bounds(start, stop, reverse=reverse)
    if bounds is None:
        assert inside == []
        return
    first, last = bounds
    if reverse:
        hbase = [key for key in keys if (not first or key <= first) and key > last]
    else:
        hbase = [key for key in keys if key >= first and (not last or key < last)]
    assert hbase == inside


def test_the_key_before_a_key_is_the_next_one_down() -> None:
    assert key_before(b"a\x00") == b"a"
    assert key_before(b"\x00") == b""
    assert key_before(b"b") == b"a" + b"\xff" * (KEY_BYTES_MAX - 1)
    longest = b"b" * KEY_BYTES_MAX
    assert key_before(longest) == longest[:-1] + b"a"
    assert key_before(longest + b"\x00") == longest


def test_bounds_longer_than_any_key_are_cut() -> None:
    longest = b"b" * KEY_BYTES_MAX
    assert scan_bounds(longest + b"x", b"", reverse=False) == (longest + b"\x00", b"")
    assert scan_bounds(b"", longest + b"x", reverse=True) == (longest, b"")
    assert scan_bounds(longest + b"x", longest + b"y", reverse=False) is None


# -- what comes back -------------------------------------------------------------------------

HEAD = b"\x80\x01\x00\x02\x00\x00\x00\x0bgetMultiple\x00\x00\x00\x01"


def answer(rows: list[Row | None], *, plain: bool = True) -> bytes:
    """An answer of TResults; not plain: as thriftpy2 writes it, without the optional fields."""
    count = len(rows).to_bytes(4)
    results = []
    for row in rows:
        if row is None:
            results.append(b"\x0f\x00\x02\x0c\x00\x00\x00\x00\x02\x00\x03\x00\x02\x00\x04\x00\x00")
        elif plain:
            results.append(plain_result(*row))
        else:
            column = HBASE2.TColumnValue(
                family=b"d", qualifier=b"", value=row.value, timestamp=row.version, tags=b"x"
            )
            result = HBASE2.TResult(row=row.key, columnValues=[column])
            results.append(idl.binary_encode(result))
    return HEAD + b"\x0f\x00\x00\x0c" + count + b"".join(results) + b"\x00"


def read(data: bytes, method: str, asked: int, step: int | None = None) -> Any:
    """What `Reply.<method>` makes of `data`, arriving `step` bytes at a time."""
    here, there = socket.socketpair()
    with here, there:

        def send() -> None:
            size = step or len(data) or 1
            for at in range(0, len(data), size):
                there.sendall(data[at : at + size])
            there.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            reply = Reply(TimedSocket(here), bytearray(512), time.monotonic() + 10)
            return reply.result("getMultiple", lambda r: getattr(r, method)(asked))
        finally:
            here.shutdown(socket.SHUT_RD)
            sender.join()


def loose(found: Any) -> list[Row | None]:
    if not isinstance(found, FixedRows):
        return list(found)
    columns = zip(found.keys, found.versions, found.values, strict=True)
    return [Row(k.tobytes(), int(v), x.tobytes()) for k, v, x in columns]


def kinds_of_answers() -> dict[str, list[Row | None]]:
    fixed: list[Row | None] = [*some_rows(40, 24, 1)]
    odd: list[Row | None] = [*some_rows(1, 24, 2)]
    mixed: list[Row | None] = [row for w in range(30) for row in some_rows(1, w + 1, 3 * w)]
    return {
        "none": [],
        "one": fixed[:1],
        "fixed": fixed,
        "fixed without values": [*some_rows(9, 16, 0)],
        "odd first": odd + fixed,
        "odd in the middle": fixed[:20] + odd + fixed[20:],
        "odd at the end": fixed + odd,
        "shorter at the end": [*fixed, *some_rows(1, 3, 1)],
        "gaps": [None, *fixed[:3], None, None, *fixed[3:5], None],
        "mixed": mixed,
        "large": [*some_rows(3, 200, 70_000)],
    }


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("kind", kinds_of_answers())
def test_every_parser_reads_the_same_rows_however_they_arrive(kind: str, plain: bool) -> None:
    rows = kinds_of_answers()[kind]
    data = answer(rows, plain=plain)
    steps = (None, 1, 7, 67, 500, 4_096) if len(data) < 20_000 else (None, 4_096)
    for step in steps:
        assert read(data, "rows", len(rows) + 1, step) == rows
        assert loose(read(data, "fixed_rows", len(rows) + 1, step)) == rows


def test_fixed_rows_come_as_arrays() -> None:
    rows = some_rows(300, 24, 8)
    found = read(answer([*rows]), "fixed_rows", 300)
    assert isinstance(found, FixedRows)
    assert (found.keys.shape, found.values.shape) == ((300, 24), (300, 8))
    assert (found.keys.dtype, found.versions.dtype) == (np.uint8, np.uint64)


def test_more_rows_than_asked_for_are_no_answer() -> None:
    for method in ("rows", "fixed_rows"):
        with pytest.raises(GatewayLost):
            read(answer([*some_rows(3, 4, 4)]), method, 2)


@pytest.mark.parametrize("method", ["rows", "fixed_rows"])
def test_a_reply_cut_or_changed_anywhere_raises_or_is_still_rows(method: str) -> None:
    data = answer([*some_rows(4, 5, 2), None])
    for cut in range(len(data)):
        with pytest.raises(GatewayLost):
            read(data[:cut], method, 9)
    for at, mask in itertools.product(range(len(data)), (0x01, 0x80, 0xFF)):
        changed = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
        try:
            found = loose(read(changed, method, 9))
        except (GatewayLost, Refused):
            continue
        assert all(row is None or isinstance(row, Row) for row in found)


def test_take_plain_stops_before_what_is_cut_or_odd() -> None:
    rows = some_rows(3, 24, 1)
    data = b"".join(plain_result(*row) for row in rows)
    one = len(data) // 3
    for cut in range(len(data) + 1):
        taken: list[Row | None] = []
        assert take_plain(data[:cut], taken, 9) == cut // one * one
        assert taken == rows[: cut // one]
    taken = []
    assert take_plain(data, taken, 2) == 2 * one
    assert taken == rows[:2]


def test_a_shape_notices_another_length_before_its_bytes_have_come() -> None:
    shape = FixedShape(24, 4)
    good = plain_result(b"k" * 24, 7, b"abcd")
    shorter = plain_result(b"k" * 23, 7, b"abcd")
    for cut in range(7, len(shorter)):
        data = np.frombuffer(good + shorter[:cut], np.uint8)
        assert shape.matching(data) == 1
    assert shape.matching(np.frombuffer(good + good[:50], np.uint8)) == 2


def test_declared_exceptions_are_told_from_broken_connections() -> None:
    error = idl.binary_encode(HBASE2.TIOError(message="org.apache.X: why\n\tat Y", canRetry=False))
    with pytest.raises(Refused, match=r"^org\.apache\.X: why$") as caught:
        read(HEAD + b"\x0c\x00\x01" + error + b"\x00", "rows", 1)
    assert not caught.value.can_retry
    broken = HEAD.replace(b"\x00\x02", b"\x00\x03", 1)
    text = b"\x0b\x00\x01\x00\x00\x00\x03bug\x08\x00\x02\x00\x00\x00\x06\x00"
    with pytest.raises(Refused, match="bug"):
        read(broken + text, "rows", 1)
