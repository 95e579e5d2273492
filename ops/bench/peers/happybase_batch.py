"""happybase's `Table.batch`, over the Thrift 1 gateway: what a Python programmer would write.

Thrift 1 has one timestamp for a call, so every post is a batch of its own.
"""

from collections.abc import Sequence

import happybase

from idgen.ids import U64
from ops.bench.peers.raw_hbase import LIVE, TIMEOUT_S
from ops.bench.peers.writer import Fanout

ROWS_A_CALL = 1_000
_VALUES = {b"d:": LIVE}


class HappybaseBatch:
    """happybase as a `Writer` into a table of `gateway` (Thrift 1, "host:port"); one thread."""

    name = "happybase Table.batch"

    def __init__(self, gateway: str, table: str, *, rows_a_call: int = ROWS_A_CALL) -> None:
        host, _, port = gateway.rpartition(":")
        self._connection = happybase.Connection(host, int(port), timeout=int(1000 * TIMEOUT_S))
        self._table = self._connection.table(table)
        self._rows_a_call = rows_a_call

    def write(self, fanouts: Sequence[Fanout]) -> int:
        """Put all rows, a batch for each post."""
        rows = 0
        for post_id, author, at, places in fanouts:
            tail = (U64 - post_id).to_bytes(8) + author.to_bytes(8)
            packed = places.astype(">u8").tobytes()
            with self._table.batch(timestamp=at, batch_size=self._rows_a_call) as batch:
                for first in range(0, len(packed), 8):
                    batch.put(packed[first : first + 8] + tail, _VALUES)
            rows += len(places)
        return rows

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
