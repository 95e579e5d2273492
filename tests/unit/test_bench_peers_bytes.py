"""What the benchmark's peers put on the wire, against thriftpy2's and redis-py's own encoding."""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from redis.connection import Connection

from cell.keys import entry_key, post_key
from idgen import idl
from idgen.ids import spread, spread_array
from ops.bench.peers import raw_hbase
from ops.bench.peers.bare_loop import Puts
from ops.bench.peers.raw_hbase import Gateway
from ops.bench.peers.redis_timelines import ITEMS_MAX, packed, pipelines
from ops.bench.peers.writer import Fanout, PeerFailed, rows_in

HBASE2 = idl.load("hbase2")
FIRST = Fanout((1 << 62) + 5, 7, 41, spread_array(np.arange(1, 8, dtype=np.uint64)))
NOBODY = Fanout(9, 8, 42, np.array([], dtype=np.uint64))
SECOND = Fanout(10, 1 << 60, (1 << 63) - 2, spread_array(np.arange(5, 9, dtype=np.uint64)))
FANOUTS = (FIRST, NOBODY, SECOND)


def call(method: str, **arguments: object) -> bytes:
    """A call as thriftpy2 encodes it."""
    transport, protocol = idl.memory_pair()
    protocol.write_message_begin(method, 1, 1)
    protocol.write_struct(getattr(HBASE2.THBaseService, f"{method}_args")(**arguments))
    return bytes(transport.getvalue())


def put(key: bytes, version: int, value: bytes = b"\x01") -> Any:
    column = HBASE2.TColumnValue(family=b"d", qualifier=b"", value=value, timestamp=version)
    return HBASE2.TPut(row=key, columnValues=[column])


def expected_puts() -> list[Any]:
    return [
        put(entry_key(place, fanout.post_id, fanout.author), fanout.at)
        for fanout in FANOUTS
        for place in fanout.places.tolist()
    ]


@pytest.mark.parametrize("rows_max", [1, 3, 4, 7, 11, 100])
def test_the_bare_loop_puts_the_entries_that_the_product_would(rows_max: int) -> None:
    puts = expected_puts()
    calls = list(raw_hbase.put_calls(b"t_inbox", FANOUTS, rows_max))
    parts = [puts[i : i + rows_max] for i in range(0, len(puts), rows_max)]
    assert calls == [
        (call("putMultiple", table=b"t_inbox", tputs=part), len(part)) for part in parts
    ]
    assert sum(rows for _, rows in calls) == rows_in(FANOUTS) == 11


def test_rows_of_any_width_are_a_call_of_structs() -> None:
    rows = [(b"k", 3, b""), (post_key(5, 6), 1 << 40, b"a post" * 50)]
    assert raw_hbase.put_values_call(b"t", rows) == call(
        "putMultiple", table=b"t", tputs=[put(*row) for row in rows]
    )


def test_reads_are_calls_of_structs() -> None:
    scan = HBASE2.TScan(startRow=b"a", stopRow=b"", caching=20, limit=20)
    assert raw_hbase.scan_call(b"t", b"a", b"", 20) == call(
        "getScannerResults", table=b"t", tscan=scan, numRows=20
    )
    keys = [b"a", b"\x00" * 16]
    assert raw_hbase.get_call(b"t", keys) == call(
        "getMultiple", table=b"t", tgets=[HBASE2.TGet(row=key) for key in keys]
    )


def reply(method: str, result: Any) -> bytes:
    transport, protocol = idl.memory_pair()
    protocol.write_message_begin(method, 2, 1)
    protocol.write_struct(result)
    return bytes(transport.getvalue())


def found(key: bytes, version: int, value: bytes = b"\x01") -> Any:
    column = HBASE2.TColumnValue(
        family=b"d", qualifier=b"", value=value, timestamp=version, type=4
    )
    return HBASE2.TResult(row=key, columnValues=[column], stale=False, partial=False)


@contextmanager
def answering(data: bytes) -> Iterator[Gateway]:
    """A gateway that answers whatever is asked with `data`, in two pieces."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(data[:30])
                connection.sendall(data[30:])

        thread = threading.Thread(target=serve)
        thread.start()
        gateway = Gateway(f"127.0.0.1:{listening.getsockname()[1]}")
        try:
            yield gateway
        finally:
            gateway.close()
            thread.join()


def test_a_scan_is_read_as_numbers() -> None:
    keys = [entry_key(spread(3), post, author) for post, author in ((9, 1), (8, 2), (7, 1 << 62))]
    result = HBASE2.THBaseService.getScannerResults_result
    for some in ([], keys):
        rows = [found(key, 5) for key in some]
        with answering(reply("getScannerResults", result(success=rows))) as gateway:
            read = gateway.scan(raw_hbase.scan_call(b"t", b"a", b"b", 20))
            assert [row.astype(">u8").tobytes() for row in read] == some


def test_gets_are_read_whether_rows_are_there_or_not() -> None:
    nothing = HBASE2.TResult(columnValues=[], stale=False, partial=False)
    rows = [nothing, found(b"k" * 16, 5, b"post"), nothing, found(b"j" * 16, 6, b"")]
    result = HBASE2.THBaseService.getMultiple_result(success=rows)
    with answering(reply("getMultiple", result)) as gateway:
        assert gateway.get(raw_hbase.get_call(b"t", [b"k"])) == [
            (b"k" * 16, b"post"),
            (b"j" * 16, b""),
        ]


def test_what_a_gateway_refuses_is_never_acknowledged() -> None:
    error = HBASE2.TIOError(message="no such table")
    refused = reply("putMultiple", HBASE2.THBaseService.putMultiple_result(io=error))
    for data in (refused, raw_hbase.PUT_REPLY[:-1], b""):
        with answering(data) as gateway, pytest.raises(PeerFailed):
            gateway.put(b"call")
    refused = reply("getScannerResults", HBASE2.THBaseService.getScannerResults_result(io=error))
    with answering(refused) as gateway, pytest.raises(PeerFailed, match="no such table"):
        gateway.scan(b"call")
    with answering(raw_hbase.PUT_REPLY) as gateway:
        gateway.put(b"call")


def test_a_refused_call_ends_the_whole_write() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        puts = Puts(f"127.0.0.1:{listening.getsockname()[1]}", 1)
        connection, _ = listening.accept()
        with connection:
            connection.sendall(raw_hbase.PUT_REPLY + b"\x80\x01\x00\x02" + bytes(100))
            with pytest.raises(PeerFailed, match="refused rows"):
                puts.run(iter([(b"one", 1), (b"two", 1)]))
        puts.close()


def test_timelines_are_added_to_and_trimmed_for_every_reader() -> None:
    pairs = [pair for some in pipelines(FANOUTS, 4) for pair in some]
    assert pairs == [
        *((reader, FIRST.post_id) for reader in range(1, 8)),
        *((reader, SECOND.post_id) for reader in range(5, 9)),
    ]
    commands = itertools.chain.from_iterable(
        (
            ("ZADD", f"feed:home:{reader}", post, post),
            ("ZREMRANGEBYRANK", f"feed:home:{reader}", 0, -ITEMS_MAX - 1),
        )
        for reader, post in pairs
    )
    assert packed(pairs) == b"".join(Connection().pack_commands(commands))
