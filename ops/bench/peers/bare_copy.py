"""The bare copy: a table from one HBase into another, and nothing besides.

Ranges side by side, each on two connections of its own: a scan, then a put of what it brought. No
versions are looked at, nothing is recorded: what this reaches is the limit of scan and put.
"""

from concurrent.futures import ThreadPoolExecutor

from ops.bench.peers.raw_hbase import Gateway, put_values_call, scan_call

RANGES = 4
ROWS_A_CALL = 1_000


def bare_copy(source: str, table: str, target: str, into: str) -> int:
    """Copy all rows of `table` behind the gateway `source` into those of `into` behind `target`
    (Thrift 2, "host:port"); the bytes of keys and values. Raises PeerFailed."""
    bounds = [(i << 64) // RANGES for i in range(RANGES)]
    starts = [bound.to_bytes(8) for bound in bounds]
    ends = [*starts[1:], b""]

    def copy(i: int) -> int:
        reader, writer = Gateway(source), Gateway(target)
        try:
            return _copy_range(reader, writer, (table, into), (starts[i], ends[i]))
        finally:
            reader.close()
            writer.close()

    with ThreadPoolExecutor(RANGES) as threads:
        return sum(threads.map(copy, range(RANGES)))


def _copy_range(
    reader: Gateway, writer: Gateway, tables: tuple[str, str], within: tuple[bytes, bytes]
) -> int:
    (table, into), (start, stop) = tables, within
    size = 0
    while True:
        rows = reader.rows(scan_call(table.encode(), start, stop, ROWS_A_CALL))
        if rows:
            writer.put(put_values_call(into.encode(), rows))
            size += sum(len(key) + len(value) for key, _, value in rows)
        if len(rows) < ROWS_A_CALL:
            return size
        start = rows[-1][0] + b"\0"
